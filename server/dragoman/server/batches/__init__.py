"""Groups of sources that are decoded together, a kind for each engine."""

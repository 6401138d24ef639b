"""Groups of segments that are decoded together, a kind for each engine."""

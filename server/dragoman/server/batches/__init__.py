"""Groups of segments that are decoded together, one kind for each way to decode."""

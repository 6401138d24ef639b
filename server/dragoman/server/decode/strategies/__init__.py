"""The ways to decode, one in a file: what a request may set, what goes with it, and what its search does."""

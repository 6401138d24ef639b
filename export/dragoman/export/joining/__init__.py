"""One bundle of two whose decoders read the same encoder."""

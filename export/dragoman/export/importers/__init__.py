"""Importers: foreign checkpoints in, canonical `Checkpoint`s out. One module a format, and nothing shared but that."""

"""Bundles themselves, to be exported in another precision."""

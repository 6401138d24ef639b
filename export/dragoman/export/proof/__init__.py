"""Exported graphs beside the network that they came from."""

"""Named passes over exported graphs and their weights."""

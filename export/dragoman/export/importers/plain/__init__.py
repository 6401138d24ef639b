"""The project's own plain format of a checkpoint."""

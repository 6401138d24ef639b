"""Foreign checkpoints in, canonical `Checkpoint`s out: one folder a format, and what they share in `files`."""

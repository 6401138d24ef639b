"""Sizes in a checkpoint's options."""

MOST = {"layers": 256, "heads": 1_024, "width": 65_536, "ffn": 1_048_576, "vocab": 16_777_216, "positions": 1_048_576}
"""The most that is believed: layers are counted through before weights are looked at."""


def unless(size: int, usual: int) -> int | None:
    """A size of the encoder as an architecture states it: None where it is the decoder's."""
    return None if size == usual else size

"""Sizes beyond which no checkpoint is believed."""

from __future__ import annotations

# The most that is believed of a size: layers are counted through before weights are looked at.
MOST = {"layers": 256, "heads": 1_024, "width": 65_536, "ffn": 1_048_576, "vocab": 16_777_216, "positions": 1_048_576}

"""How far tensors are padded, and what masks padding."""

import numpy as np

MASKED = np.float32(-1e9)
CLOSED = -30_000.0
"""What hides a place where float16 has to hold it, too: exp() of it is zero."""

GRAIN = 16
"""Slots and source positions come in multiples of this. Vector instructions then add a row's numbers in an order that
does not depend on how far it is padded."""


def round_up(size: int, grain: int = GRAIN) -> int:
    """The next multiple."""
    return -(-size // grain) * grain

"""Tensors in a device's memory, without any device."""

import numpy as np

from dragoman.server.runtime.buffers import Resident


def test_a_part_and_a_view_lie_where_the_whole_does():
    """The first rows, and the same numbers in another shape; both keep the memory."""
    owner = object()
    whole = Resident(owner, 64, (4, 2, 3), np.dtype(np.float16))

    assert whole.front(2) == Resident(owner, 64, (2, 2, 3), whole.dtype)
    assert whole.viewed(8, -1).shape == (8, 3)
    assert whole.viewed(-1, 6).shape == (4, 6)
    assert whole.viewed(24).owner is owner
    assert {whole.front(1).pointer, whole.viewed(-1).pointer} == {64}

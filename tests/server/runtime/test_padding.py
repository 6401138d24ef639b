"""How far tensors are padded."""

import pytest

from dragoman.server.runtime.padding import GRAIN, round_up


@pytest.mark.parametrize(("size", "rounded"), [(0, 0), (1, GRAIN), (GRAIN, GRAIN), (GRAIN + 1, 2 * GRAIN)])
def test_sizes_are_rounded_up_to_the_grain(size: int, rounded: int) -> None:
    """What fits stays."""
    assert round_up(size) == rounded


def test_another_grain_is_taken_where_it_is_named() -> None:
    assert round_up(9, 8) == 16

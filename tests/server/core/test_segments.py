"""What lanes schedule."""

import pytest

from dragoman.bundle.manifest import Decoding
from dragoman.server.core.segments import Segment, Work
from dragoman.server.decode.strategies.forced import Forced


@pytest.mark.parametrize(("max_length", "factor", "most"), [(100, 2.0, 8), (5, 2.0, 5), (100, 1.1, 5), (100, 0.01, 1)])
def test_the_smaller_limit_holds_and_leaves_one_token(max_length: int, factor: float, most: int) -> None:
    """Four source tokens, times the factor, rounded up."""
    segment = Segment((1, 2, 3, 4), Decoding(max_length=max_length, max_length_factor=factor))

    assert segment.max_target_tokens == most


def test_a_given_target_is_as_long_as_it_is() -> None:
    """With its prefix and its end token, whatever the settings say."""
    segment = Segment((1,), Decoding(max_length=2), strategy=Forced((7, 8, 9)), prefix=(5,))

    assert segment.max_target_tokens == 5


def test_work_adds_up_part_by_part() -> None:
    """For the segments of a text."""
    assert Work(1, 2, 3) + Work(10, 20, 30) == Work(11, 22, 33)

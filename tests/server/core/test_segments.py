"""What lanes schedule."""

from dataclasses import replace
from typing import Any

import pytest

from dragoman.bundle.manifest import Decoding
from dragoman.server.core.segments import LIGHT_COST, Segment, Size, Work, is_light
from dragoman.server.decode.strategies.alternatives import Alternatives
from dragoman.server.decode.strategies.forced import Forced
from dragoman.server.decode.strategies.nat import NonAutoregressive
from dragoman.server.decode.strategies.sampling import Sampling


@pytest.mark.parametrize(("max_length", "factor", "most"), [(100, 2.0, 8), (5, 2.0, 5), (100, 1.1, 5), (100, 0.01, 1)])
def test_the_smaller_limit_holds_and_leaves_one_token(max_length: int, factor: float, most: int) -> None:
    """Four source tokens, times the factor, rounded up."""
    segment = Segment((1, 2, 3, 4), Decoding(max_length=max_length, max_length_factor=factor))

    assert segment.max_target_tokens == most


def test_a_given_target_is_as_long_as_it_is() -> None:
    """With its prefix and its end token, whatever the settings say."""
    segment = Segment((1,), Decoding(max_length=2), strategy=Forced((7, 8, 9)), prefix=(5,))

    assert segment.max_target_tokens == 5


GREEDY = Decoding(max_length=512, max_length_factor=2.5, beam_size=1)
BEAM = replace(GREEDY, beam_size=6)
LONG = replace(BEAM, min_length=150, max_length_factor=100.0)


@pytest.mark.parametrize(
    ("decoding", "fields", "default_width", "cost"),
    [
        (GREEDY, {}, 1, 20),
        (BEAM, {}, 6, 20),
        (BEAM, {}, 1, 120),
        (GREEDY, {}, 6, 20),  # its source is read all the same
        (replace(GREEDY, max_length=1), {}, 1, 20),
        (LONG, {}, 6, 150),
        (replace(LONG, max_length_factor=2.5), {}, 6, 50),  # no more than can come
        (replace(GREEDY, min_length=150), {}, 1, 50),
        (GREEDY, {"prefix": (5,) * 30}, 1, 30),
        (GREEDY, {"strategy": Forced((7,) * 99)}, 1, 100),
        (replace(GREEDY, num_hypotheses=16), {"strategy": Sampling(1)}, 1, 320),
        (replace(BEAM, beam_size=2), {"strategy": Alternatives(4)}, 1, 160),
        (GREEDY, {"strategy": NonAutoregressive("nat", passes=4, length_candidates=5)}, 1, 400),
        (GREEDY, {"strategy": NonAutoregressive("nat", exact_length=199)}, 1, 200),
        (replace(GREEDY, beam_size=8), {"strategy": NonAutoregressive("ctc")}, 1, 160),
    ],
)
def test_a_default_request_costs_its_source_tokens(
    decoding: Decoding, fields: dict[str, Any], default_width: int, cost: int
) -> None:
    """Twenty of them here; wider and longer decoding costs as many times as much as it computes more positions."""
    assert Segment((1,) * 20, decoding, **fields).cost(default_width) == cost


def test_a_segment_takes_the_longer_of_its_source_and_its_target() -> None:
    """In every hypothesis."""
    assert Segment((1,) * 20, LONG).size(6) == Size(150, 150, 6)
    assert Segment((1,) * 20, replace(GREEDY, max_length=3)).size(1) == Size(20, 20, 1)


@pytest.mark.parametrize(
    ("costs", "light"), [([], True), ([LIGHT_COST], True), ([LIGHT_COST, 1], False), ([1] * LIGHT_COST, True)]
)
def test_a_request_is_light_by_all_that_it_costs(costs: list[int], light: bool) -> None:
    """However many segments it has."""
    assert is_light(costs) is light


def test_work_adds_up_part_by_part() -> None:
    """For the segments of a text."""
    assert Work(1, 2, 3) + Work(10, 20, 30) == Work(11, 22, 33)

"""Overrides, and which of them are refused."""

from __future__ import annotations

import math

import pytest

from dragoman.bundle.manifest import Decoding, Limits
from dragoman.server.decoding import DecodingBounds, resolve
from dragoman.server.domain import DecodingOverrides
from dragoman.server.errors import InvalidRequest, UnsupportedByModel

BOUNDS = DecodingBounds(max_beam_size=8, limits=Limits(32, 64), has_shortlist=False)
DEFAULTS = Decoding(beam_size=4, num_hypotheses=2, max_length=100)


@pytest.mark.parametrize(
    ("overrides", "field"),
    [
        ({"beam_size": 0}, "beam_size"),
        ({"beam_size": 9}, "beam_size"),
        ({"beam_size": 2**32 - 1}, "beam_size"),
        ({"num_hypotheses": 0}, "num_hypotheses"),
        ({"num_hypotheses": 9}, "num_hypotheses"),
        ({"beam_size": 2, "num_hypotheses": 3}, "num_hypotheses"),
        ({"length_penalty": math.nan}, "length_penalty"),
        ({"length_penalty": math.inf}, "length_penalty"),
        ({"length_penalty": -0.1}, "length_penalty"),
        ({"length_penalty": 10.5}, "length_penalty"),
        ({"max_length": 0}, "max_length"),
        ({"max_length": 65}, "max_length"),
        ({"max_length": 2**31}, "max_length"),
        ({"max_length_factor": 0.0}, "max_length_factor"),
        ({"max_length_factor": -1.0}, "max_length_factor"),
        ({"max_length_factor": math.nan}, "max_length_factor"),
    ],
)
def test_values_out_of_range_are_refused_by_name(overrides: dict[str, float], field: str) -> None:
    """Exactly the field at fault is named, with the value and the limits."""
    with pytest.raises(InvalidRequest) as refused:
        resolve(DEFAULTS, DecodingOverrides(**overrides), BOUNDS)  # type: ignore[arg-type]

    assert [violation.field for violation in refused.value.violations] == [f"decoding.{field}"]


def test_a_default_beam_that_is_too_wide_is_not_blamed_on_the_hypotheses() -> None:
    """The field that is named is the one whose number is shown."""
    with pytest.raises(InvalidRequest) as refused:
        resolve(Decoding(beam_size=4000), DecodingOverrides(num_hypotheses=2), BOUNDS)

    assert str(refused.value).startswith("decoding.beam_size: 4000 is not between 1 and 8")


def test_all_reasons_come_at_once() -> None:
    """Whoever sends three bad fields learns of three."""
    with pytest.raises(InvalidRequest) as refused:
        resolve(DEFAULTS, DecodingOverrides(beam_size=9, length_penalty=math.nan, max_length=0), BOUNDS)

    assert [one.field for one in refused.value.violations] == [
        "decoding.beam_size",
        "decoding.length_penalty",
        "decoding.max_length",
    ]


@pytest.mark.parametrize(
    ("overrides", "beam_size", "num_hypotheses"),
    [
        ({}, 4, 2),
        ({"beam_size": 1}, 1, 1),
        ({"beam_size": 8}, 8, 2),
        ({"num_hypotheses": 3}, 4, 3),
        ({"num_hypotheses": 6}, 6, 6),
        ({"beam_size": 8, "num_hypotheses": 8}, 8, 8),
    ],
)
def test_beam_and_hypotheses_follow_each_other(overrides: dict[str, int], beam_size: int, num_hypotheses: int) -> None:
    """What is not asked for gives way to what is: a beam grows for hypotheses, hypotheses shrink for a beam."""
    decoding = resolve(DEFAULTS, DecodingOverrides(**overrides), BOUNDS)  # type: ignore[arg-type]

    assert (decoding.beam_size, decoding.num_hypotheses) == (beam_size, num_hypotheses)


def test_the_default_length_is_held_to_the_network() -> None:
    """A bundle's own default may exceed its network; a request's may not."""
    assert resolve(DEFAULTS, DecodingOverrides(), BOUNDS).max_length == 64


def test_a_model_is_not_asked_for_what_it_lacks() -> None:
    """A shortlist it does not have and a profile that is not its own are refused; its own profile is not."""
    with pytest.raises(UnsupportedByModel, match=r"decoding\.shortlist: this model's bundle has no"):
        resolve(DEFAULTS, DecodingOverrides(shortlist=True), BOUNDS)
    with pytest.raises(UnsupportedByModel, match=r"decoding\.profile: 'hf', and this model decodes with 'marian' only"):
        resolve(DEFAULTS, DecodingOverrides(profile="hf"), BOUNDS)

    with pytest.raises(UnsupportedByModel) as refused:
        resolve(DEFAULTS, DecodingOverrides(profile="x" * 10_000), BOUNDS)
    assert len(str(refused.value)) < 200

    assert resolve(DEFAULTS, DecodingOverrides(shortlist=False, profile="marian"), BOUNDS).profile == "marian"

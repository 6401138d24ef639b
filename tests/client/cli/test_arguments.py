"""Kinds of arguments, and what each says of a value that it does not take."""

from argparse import ArgumentTypeError
from collections.abc import Callable
from enum import StrEnum
from typing import Any

import pytest

from dragoman.cli.arguments import at_least_zero, count, finite, member, positive


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"
    UNKNOWN = "unknown"


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (count, "1", 1),
        (count, " 12 ", 12),
        (at_least_zero, "0", 0),
        (finite, "-1.5", -1.5),
        (finite, "1e3", 1000.0),
        (positive, "0.5", 0.5),
        (member(Colour), "blue", Colour.BLUE),
    ],
)
def test_a_value_in_range_is_taken(kind: Callable[[str], Any], text: str, value: object) -> None:
    """As the number or the member that it is."""
    assert kind(text) == value


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        (count, "0", "0 is below 1"),
        (count, "two", "'two' is not a whole number"),
        (count, "1.5", "'1.5' is not a whole number"),
        (at_least_zero, "-1", "-1 is below 0"),
        (finite, "nan", "'nan' is not a finite number"),
        (finite, "-inf", "'-inf' is not a finite number"),
        (finite, "x", "'x' is not a number"),
        (positive, "0", "'0' is not above 0"),
        (positive, "-2", "'-2' is not above 0"),
        (member(Colour), "green", "'green' is not one of red, blue"),
        (member(Colour), "unknown", "'unknown' is not one of red, blue"),
    ],
)
def test_any_other_is_refused_in_the_users_words(kind: Callable[[str], Any], text: str, said: str) -> None:
    """A value that only a newer server may say can not be asked for."""
    with pytest.raises(ArgumentTypeError) as refused:
        kind(text)

    assert str(refused.value) == said

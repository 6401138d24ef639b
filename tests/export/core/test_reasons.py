"""Refusing once, with all the reasons."""

from pathlib import Path

import pytest

from dragoman.export.core.errors import ExportError, UnsupportedModel
from dragoman.export.core.reasons import Reasons, short


def test_all_unmet_conditions_are_raised_together():
    """In the order they were found, each once, under the model's name."""
    reasons = Reasons()
    reasons.require(1 == 1, "never said")
    reasons.require(None, "first")
    reasons.add("second")
    reasons.add("first")

    with pytest.raises(UnsupportedModel) as error:
        reasons.raise_if_any(Path("model.bin"))

    assert error.value.reasons == ("first", "second")
    assert str(error.value) == "model.bin: cannot be exported, for 2 reasons:\n  - first\n  - second"
    assert isinstance(error.value, ExportError)
    assert (len(reasons), repr(reasons)) == (2, "<Reasons 2 unmet>")


def test_no_reason_raises_nothing():
    """A model that meets everything passes."""
    Reasons().raise_if_any(Path("model.bin"))


def test_values_from_outside_are_cut():
    """A list that holds itself nine times, nine deep, is one short line."""
    value: list[object] = ["x"]
    for _ in range(9):
        value = [value] * 9

    assert len(short(value)) == 80
    assert short("relu") == "'relu'"

"""What a reader must know about a translation."""

import pytest

from dragoman.client.problems import problem_of
from dragoman.client.types import FinishReason, Hypothesis, TermOutcome, Translation


@pytest.mark.parametrize("reason", FinishReason)
def test_whatever_may_be_incomplete_is_said(reason: FinishReason) -> None:
    """And nothing of what is complete."""
    translation = Translation((Hypothesis("a"),), reason)

    assert bool(problem_of(translation)) != translation.is_complete
    assert "was dropped" in problem_of(Translation((Hypothesis("a"),), reason, source_truncated=True))


def test_terms_without_a_place_are_named() -> None:
    """Those that stand where they belong are not, nor those that lie in what is kept as it is, which is meant so."""
    placed = TermOutcome(0, 2, 2, source="fine"), TermOutcome(1, 2, 1, source="in a URL")
    appended = TermOutcome(0, 1, 1, appended=1, source="last")

    assert problem_of(Translation((Hypothesis("a"),), FinishReason.STOP, terms=placed)) == ""
    assert problem_of(Translation((Hypothesis("a"),), FinishReason.STOP, terms=(*placed, appended))) == (
        "nothing said where these terms belong, and they stand at the end: last"
    )

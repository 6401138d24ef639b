"""What a reader must know about a translation."""

import pytest

from dragoman.client.problems import problem_of
from dragoman.client.types import FinishReason, Hypothesis, Translation


@pytest.mark.parametrize("reason", FinishReason)
def test_whatever_may_be_incomplete_is_said(reason: FinishReason) -> None:
    """And nothing of what is complete."""
    translation = Translation((Hypothesis("a"),), reason)

    assert bool(problem_of(translation)) != translation.is_complete
    assert "was dropped" in problem_of(Translation((Hypothesis("a"),), reason, source_truncated=True))

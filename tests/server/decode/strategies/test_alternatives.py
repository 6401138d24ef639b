"""Beams that part after the prefix."""

import numpy as np
import pytest

from dragoman.server.decode.strategies.alternatives import Alternatives
from dragoman.server.decode.strategies.offers import Offers


def some_candidates() -> Offers:
    return Offers(
        np.array([[-1.0, -2.0], [-np.inf, -np.inf], [-np.inf, -np.inf]]),
        np.full((3, 2), 4),
        np.full((3, 2), -0.5, np.float32),
        np.full((3, 2), 5),
    )


@pytest.mark.parametrize(("least", "expected"), [(0.0, [4, 9, 7]), (0.1, [4, 9]), (0.9, [4])])
def test_beams_part(least, expected):
    """Each beam gets one of the best words, from place 0, and nothing else; none too improbable but the best."""
    found = some_candidates()
    scores, words = np.array([-3.0, -1.0, -2.0, -7.0]), np.array([7, 4, 9, 2])

    Alternatives(3, least).part(found, scores, scores.astype(np.float32), words)

    alive = found.score[:, 0] > -np.inf
    assert found.word[alive, 0].tolist() == expected
    assert found.logp[alive, 0].tolist() == found.score[alive, 0].tolist()
    assert (found.score[:, 1] == -np.inf).all()
    assert not found.parent.any()

"""The four toolkits' rules, one decision at a time. Whole searches by these rules: `test_search.py`."""

import math

import numpy as np
import pytest

from dragoman.bundle.manifest import Decoding
from dragoman.server.core.segments import FinishReason, Hypothesis
from dragoman.server.decode.toolkits import (
    UNLIMITED,
    BeamResults,
    choose,
    coverage,
    enough,
    num_candidates,
    ranking,
    room,
)

X = -np.inf


def decide(profile, width, scores, ends, *, at_limit=False, room=UNLIMITED):
    """What becomes of one beam's candidates: the ranks that end and those that live on."""
    ended, taken, live = choose(
        profile,
        width,
        np.array([scores], np.float64),
        np.array([[mark == "E" for mark in ends]]),
        np.array([at_limit]),
        np.array([room]),
    )
    places = np.arange(width) if taken is None else taken[0]
    return np.flatnonzero(ended[0]).tolist(), places[live[0]].tolist()


@pytest.mark.parametrize(
    ("profile", "scores", "ends", "options", "expected"),
    [
        ("marian", [-1, -2], "E.", {"room": 2}, ([0], [1])),
        ("marian", [-1, -2], ".E", {"room": 1}, ([], [0])),
        ("marian", [-1, X], "..", {"room": 2}, ([], [0])),
        ("marian", [-1, -2], "E.", {"room": 2, "at_limit": True}, ([0, 1], [])),
        ("hf", [-1, -2, -3, -4], "E.E.", {}, ([0], [1, 3])),
        ("hf", [-1, -2, -3, -4], "EE..", {}, ([0, 1], [2, 3])),
        ("hf", [-1, X, X, X], "E...", {}, ([0], [])),
        ("ct2", [-1, -2, -3, -4], ".E.E", {"at_limit": True}, ([0, 1], [])),
        ("fairseq", [-1, -2, -3, -4], "EE..", {"room": 1}, ([0], [2, 3])),
        ("fairseq", [-1, -2, X, X], "EE..", {"room": 2}, ([0, 1], [])),
        ("ct2", [-1, -2, X, X], "...E", {}, ([], [0, 1])),
    ],
)
def test_candidates_are_divided(profile, scores, ends, options, expected):
    """Ends below the width count, what goes on moves up, and nothing impossible does either."""
    assert decide(profile, 2, scores, ends, **options) == expected


def test_candidates_on_offer():
    """Twice the width, but Marian's and greedy search take no more than they have places."""
    assert [num_candidates(p, 4) for p in ("marian", "fairseq", "hf", "ct2")] == [4, 8, 8, 8]
    assert num_candidates("hf", 1) == 1


@pytest.mark.parametrize(
    ("width", "patience", "expected"), [(4, 1.0, 4), (5, 0.5, 3), (3, 0.5, 2), (1, 0.1, 1), (4, 2.5, 10)]
)
def test_halves_are_rounded_up(width, patience, expected):
    """Patience times the width is rounded as C does, and at least one hypothesis is waited for."""
    assert enough(Decoding(patience=patience), width) == expected


def test_room():
    """Marian's beam narrows; fairseq keeps the first of its width; the others have no bound."""
    assert room(Decoding(), 4) == 4
    assert room(Decoding(profile="fairseq", patience=1.5), 4) == 6
    assert room(Decoding(profile="fairseq", early_stopping="exhaustive"), 4) == UNLIMITED
    assert room(Decoding(profile="ct2"), 4) == UNLIMITED


def test_rankings():
    """Hand-computed: a power of the length, GNMT's shifted one, and a penalty for each word."""
    assert ranking(Decoding(length_penalty=1.0), -6.0, 3) == -2.0
    assert ranking(Decoding(length_penalty=0.5), -6.0, 4) == -3.0
    assert ranking(Decoding(length_penalty=0.0), -6.0, 9) == -6.0
    assert ranking(Decoding(length_penalty=2.0, length_penalty_kind="gnmt"), -16.0, 7) == -4.0
    assert ranking(Decoding(length_penalty=1.0, word_penalty=0.5), -6.0, 3) == -0.5


def test_coverage():
    """Only what lacks to a whole counts; a word that got nothing, such as padding, does not count at all."""
    attention = np.array([[0.5, 0.5, 0.0], [0.25, 0.75, 0.0]], np.float32)

    assert coverage(attention) == pytest.approx(math.log(0.75))
    assert coverage(np.zeros((2, 3), np.float32)) == 0.0


def a_beam(scores, *, width=4, wanted=1, tops=False, **options) -> BeamResults:
    beam = BeamResults(Decoding(**options), width=width, wanted=wanted)
    for n, score in enumerate(scores):
        beam.end(Hypothesis((n,), score, score, FinishReason.STOP), is_top=tops)
    return beam


def test_a_beam_keeps_its_best_hypotheses():
    """Best first; of equals, what ended first; no more than can matter."""
    beam = a_beam([-2.0, -1.0, -2.0, -1.0, -3.0], width=3, profile="hf")

    assert [h.ids for h in beam.ended] == [(1,), (3,), (0,)]
    assert repr(beam) == "<BeamResults 3 wide, 3 ended>"


@pytest.mark.parametrize(
    ("scores", "options", "expected"),
    [
        ([-1], {"width": 1}, True),
        ([], {"width": 1}, False),
        ([-1, -1, -1], {"profile": "fairseq"}, False),
        ([-1, -1, -1, -1], {"profile": "fairseq"}, True),
        ([-1, -1], {"profile": "ct2", "patience": 0.5}, True),
        ([-1, -1, -1, -1], {"profile": "ct2", "patience": 1.5}, False),
        ([-1], {"profile": "ct2", "length_penalty": 0.0}, False),
        ([-1], {"profile": "ct2", "length_penalty": 0.0, "tops": True}, True),
        ([-1], {"profile": "ct2", "length_penalty": 0.0, "tops": True, "wanted": 2}, False),
        ([-1], {"profile": "ct2", "length_penalty": 0.0, "tops": True, "word_penalty": 0.1}, False),
        # The best live one has -12 at length 6: it ranks -2 now and could come to -12 / 10.
        ([-1, -1, -1, -2], {"profile": "hf", "early_stopping": "heuristic"}, True),
        ([-1, -1, -1, -2.1], {"profile": "hf", "early_stopping": "heuristic"}, False),
        ([-1, -1, -1], {"profile": "hf", "early_stopping": "heuristic"}, False),
        ([-1.2], {"profile": "hf", "early_stopping": "exhaustive"}, True),
        ([-1.21], {"profile": "hf", "early_stopping": "exhaustive"}, False),
        ([-1.2, -1.2], {"profile": "hf", "early_stopping": "exhaustive", "wanted": 3}, False),
        ([-1.2], {"profile": "hf", "early_stopping": "exhaustive", "word_penalty": 0.1}, False),
        ([-0.19], {"profile": "hf", "early_stopping": "exhaustive", "word_penalty": 0.1}, True),
        ([-1.9], {"profile": "hf", "early_stopping": "exhaustive", "word_penalty": -0.1}, True),
        ([-1.91], {"profile": "hf", "early_stopping": "exhaustive", "word_penalty": -0.1}, False),
        ([-0.1], {"profile": "hf", "early_stopping": "exhaustive", "repetition_penalty": 0.9}, False),
    ],
)
def test_when_a_beam_is_over(scores, options, expected):
    """With enough hypotheses (first), when what lives could not win now (heuristic) or ever (exhaustive)."""
    beam = a_beam(scores, **options)

    assert beam.is_over(best_live=-12.0, length=6, limit=10) == expected
    assert beam.may_be_over or not expected

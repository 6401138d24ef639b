"""What beams are offered, against slow versions; draws against their probabilities."""

from __future__ import annotations

import numpy as np
import pytest

from dragoman.server.core.strategies import Alternatives, Sample
from dragoman.server.decode.proposals import Offers, drawn, in_turn, let_only_the_best_end, part, ranked


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("count", [1, 2, 8])
def test_ranked_is_a_full_sort(seed, count):
    """The best are those of a plain sort; of equals the first."""
    scores = -np.random.default_rng(seed).integers(0, 4, (5, 12)).astype(np.float64)
    scores[:, ::5] = -np.inf

    found = ranked(scores, count)

    assert found.tolist() == [sorted(range(12), key=lambda i: (-row[i], i))[:count] for row in scores.tolist()]


LOGP = np.log(np.array([0.4, 0.3, 0.2, 0.1]))
WORDS = np.array([9, 4, 7, 2])


def shares(strategy, logp=LOGP, words=WORDS, draws=3000):
    """How often each word is drawn."""
    draw = np.random.default_rng(1)
    found = [int(words[drawn(strategy, logp - 5.0, words, draw)]) for _ in range(draws)]
    return {word: found.count(word) / draws for word in set(found)}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {9: 0.4, 4: 0.3, 7: 0.2, 2: 0.1}),
        ({"top_k": 2}, {9: 4 / 7, 4: 3 / 7}),
        ({"top_k": 1}, {9: 1.0}),
        ({"top_k": 100}, {9: 0.4, 4: 0.3, 7: 0.2, 2: 0.1}),
        ({"top_p": 0.41}, {9: 4 / 7, 4: 3 / 7}),
        ({"top_p": 0.39}, {9: 1.0}),
        ({"top_p": 0.95}, {9: 0.4, 4: 0.3, 7: 0.2, 2: 0.1}),
        ({"top_p": 0.89}, {9: 4 / 9, 4: 3 / 9, 7: 2 / 9}),
        ({"top_p": 1e-9}, {9: 1.0}),
        ({"top_k": 3, "top_p": 0.7}, {9: 4 / 7, 4: 3 / 7}),
        ({"temperature": 0.5}, {9: 16 / 30, 4: 9 / 30, 7: 4 / 30, 2: 1 / 30}),
        ({"temperature": 0.5, "top_p": 0.5}, {9: 1.0}),
        ({"temperature": 1e-4}, {9: 1.0}),
    ],
    ids=str,
)
def test_words_are_drawn_in_proportion(options, expected):
    """First the top k, then the temperature, then the top p with the word that crosses it: by chi-square, at 99.9 %."""
    found = shares(Sample(0, **options))

    assert set(found) == set(expected)
    assert sum(3000 * (found[w] - p) ** 2 / p for w, p in expected.items()) < 16.3  # 3 degrees of freedom


def test_impossible_words_are_never_drawn():
    """They have no share, and where nothing is possible the first index comes back without a draw."""
    logp = np.array([-np.inf, -1.0, -np.inf, -np.inf])
    draw = np.random.default_rng(1)
    before = draw.bit_generator.state

    assert shares(Sample(0), logp) == {4: 1.0}
    assert drawn(Sample(0), np.full(4, -np.inf), WORDS, draw) == 0
    assert draw.bit_generator.state == before


def test_a_draw_does_not_depend_on_the_order_of_equals():
    """Of equal scores the lower word comes first, in whatever order they are presented."""
    words, scores = np.arange(50), np.repeat([-1.0, -2.0], 25)
    for seed in range(50):
        order = np.random.default_rng(1000 + seed).permutation(50)
        one = words[drawn(Sample(0, top_k=30), scores, words, np.random.default_rng(seed))]
        other = words[order][drawn(Sample(0, top_k=30), scores[order], words[order], np.random.default_rng(seed))]
        assert one == other


def test_taken_words_cost_later_beams():
    """Each earlier choice counts once; what a beam has no room for is not chosen; the cost stays in the scores."""
    words = np.tile([5, 6, 7, 8], (3, 1))
    scores = np.tile([-1.0, -1.2, -1.4, -9.0], (3, 1))

    order = in_turn(0.5, scores, words, np.array([1, 2, 1]), 2)

    assert words[0][order].tolist() == [[5, 6], [6, 7], [5, 6]]
    np.testing.assert_allclose(scores[1], [-1.5, -1.2, -1.4, -9.0])
    np.testing.assert_allclose(scores[2], [-1.5, -1.7, -1.9, -9.0])


def test_dead_beams_take_nothing():
    """A beam without continuations costs later ones nothing."""
    words = np.tile([5, 6], (2, 1))
    scores = np.array([[-np.inf, -np.inf], [-1.0, -2.0]])

    in_turn(3.0, scores, words, np.array([2, 2]), 2)

    assert scores[1].tolist() == [-1.0, -2.0]


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

    part(Alternatives(3, least), found, scores, words, scores.astype(np.float32))

    alive = found.score[:, 0] > -np.inf
    assert found.word[alive, 0].tolist() == expected
    assert found.logp[alive, 0].tolist() == found.score[alive, 0].tolist()
    assert (found.score[:, 1] == -np.inf).all()
    assert not found.parent.any()


def test_only_the_best_may_end():
    """Lower candidates that end die in their place; the best may end, and what goes on is left alone."""
    found = Offers(
        np.array([[-1.0, -2.0, -3.0]]), np.array([[2, 2, 7]]), np.zeros((1, 3), np.float32), np.zeros((1, 3), np.int64)
    )

    let_only_the_best_end(found, 0, eos_id=2, instead=1)

    assert found.score.tolist() == [[-1.0, -np.inf, -3.0]]
    assert found.word.tolist() == [[2, 1, 7]]

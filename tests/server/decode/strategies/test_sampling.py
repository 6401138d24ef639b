"""Draws against their probabilities."""

import numpy as np
import pytest

from dragoman.server.decode.strategies.sampling import Sampling

LOGP = np.log(np.array([0.4, 0.3, 0.2, 0.1]))
WORDS = np.array([9, 4, 7, 2])


def shares(strategy, logp=LOGP, words=WORDS, draws=3000):
    """How often each word is drawn."""
    draw = np.random.default_rng(1)
    found = [int(words[strategy.draw(logp - 5.0, logp.astype(np.float32), words, draw)]) for _ in range(draws)]
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
        ({"min_p": 0.7}, {9: 4 / 7, 4: 3 / 7}),
        ({"min_p": 0.2}, {9: 0.4, 4: 0.3, 7: 0.2, 2: 0.1}),
        ({"min_p": 1.0}, {9: 1.0}),
        ({"min_p": 0.5, "temperature": 0.5}, {9: 16 / 25, 4: 9 / 25}),
        ({"epsilon": 0.25}, {9: 4 / 7, 4: 3 / 7}),
        ({"epsilon": 0.25, "temperature": 0.5}, {9: 16 / 25, 4: 9 / 25}),
        ({"epsilon": 0.9}, {9: 1.0}),
        ({"epsilon": 0.15, "min_p": 0.6, "top_p": 0.5}, {9: 1.0}),
    ],
    ids=str,
)
def test_words_are_drawn_in_proportion(options, expected):
    """First the top k, then epsilon, the temperature, min p, and top p with the word that crosses it; by chi-square at
    99.9 %.
    """
    found = shares(Sampling(0, **options))

    assert set(found) == set(expected)
    assert sum(3000 * (found[w] - p) ** 2 / p for w, p in expected.items()) < 16.3  # 3 degrees of freedom


def test_impossible_words_are_never_drawn():
    """They have no share, and where nothing is possible the first index comes back without a draw."""
    logp = np.array([-np.inf, -1.0, -np.inf, -np.inf])
    draw = np.random.default_rng(1)
    before = draw.bit_generator.state

    assert shares(Sampling(0), logp) == {4: 1.0}
    assert Sampling(0).draw(np.full(4, -np.inf), LOGP.astype(np.float32), WORDS, draw) == 0
    assert draw.bit_generator.state == before


def test_a_draw_does_not_depend_on_the_order_of_equals():
    """Of equal scores the lower word comes first, in whatever order they are presented."""
    words, scores = np.arange(50), np.repeat([-1.0, -2.0], 25)
    for seed in range(50):
        order = np.random.default_rng(1000 + seed).permutation(50)
        strategy, logp = Sampling(0, top_k=30), scores.astype(np.float32)
        one = words[strategy.draw(scores, logp, words, np.random.default_rng(seed))]
        at = strategy.draw(scores[order], logp[order], words[order], np.random.default_rng(seed))
        other = words[order][at]
        assert one == other


@pytest.mark.parametrize("epsilon", [0.5, 0.25, 0.02, 0.001])
def test_epsilon_bounds_what_must_be_looked_at(epsilon):
    """Even where as many words as possible have just that much, all of them are among the best that are asked for."""
    most = int(1 / epsilon)
    assert most <= Sampling(0, epsilon=epsilon).num_choices(1, 1) <= most + 1
    assert Sampling(0, top_k=1, epsilon=epsilon).num_choices(1, 1) == 1

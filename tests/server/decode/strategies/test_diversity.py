"""What earlier groups chose costs the later ones."""

import numpy as np

from dragoman.server.decode.strategies.diversity import Diversity


def take(strategy, scores, words, room):
    return strategy.order(scores, scores.astype(np.float32), words, room=np.array(room), draws=[], count=2)


def test_taken_words_cost_later_beams():
    """Each earlier choice counts once; what a beam has no room for is not chosen; the cost stays in the scores."""
    words = np.tile([5, 6, 7, 8], (3, 1))
    scores = np.tile([-1.0, -1.2, -1.4, -9.0], (3, 1))

    order = take(Diversity(2, 0.5), scores, words, [1, 2, 1])

    assert words[0][order].tolist() == [[5, 6], [6, 7], [5, 6]]
    np.testing.assert_allclose(scores[1], [-1.5, -1.2, -1.4, -9.0])
    np.testing.assert_allclose(scores[2], [-1.5, -1.7, -1.9, -9.0])


def test_dead_beams_take_nothing():
    """A beam without continuations costs later ones nothing."""
    words = np.tile([5, 6], (2, 1))
    scores = np.array([[-np.inf, -np.inf], [-1.0, -2.0]])

    take(Diversity(2, 3.0), scores, words, [2, 2])

    assert scores[1].tolist() == [-1.0, -2.0]

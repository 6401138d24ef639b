"""What beams are offered, beside a plain sort."""

import numpy as np
import pytest

from dragoman.server.decode.strategies.offers import Offers, let_only_the_best_end, ranked


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("count", [1, 2, 8])
def test_ranked_is_a_full_sort(seed, count):
    """The best are those of a plain sort; of equals the first."""
    scores = -np.random.default_rng(seed).integers(0, 4, (5, 12)).astype(np.float64)
    scores[:, ::5] = -np.inf

    found = ranked(scores, count)

    assert found.tolist() == [sorted(range(12), key=lambda i: (-row[i], i))[:count] for row in scores.tolist()]


def test_only_the_best_may_end():
    """Lower candidates that end die in their place; the best may end, and what goes on is left alone."""
    found = Offers(
        np.array([[-1.0, -2.0, -3.0]]), np.array([[2, 2, 7]]), np.zeros((1, 3), np.float32), np.zeros((1, 3), np.int64)
    )

    let_only_the_best_end(found, 0, eos_id=2, instead=1)

    assert found.score.tolist() == [[-1.0, -np.inf, -3.0]]
    assert found.word.tolist() == [[2, 1, 7]]

"""What the decoder keeps of words that are read one after another, against plain lists."""

import numpy as np
import pytest
from fake_runtime import FakeRuntime

from dragoman.server.decode.step import Advance
from dragoman.server.kvcache.nodes import chain_nodes_of


def kept(counts) -> Advance:
    """The first so many of each source's new words stand."""
    n = len(counts)
    return Advance(np.zeros((n, 1), np.int64), np.ones((n, 1), np.bool_), np.array(counts), [])


@pytest.mark.parametrize("width", [1, 4])
def test_each_source_sees_the_words_it_has_read_in_their_order(width):
    """Rounds of up to `width` words, of which each source keeps its own number, and sources that come and go."""
    rng = np.random.default_rng(width)
    pool, read = chain_nodes_of(FakeRuntime(), 3), [[], [], []]
    for _ in range(3):
        pool.admit({})
    number = 0
    for _ in range(60):
        names = np.arange(number, number + 3 * width).reshape(3, width)
        number += 3 * width
        counts = rng.integers(1, width + 1, 3).tolist()
        new = np.broadcast_to(names[:, None, :, None], (3, 2, width, 2)).astype(np.float32)
        pool.keep([new] * 2, kept(counts))
        for g, count in enumerate(counts):
            read[g] += names[g, :count].tolist()
        if rng.random() < 0.1:
            pool.remove(0)
            pool.admit({})
            read = [read[-1], *read[1:-1], []]
        feed = pool.feed(np.tri(2, dtype=np.bool_))
        for g in range(3):
            size = len(read[g])
            assert feed["self_k.0"][g, 0, :size, 0].tolist() == read[g]
            is_open = feed["mask"][g, 0] == 0
            assert is_open[:, :size].all()
            assert not is_open[:, size:-2].any()
            assert np.array_equal(is_open[:, -2:], np.tri(2, dtype=np.bool_))


def test_slots_are_given_up_that_only_a_long_source_needed():
    """A pool is as small after it as before."""
    pool = chain_nodes_of(FakeRuntime(), 2)
    pool.admit({})
    first = pool.feed(np.ones((1, 1), np.bool_))["self_k.0"].shape[2]
    for _ in range(100):
        pool.keep([np.zeros((1, 2, 1, 2), np.float32)] * 2, kept([1]))
    assert pool.feed(np.ones((1, 1), np.bool_))["self_k.0"].shape[2] > 100

    pool.remove(0)
    pool.admit({})

    assert pool.feed(np.ones((1, 1), np.bool_))["self_k.0"].shape[2] == first


def test_there_are_no_more_slots_than_the_longest_source_needs():
    """In sixteens: whatever lies behind would be read at every step."""
    pool = chain_nodes_of(FakeRuntime(), 2)
    pool.admit({})
    pool.admit({})

    for length in range(1, 70):
        pool.keep([np.zeros((2, 2, 1, 2), np.float32)] * 2, kept([1, 0]))
        assert pool.feed(np.ones((1, 1), np.bool_))["self_k.0"].shape[2] == -(-length // 16) * 16

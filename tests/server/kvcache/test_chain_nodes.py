"""What the decoder keeps of words that are read one after another, against plain lists."""

from __future__ import annotations

import numpy as np
import pytest

from dragoman.bundle.manifest import Tensor
from dragoman.server.kvcache.chain_nodes import ChainStates, chain_nodes_of, chain_pool_of
from dragoman.server.runtime.host_store import HostStore
from dragoman.server.testing import FakeRuntime


@pytest.mark.parametrize("width", [1, 4])
def test_each_source_sees_the_words_it_has_read_in_their_order(width):
    """Rounds of up to `width` words, of which each source keeps its own number, and sources that come and go."""
    rng = np.random.default_rng(width)
    pool, read = chain_pool_of(FakeRuntime(), 3), [[], [], []]
    for _ in range(3):
        pool.admit()
    number = 0
    for _ in range(60):
        names = np.arange(number, number + 3 * width).reshape(3, width)
        number += 3 * width
        counts = rng.integers(1, width + 1, 3).tolist()
        new = np.broadcast_to(names[:, None, :, None], (3, 2, width, 2)).astype(np.float32)
        pool.keep([new] * 2, counts)
        for g, count in enumerate(counts):
            read[g] += names[g, :count].tolist()
        if rng.random() < 0.1:
            pool.remove(0)
            pool.admit()
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
    pool = chain_pool_of(FakeRuntime(), 2)
    pool.admit()
    first = pool.feed(np.ones((1, 1), np.bool_))["self_k.0"].shape[2]
    for _ in range(100):
        pool.keep([np.zeros((1, 2, 1, 2), np.float32)] * 2, [1])
    assert pool.feed(np.ones((1, 1), np.bool_))["self_k.0"].shape[2] > 100

    pool.remove(0)
    pool.admit()

    assert pool.feed(np.ones((1, 1), np.bool_))["self_k.0"].shape[2] == first


def test_a_chains_state_is_that_of_its_last_word_that_stands():
    """Of a stride's states, [U, G, d], each source takes the one behind the words it keeps; moving takes it along."""
    declared = [Tensor(f"state.{n}", "float32", ("G", "q", n + 1)) for n in range(2)]
    states = ChainStates(HostStore(declared, {"G": 3, "q": 1}))
    for _ in range(3):
        states.admit()
    said = np.arange(4 * 3, dtype=np.float32).reshape(4, 3, 1)

    states.keep([said, np.repeat(said, 2, 2)], [4, 1, 2])
    states.remove(0)

    fed = states.feed(np.ones((1, 4), np.bool_))
    assert fed["state.0"].tolist() == [[[5]], [[1]]]
    assert fed["state.1"].tolist() == [[[5, 5]], [[1, 1]]]


def test_the_step_graph_says_which_kind_there_is():
    """States where it reads states, slots where it reads keys and values."""
    kinds = [
        set(chain_nodes_of(FakeRuntime(**arch), 1).feed(np.ones((1, 1), np.bool_)))
        for arch in ({}, {"decoder": "ssru"})
    ]

    assert kinds == [{"mask", "self_k.0", "self_v.0"}, {"state.0"}]

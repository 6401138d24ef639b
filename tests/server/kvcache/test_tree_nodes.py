"""What the decoder keeps of tree nodes, against a plain dictionary of nodes."""

from __future__ import annotations

import numpy as np
import pytest

from dragoman.bundle.manifest import Tensor
from dragoman.server.decode.step import Advance
from dragoman.server.kvcache.chain_nodes import ChainStates, chain_pool_of
from dragoman.server.kvcache.source_memory import Memory
from dragoman.server.kvcache.tree_nodes import NodeStates, TreeNodes, tree_nodes_of
from dragoman.server.runtime.host_store import HostStore
from dragoman.server.runtime.padding import MASKED, round_up
from dragoman.server.testing import FakeRuntime

RELATIVE = {"positions": "relative", "relative_buckets": 4, "relative_distance": 3}


def a_pool(capacity: int, width: int, **arch) -> TreeNodes:
    return tree_nodes_of(FakeRuntime(**arch), capacity, width)


def a_store(*widths: int, capacity: int, hypotheses: int) -> HostStore:
    """Of states so wide."""
    declared = [Tensor(f"state.{n}", "float32", ("G", "q", width)) for n, width in enumerate(widths)]
    return HostStore(declared, {"G": capacity, "q": hypotheses})


def open_nodes(pool: TreeNodes, source: int, place: int) -> set[float]:
    """The nodes that a hypothesis sees in the pool, each node being known by the number its keys are filled with."""
    feed = pool.feed()
    slots = feed["self_k.0"].shape[2]
    seen = np.flatnonzero(feed["mask"][source, 0, place, :slots] == 0)
    return {float(feed["self_k.0"][source, 0, slot, 0]) for slot in seen}


@pytest.mark.parametrize("width", [3, 1])
@pytest.mark.parametrize("seed", range(20))
def test_every_hypothesis_sees_its_ancestors_and_nothing_else(seed, width):
    """Random trees of three sources, hypotheses dying and branching for 60 steps, sources leaving in between."""
    rng = np.random.default_rng(seed)
    sources = 3
    pool = a_pool(sources, width)
    paths = [[[] for _ in range(width)] for _ in range(sources)]
    for _ in range(sources):
        pool.admit({})
    number = 0.0
    for _ in range(60):
        names = np.arange(number, number + sources * width).reshape(sources, width)
        number += sources * width
        new = [np.broadcast_to(names[:, None, :, None], (sources, 2, width, 2)).astype(np.float32)] * 2
        parents = rng.integers(0, width, (sources, width))
        live = rng.random((sources, width)) < 0.8
        live[:, 0] = True
        pool.keep(new, Advance(parents, live, []))
        paths = [
            [[*paths[g][p], names[g, p]] if live[g, i] else [] for i, p in enumerate(parents[g])]
            for g in range(sources)
        ]
        if rng.random() < 0.1:  # a source leaves, the last one takes its index, a new one starts
            pool.remove(0)
            pool.admit({})
            paths = [paths[-1], *paths[1:-1], [[] for _ in range(width)]]
        for g in range(sources):
            for place in range(width):
                assert open_nodes(pool, g, place) == set(paths[g][place])


@pytest.mark.parametrize("width", [3, 1])
@pytest.mark.parametrize("seed", range(5))
def test_nodes_stand_where_their_ancestors_end(seed, width):
    """Relative positions: an open slot's depth is the length of the path to its node, also in slots used again."""
    rng = np.random.default_rng(seed)
    sources = 2
    pool = a_pool(sources, width, **RELATIVE)
    for _ in range(sources):
        pool.admit({})
    ages = [0] * sources
    for _ in range(80):
        # A node is known by its depth, which its keys are filled with.
        depths = np.repeat(np.array(ages, np.float32)[:, None], width, 1)
        new = [np.broadcast_to(depths[:, None, :, None], (sources, 2, width, 2))] * 2
        parents = rng.integers(0, width, (sources, width))
        pool.keep(new, Advance(parents, np.ones((sources, width), np.bool_), []))
        ages = [age + 1 for age in ages]
        if rng.random() < 0.1:
            pool.remove(0)
            pool.admit({})
            ages = [ages[-1], 0]
        feed = pool.feed()
        slots = feed["slot_depth"].shape[1]
        is_open = (feed["mask"][:, 0, :, :slots] == 0).any(1)
        assert np.array_equal(feed["slot_depth"][is_open], feed["self_k.0"][:, 0, :, 0][is_open])
        assert [int(d.max(initial=-1)) for d in np.where(is_open, feed["slot_depth"], -1)] == [age - 1 for age in ages]


def test_a_node_sees_itself_and_no_sibling():
    """Among the new nodes of a step, only a node's own column is open."""
    pool = a_pool(1, 3)
    pool.admit({})

    own = pool.feed()["mask"][0, 0, :, -3:]

    assert np.array_equal(own == 0, np.eye(3, dtype=bool))
    assert set(own[own != 0]) == {MASKED}


def test_slots_of_the_dead_are_used_again():
    """A greedy chain needs a slot a step; a beam whose losers die needs little more, however long it goes on."""
    pool = a_pool(1, 4)
    pool.admit({})
    first = pool.feed()["self_k.0"].shape[2]
    everything_from_the_first = Advance(np.zeros((1, 4), np.int64), np.ones((1, 4), np.bool_), [])
    for _ in range(first - 4):
        pool.keep([np.zeros((1, 2, 4, 2), np.float32)] * 2, everything_from_the_first)

    assert pool.feed()["self_k.0"].shape[2] == first


def test_recurrent_states_follow_their_parents():
    """Each hypothesis continues from the state of the node that it descends from."""
    states = NodeStates(a_store(4, capacity=2, hypotheses=2))
    states.admit({})
    states.admit({})
    new = np.repeat(np.arange(4, dtype=np.float32)[:, None], 4, axis=1)  # a row for each place of each source

    states.keep([new], Advance(np.array([[1, 1], [1, 0]]), np.ones((2, 2), np.bool_), []))

    assert states.feed()["state.0"][..., 0].tolist() == [[1, 1], [3, 2]]
    states.remove(0)
    states.admit({})
    assert states.feed()["state.0"][..., 0].tolist() == [[3, 2], [0, 0]]


def test_a_root_starts_with_what_the_encoder_made_for_it():
    """Every hypothesis of a new tree has its source's initial states, zero where the encoder gives none."""
    states = NodeStates(a_store(2, 3, capacity=2, hypotheses=2))
    ones = [np.ones((4, d), np.float32) for d in (2, 3)]
    states.admit({})
    states.admit({})
    states.keep(ones, Advance(np.zeros((2, 2), np.int64), np.ones((2, 2), np.bool_), []))

    states.remove(1)
    states.admit({"initial.0": np.array([5, 6], np.float32), "cross_k.0": np.zeros(1, np.float32)})

    fed = states.feed()
    assert fed["state.0"].tolist() == [[[1, 1], [1, 1]], [[5, 6], [5, 6]]]
    assert fed["state.1"].tolist() == [[[1, 1, 1], [1, 1, 1]], [[0, 0, 0], [0, 0, 0]]]


def test_rounding_up():
    """Multiples stay, everything else goes up."""
    assert [round_up(n) for n in (0, 1, 16, 17)] == [0, 16, 16, 32]


@pytest.mark.parametrize("width", [1, 3])
def test_what_is_no_number_stays_with_its_source(width):
    """Behind any mask it would still be seen: whoever takes the place of a broken source starts clean."""
    pool, chains = a_pool(2, width), chain_pool_of(FakeRuntime(), 2)
    states = ChainStates(a_store(3, capacity=2, hypotheses=1))
    memory = Memory(HostStore, [Tensor("cross_k.0", "float32", ("G", 2, 2, "S"))], 2)
    broken = np.full((2, 2, width, 2), np.nan, np.float32)
    for _ in range(2):
        pool.admit({})
        chains.admit()
        states.admit()
        memory.admit({"cross_k.0": np.full((2, 2, 16), np.nan, np.float32)}, 16)
    pool.keep([broken] * 2, Advance(np.zeros((2, width), np.int64), np.ones((2, width), np.bool_), []))
    chains.keep([broken[:, :, :1]] * 2, [1, 1])
    states.keep([np.full((4, 2, 3), np.nan, np.float32)], [4, 0])

    for _ in range(2):
        for column in (pool, chains, states, memory):
            column.remove(0)
    for _ in range(2):
        pool.admit({})
        chains.admit()
        states.admit()
        memory.admit({"cross_k.0": np.zeros((2, 2, 3), np.float32)}, 3)

    one = np.ones((1, 1), np.bool_)
    for feed in (pool.feed(), chains.feed(one), states.feed(one), memory.feed()):
        assert all(np.isfinite(tensor).all() for tensor in feed.values())

"""What the decoder keeps of tree nodes, against a plain dictionary of nodes."""

import numpy as np
import pytest
from fake_runtime import FakeRuntime

from dragoman.server.decode.step import Advance
from dragoman.server.kvcache.nodes import Nodes, nodes_of
from dragoman.server.runtime.padding import MASKED, round_up

RELATIVE = {"positions": "relative", "relative_buckets": 4, "relative_distance": 3}


def a_pool(capacity: int, width: int, **arch) -> Nodes:
    return nodes_of(FakeRuntime(**arch), capacity, width)


def itself(width: int) -> np.ndarray:
    """What nodes of a level see of one another."""
    return np.eye(width, dtype=np.bool_)


def an_advance(parents, live=None) -> Advance:
    parents = np.asarray(parents)
    live = np.ones(parents.shape, np.bool_) if live is None else live
    return Advance(parents, live, np.ones(len(parents), np.int64), [])


def open_nodes(pool: Nodes, width: int, source: int, place: int) -> set[float]:
    """The nodes that a hypothesis sees in the pool, each node being known by the number its keys are filled with."""
    feed = pool.feed(itself(width))
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
        pool.keep(new, an_advance(parents, live))
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
                assert open_nodes(pool, width, g, place) == set(paths[g][place])


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
        pool.keep(new, an_advance(parents))
        ages = [age + 1 for age in ages]
        if rng.random() < 0.1:
            pool.remove(0)
            pool.admit({})
            ages = [ages[-1], 0]
        feed = pool.feed(itself(width))
        slots = feed["slot_depth"].shape[1]
        is_open = (feed["mask"][:, 0, :, :slots] == 0).any(1)
        assert np.array_equal(feed["slot_depth"][is_open], feed["self_k.0"][:, 0, :, 0][is_open])
        assert [int(d.max(initial=-1)) for d in np.where(is_open, feed["slot_depth"], -1)] == [age - 1 for age in ages]


def test_a_node_sees_itself_and_no_sibling():
    """Among the new nodes of a step, only a node's own column is open."""
    pool = a_pool(1, 3)
    pool.admit({})

    own = pool.feed(itself(3))["mask"][0, 0, :, -3:]

    assert np.array_equal(own == 0, np.eye(3, dtype=bool))
    assert set(own[own != 0]) == {MASKED}


def test_slots_of_the_dead_are_used_again():
    """A greedy chain needs a slot a step; a beam whose losers die needs little more, however long it goes on."""
    pool = a_pool(1, 4)
    pool.admit({})
    first = pool.feed(itself(4))["self_k.0"].shape[2]
    everything_from_the_first = an_advance(np.zeros((1, 4), np.int64))
    for _ in range(first - 4):
        pool.keep([np.zeros((1, 2, 4, 2), np.float32)] * 2, everything_from_the_first)

    assert pool.feed(itself(4))["self_k.0"].shape[2] == first


def test_rounding_up():
    """Multiples stay, everything else goes up."""
    assert [round_up(n) for n in (0, 1, 16, 17)] == [0, 16, 16, 32]

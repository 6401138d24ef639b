"""Which kind of nodes there is, and what all kinds share."""

import numpy as np
import pytest
from fake_runtime import FakeRuntime

from dragoman.bundle.manifest import Tensor
from dragoman.server.decode.step import Advance
from dragoman.server.kvcache.nodes import nodes_of
from dragoman.server.kvcache.source_memory import Memory
from dragoman.server.runtime.host_store import HostStore


def test_the_step_graph_says_which_kind_there_is():
    """States where it reads states, slots where it reads keys and values."""
    one = np.ones((1, 1), np.bool_)
    kinds = [set(nodes_of(FakeRuntime(**arch), 1, 1).feed(one)) for arch in ({}, {"decoder": "ssru"})]

    assert kinds == [{"mask", "self_k.0", "self_v.0"}, {"state.0"}]


@pytest.mark.parametrize("width", [1, 3])
def test_what_is_no_number_stays_with_its_source(width):
    """Behind any mask it would still be seen: whoever takes the place of a broken source starts clean."""
    pool, states = nodes_of(FakeRuntime(), 2, width), nodes_of(FakeRuntime(decoder="ssru"), 2, width)
    memory = Memory(HostStore([Tensor("cross_k.0", "float32", ("G", 2, 2, "S"))], {"G": 2, "S": 16}), 2)
    broken = np.full((2, 2, width, 2), np.nan, np.float32)
    for _ in range(2):
        pool.admit({})
        states.admit({})
        memory.admit({"cross_k.0": np.full((2, 2, 16), np.nan, np.float32)}, 16)
    parents, live = np.zeros((2, width), np.int64), np.ones((2, width), np.bool_)
    advance = Advance(parents, live, np.ones(2, np.int64), [])
    pool.keep([broken] * 2, advance)
    states.keep([np.full((2 * width, 4), np.nan, np.float32)], advance)

    for _ in range(2):
        for column in (pool, states, memory):
            column.remove(0)
    for _ in range(2):
        pool.admit({})
        states.admit({})
        memory.admit({"cross_k.0": np.zeros((2, 2, 3), np.float32)}, 3)

    seen = np.eye(width, dtype=np.bool_)
    for feed in (pool.feed(seen), states.feed(seen), memory.feed()):
        assert all(np.isfinite(tensor).all() for tensor in feed.values())

"""A store of arrays, beside lists of rows."""

import numpy as np
import pytest

from dragoman.bundle.manifest import Tensor
from dragoman.server.runtime.host_store import HostStore

POOL = [Tensor(name, "float32", ("G", 1, "T", 1)) for name in ("self_k.0", "self_v.0")]


def a_pool(rows: int, slots: int = 4) -> HostStore:
    store = HostStore(POOL, {"G": 5, "T": slots})
    for _ in range(rows):
        store.admit()
    return store


def keys(store: HostStore) -> list[list[float]]:
    return store.feed()["self_k.0"][:, 0, :, 0].tolist()


def nodes(*rows: list[float]) -> list[np.ndarray]:
    """New nodes by row, as a step gives them."""
    new = np.array(rows, np.float32)[:, None, :, None]
    return [new, -new]


def test_severalgo_where_they_are_put():
    """Only those that are named; every tensor has its own."""
    store = a_pool(2)

    store.put(nodes([1, 2], [3, 4]), np.array([0, 1, 1]), np.array([1, 0, 1]), np.array([3, 0, 2]))

    assert keys(store) == [[0, 0, 0, 2], [3, 0, 4, 0]]
    assert store.feed()["self_v.0"][0, 0, 3, 0] == -2


@pytest.mark.parametrize("counts", [[1, 1], [0, 1]])
def test_a_single_new_node_extends_what_it_has(counts):
    """The common case has a way of its own, which gives the same."""
    store = a_pool(2)

    store.extend(nodes([1], [2]), np.array([3, 0]), np.array(counts))

    assert keys(store) == [[0, 0, 0, counts[0]], [2, 0, 0, 0]]


def test_several_new_severalextend_it_as_far_as_they_count():
    """Those behind are not kept."""
    store = a_pool(2)

    store.extend(nodes([1, 2, 3], [4, 5, 6]), np.array([1, 0]), np.array([2, 3]))

    assert keys(store) == [[0, 1, 2, 0], [4, 5, 6, 0]]


def test_many_rows_of_several_heads_are_written_as_one_by_one():
    """Both ways of writing, with heads, widths and slots that differ from each other."""
    sizes, numbers = {"G": 6, "T": 7}, np.random.default_rng(1)
    wide = [Tensor(name, "float32", ("G", 3, "T", 2)) for name in ("self_k.0", "self_v.0")]
    rows, slots = np.arange(6), np.array([6, 0, 3, 3, 1, 5])
    fresh = [numbers.random((6, 3, 1, 2)).astype(np.float32) for _ in wide]
    level = [numbers.random((6, 3, 4, 2)).astype(np.float32) for _ in wide]
    which = np.array([0, 0, 2, 5, 5]), np.array([1, 3, 0, 2, 1]), np.array([4, 2, 6, 0, 1])
    store = HostStore(wide, sizes)
    for _ in rows:
        store.admit()
    slow = [np.zeros((6, 3, 7, 2), np.float32) for _ in wide]
    for tensor, ones, several in zip(slow, fresh, level, strict=True):
        for g in rows:
            tensor[g, :, slots[g]] = ones[g, :, 0]
        for g, node, slot in zip(*which, strict=True):
            tensor[g, :, slot] = several[g, :, node]

    store.extend(fresh, slots, np.ones(6, int))
    store.put(level, *which)

    assert all((a == b).all() for a, b in zip(store.feed().values(), slow, strict=True))


def test_who_leaves_is_replaced_by_the_last_and_who_joins_begins_with_zeros():
    """Whatever its row held before."""
    store = a_pool(3)
    store.put(nodes([1], [2], [3]), np.arange(3), np.zeros(3, int), np.zeros(3, int))

    store.remove(0)
    assert keys(store) == [[3, 0, 0, 0], [2, 0, 0, 0]]
    store.remove(1)
    store.admit()

    assert keys(store) == [[3, 0, 0, 0], [0, 0, 0, 0]]
    assert len(store) == 2


def test_resizing_keeps_what_there_is_room_for():
    """In both directions."""
    store = a_pool(1)
    store.extend(nodes([1, 2, 3, 4]), np.array([0]), np.array([4]))

    store.resize(6)
    assert (store.size, keys(store)) == (6, [[1, 2, 3, 4, 0, 0]])
    store.resize(2)

    assert (store.size, keys(store)) == (2, [[1, 2]])


def test_states_come_from_their_origin():
    """Row by row of what a step gave; a root's may be placed."""
    store = HostStore([Tensor("state.0", "float32", ("G", "q", 1))], {"G": 3, "q": 2})
    store.admit()
    store.admit()

    store.replace([np.array([[1], [2], [3], [4]], np.float32)], np.array([[1, 1], [3, 2]]))
    assert store.feed()["state.0"][..., 0].tolist() == [[2, 2], [4, 3]]
    store.place(0, {"state.0": np.array([7], np.float32)})

    assert store.feed()["state.0"][..., 0].tolist() == [[7, 7], [4, 3]]


def test_positions_are_cut_or_filled_up():
    """Along their own axis, which may be another in each tensor."""
    declared = [Tensor("cross_k.0", "float32", ("G", 1, "S")), Tensor("cross_v.0", "float32", ("G", "S", 1))]
    store = HostStore(declared, {"G": 2, "S": 3})
    store.admit()

    store.place(0, {"cross_k.0": np.ones((1, 5)), "cross_v.0": np.ones((2, 1)), "hidden": np.ones(9)})

    assert store.feed()["cross_k.0"].tolist() == [[[1, 1, 1]]]
    assert store.feed()["cross_v.0"].tolist() == [[[1], [1], [0]]]

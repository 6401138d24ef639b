"""A store in a device's memory, beside one of arrays. The device is arrays here, too, and its graphs are few lines."""

import itertools
import math

import numpy as np
import pytest

from dragoman.bundle.graphs import AT, KEPT, MEMORY_FIT, POOL_FIT, POOL_KEEP, TO, incoming, written
from dragoman.bundle.manifest import Tensor
from dragoman.server.runtime.buffers import Resident
from dragoman.server.runtime.device_store import DeviceStore
from dragoman.server.runtime.host_store import HostStore

HEADS, WIDTH = 2, 3
POOL = [Tensor(name, "float32", ("G", HEADS, "T", WIDTH)) for name in ("self_k.0", "self_v.0")]
STATES = [Tensor("state.0", "float32", ("G", "q", WIDTH))]
MEMORY = [
    Tensor("cross_k.0", "float32", ("G", HEADS, WIDTH, "S")),
    Tensor("cross_v.0", "float32", ("G", HEADS, "S", WIDTH)),
]


class ArrayDevice:
    """Residents whose owners are arrays. Graphs that a device would capture run twice: first with the inputs that are
    to do nothing."""

    def __init__(self) -> None:
        self._pointers = itertools.count(1)
        self.runs: list[str] = []

    def zeros(self, shape: tuple[int, ...], dtype: object) -> Resident:
        spare = np.full(shape, np.nan, dtype)  # a spare one has whatever its last user left,
        spare[-1] = 0  # who had zeros in the last row, too
        return self.resident(spare)

    def resident(self, array: np.ndarray) -> Resident:
        return Resident(array, next(self._pointers), array.shape, array.dtype)

    def run(self, graph, given, *, into, dry_run=None) -> None:
        self.runs.append(graph)
        for inputs in ([{**given, **dry_run}] if dry_run else []) + [given]:
            for name in [one.removesuffix(".written") for one in into]:
                target, new = values(into[written(name)]), values(inputs[incoming(name)])
                if graph in (POOL_FIT, MEMORY_FIT):
                    new = fitted(new, target.shape, int(inputs[KEPT][0]))
                rows = new[inputs[AT]] if AT in inputs else new
                target[inputs[TO][:, 0] if TO in inputs else slice(None)] = rows


def values(tensor: Resident) -> np.ndarray:
    """What a resident, or a part or a view of one, holds; a view of it."""
    return tensor.owner.reshape(-1)[: math.prod(tensor.shape)].reshape(tensor.shape)


def fitted(rows: np.ndarray, shape: tuple[int, ...], kept: int) -> np.ndarray:
    """Rows with so many slots or positions as the target has; `kept` of their own stay."""
    new = np.zeros((len(rows), *shape[1:]), rows.dtype)
    front = tuple(slice(kept if a != b else None) for a, b in zip(rows.shape, new.shape, strict=True))
    new[front] = rows[front]
    return new


def fed(store, count: int) -> dict[str, np.ndarray]:
    return {name: values(t)[:count] if isinstance(t, Resident) else t for name, t in store.feed().items()}


def assert_equal(there: DeviceStore, here: HostStore) -> None:
    """All rows in use, of all tensors."""
    assert len(there) == len(here)
    one, other = fed(there, len(here)), fed(here, len(here))
    assert one.keys() == other.keys()
    for name, tensor in other.items():
        assert np.array_equal(one[name], tensor), name


@pytest.mark.parametrize("seed", range(8))
def test_a_pool_is_that_of_arrays(seed):
    """Sources come, go, read words and need more slots, many things between two steps."""
    rng, device = np.random.default_rng(seed), ArrayDevice()
    here = HostStore(POOL, {"G": 5, "T": 16})
    there = DeviceStore(device, POOL, {"G": 5, "T": 16})
    for number in range(80):
        if len(here) and rng.random() < 0.3:
            row = int(rng.integers(len(here)))
            here.remove(row)
            there.remove(row)
        if len(here) < 5 and rng.random() < 0.5:
            here.admit()
            there.admit()
        if number % 20 == 19:
            size = there.room(int(rng.integers(8, 64)))
            here.resize(size)
            there.resize(size)
        if not len(here) or rng.random() < 0.5:
            continue
        assert_equal(there, here)
        n, rows = len(here), next(iter(there.feed().values())).shape[0]
        new = rng.normal(size=(2, rows, HEADS, 2, WIDTH)).astype(np.float32)
        slot = np.array([rng.permutation(here.size)[:2] for _ in range(n)])
        row, node = (rng.random((n, 2)) < 0.7).nonzero()
        here.put([one[:n] for one in new], row, node, slot[row, node])
        there.put([device.resident(one) for one in new], row, node, slot[row, node])
        starts, counts = rng.integers(0, here.size - 2, n), rng.integers(0, 3, n)
        here.extend([one[:n] for one in new], starts, counts)
        there.extend([device.resident(one) for one in new], starts, counts)
        assert_equal(there, here)


@pytest.mark.parametrize("seed", range(8))
def test_memory_is_that_of_arrays(seed):
    """Encoded sources of several runs, which may leave or move before the next step, and positions that change."""
    rng, device = np.random.default_rng(seed), ArrayDevice()
    here = HostStore(MEMORY, {"G": 4, "S": 16})
    there = DeviceStore(device, MEMORY, {"G": 4, "S": 16})
    for _ in range(60):
        if len(here) and rng.random() < 0.4:
            row = int(rng.integers(len(here)))
            here.remove(row)
            there.remove(row)
        size = int(rng.choice([16, 32, 64]))
        keys = rng.normal(size=(3, HEADS, WIDTH, size)).astype(np.float32)
        encoded = {"cross_k.0": keys, "cross_v.0": keys.swapaxes(2, 3).copy()}
        residents = {name: device.resident(tensor) for name, tensor in encoded.items()}
        if size > here.size or rng.random() < 0.2:
            here.resize(size)
            there.resize(size)
        for g in range(3):
            if len(here) < 4 and rng.random() < 0.5:
                here.admit()
                there.admit()
                here.place(len(here) - 1, {name: tensor[g] for name, tensor in encoded.items()})
                there.place(len(there) - 1, {name: (tensor, g) for name, tensor in residents.items()})
        if len(here) and rng.random() < 0.5:
            assert_equal(there, here)


@pytest.mark.parametrize("seed", range(4))
def test_states_are_those_of_arrays(seed):
    """Every hypothesis goes on from its parent's new state, also after sources have come and gone."""
    rng, device = np.random.default_rng(seed), ArrayDevice()
    here, there = HostStore(STATES, {"G": 4, "q": 2}), DeviceStore(device, STATES, {"G": 4, "q": 2})
    for _ in range(40):
        if len(here) == 4 or (len(here) and rng.random() < 0.3):
            row = int(rng.integers(len(here)))
            here.remove(row)
            there.remove(row)
        else:
            here.admit()
            there.admit()
        if not len(here):
            continue
        assert_equal(there, here)
        n, rows = len(here), next(iter(there.feed().values())).shape[0]
        new = rng.normal(size=(rows * 2, WIDTH)).astype(np.float32)
        origin = np.arange(0, 2 * n, 2)[:, None] + rng.integers(0, 2, (n, 2))
        here.replace([new[: 2 * n]], origin)
        there.replace([device.resident(new)], origin)
        assert_equal(there, here)


def test_what_is_noted_is_carried_out_together():
    """Three sources leave and two join between steps: one run moves them all."""
    device = ArrayDevice()
    store = DeviceStore(device, POOL, {"G": 8, "T": 16})
    for _ in range(6):
        store.admit()
    store.feed()
    device.runs.clear()

    for row in (0, 2, 1):
        store.remove(row)
    store.admit()
    store.admit()
    store.feed()
    store.feed()

    assert device.runs == ["pool.move"]


def test_sizes_are_powers_of_two():
    """Slots, and the rows that a step is fed: few shapes have to be captured."""
    store = DeviceStore(ArrayDevice(), POOL, {"G": 6, "T": 16})
    shapes = []
    for _ in range(6):
        store.admit()
        shapes.append(store.feed()["self_k.0"].shape[0])

    assert shapes == [1, 2, 4, 4, 8, 8]
    assert [store.room(n) for n in (16, 17, 48)] == [16, 32, 64]


def test_a_pool_that_is_not_kept_writes_nowhere_that_is_read():
    """Nodes without a place go to a row of their own."""
    device = ArrayDevice()
    store = DeviceStore(device, POOL, {"G": 2, "T": 16})
    store.admit()
    new = device.resident(np.ones((1, HEADS, 2, WIDTH), np.float32))

    store.put([new, new], np.array([], int), np.array([], int), np.array([], int))

    assert device.runs == [POOL_KEEP]
    assert not values(store.feed()["self_k.0"])[:1].any()

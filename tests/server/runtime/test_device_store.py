"""Rows on a device that grow, move into holes and are joined, beside a dictionary of what each source has."""

import ctypes
import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.bundle.graphs import AT, DEVICE_MEMORY_FIT, HIDDEN, KEPT, LENGTHS, TO, incoming, written
from dragoman.bundle.manifest import Tensor
from dragoman.server.core.ports import DeviceWork
from dragoman.server.runtime.buffers import Resident
from dragoman.server.runtime.device_rows import ENCODED, front_of, joined_level
from dragoman.server.runtime.device_store import DeviceStore
from dragoman.server.runtime.slabs import Slabs

WIDTH = 2
CROSS = [Tensor(name, "float32", ("G", "S", WIDTH)) for name in ("cross_k.0", "cross_v.0")]


class ArrayDevice:
    """Memory of the host, by its addresses; its graphs are few lines."""

    def __init__(self) -> None:
        self.made: list[int] = []
        self.written = 0
        self.slabs, self.readers = Slabs(self.memory, DeviceWork()), set()

    def memory(self, size: int):
        self.made.append(size)
        array = np.zeros(size, np.uint8)
        return SimpleNamespace(array=array, data_ptr=lambda: array.ctypes.data)

    def write(self, graph, inputs, into) -> None:
        self.written += 1
        for name in [one.removesuffix(".written") for one in into]:
            target, source = values(into[written(name)]), values(inputs[incoming(name)])
            rows = source[inputs[AT]].copy()  # picked before any is written
            kept = int(inputs[KEPT][0])
            fitted = np.zeros((len(rows), *target.shape[1:]), rows.dtype)
            fitted[:, :kept] = rows[:, :kept]
            target[inputs[TO][:, 0]] = fitted

    def fixed(self, graph, sent, *, bound, into):
        """The join: keys are the hidden rows, values their negatives."""
        views = {name: np.zeros(*form) for name, form in sent.items()}

        def run() -> None:
            to, hidden = views[TO], values(bound[HIDDEN])
            for name, sign in (("cross_k.0", 1), ("cross_v.0", -1)):
                values(into[written(name)])[to[:, 0], to[:, 1]] = sign * hidden

        return SimpleNamespace(views=views, run=run)


class Encoded:
    """A run of the encoder, by its sources' lengths."""

    def __init__(self, lengths: list[int], number: int) -> None:
        shape = len(lengths), max(lengths), WIDTH
        size = joined_level(shape[0] * shape[1]) * WIDTH  # a join reads as many
        hidden = np.random.default_rng(number).normal(size=size).astype(np.float32)
        self.kept = {HIDDEN: Resident(hidden, hidden.ctypes.data, shape, hidden.dtype)}
        self.views = {LENGTHS: np.array(lengths)}

    def source(self, g: int) -> np.ndarray:
        return values(self.kept[HIDDEN])[g, : self.views[LENGTHS][g]].copy()


def values(tensor: Resident) -> np.ndarray:
    """What a resident holds; a view of it."""
    size = math.prod(tensor.shape) * tensor.dtype.itemsize
    return np.frombuffer((ctypes.c_char * size).from_address(tensor.pointer), tensor.dtype).reshape(tensor.shape)


@pytest.fixture
def device() -> ArrayDevice:
    return ArrayDevice()


def store_on(device) -> DeviceStore:
    return DeviceStore(device, CROSS, {"G": 256, "S": 16}, "kind")


def tensors_of(store: DeviceStore) -> dict[str, Resident]:
    _, tensors, _ = store.feed()[front_of(DEVICE_MEMORY_FIT)]
    return tensors


def check(store: DeviceStore, expected: list[np.ndarray]) -> None:
    """Each source's positions, where the store says that they lie."""
    rows, tensors, _ = store.feed()[front_of(DEVICE_MEMORY_FIT)]
    keys, vals = values(tensors["cross_k.0"]), values(tensors["cross_v.0"])
    assert len(rows) == len(expected)
    for g, hidden in enumerate(expected):
        np.testing.assert_array_equal(keys[rows[g], : len(hidden)], hidden)
        np.testing.assert_array_equal(vals[rows[g], : len(hidden)], -hidden)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.one_of(st.integers(1, 300), st.integers(-20, -1)), min_size=1, max_size=60))
def test_sources_keep_what_they_have_whatever_comes_and_goes(moves):
    """Sources of any length join, any of them leave; rows and positions grow, shrink and move into holes."""
    store, expected, number = store_on(ArrayDevice()), [], 0
    for move in moves:
        if move > 0:
            number += 1
            run = Encoded([move, 1 + move % 7], number)
            longest = max([len(hidden) for hidden in expected] + [move])
            store.resize(store.room(longest))
            for g in range(2):
                store.admit()
                store.place(len(store) - 1, {ENCODED: (run, g)})
                expected.append(run.source(g))
        elif expected:
            row = -move % len(expected)
            store.remove(row)
            expected[row] = expected[-1]
            del expected[-1]
        if move % 3 == 0:  # else several come and go between two steps
            check(store, expected)
    check(store, expected)


def test_addresses_do_not_change_once_a_slab_is_large_enough(device):
    """The next group of the kind has the memory of the last, whatever sizes it comes in: nothing is allocated again."""
    addresses, made = [], []
    for sizes in ((300, 3), (20,), (300, 3)):
        store = store_on(device)
        for number, length in enumerate(sizes):
            store.resize(store.room(length))
            store.admit()
            store.place(len(store) - 1, {ENCODED: (Encoded([length], number), 0)})
        addresses.append([tensor.pointer for tensor in tensors_of(store).values()])
        made.append(len(device.made))
        del store

    assert addresses[0] == addresses[1] == addresses[2]
    assert len({*made}) == 1


@pytest.mark.parametrize("is_told", [False, True])
def test_sources_that_are_expected_move_nobody(device, is_told):
    """Two runs of the encoder for one group: what the first wrote lies where it would lie among all of them."""
    store, expected = store_on(device), []
    if is_told:
        store.expect(140, 20)
    for number, count in enumerate((100, 40)):
        run = Encoded([20] * count, number)
        for g in range(count):
            store.resize(store.room(20))
            store.admit()
            store.place(len(store) - 1, {ENCODED: (run, g)})
            expected.append(run.source(g))
        store.join()  # as what the encoder left is written over by its next run

    assert (device.written == 0) is is_told
    assert store.size == 64
    check(store, expected)


def test_memory_with_numbers_that_are_not_finite_is_nobodys_again(device):
    """A store whose row is dead gives none of its memory to the next."""
    store = store_on(device)
    store.admit()
    store.rows.dead.add(0)
    before = len(device.made)
    del store
    store_on(device)

    assert len(device.made) == before + len(CROSS)


def test_several_stores_of_a_kind_have_the_same_memory_each_time(device):
    """The first to come has the first set, whoever went last; another kind has its own."""

    def addresses(count: int) -> list[int]:
        stores = [store_on(device) for _ in range(count)]
        for store in stores:
            store.admit()
        found = [tensors_of(store)["cross_k.0"].pointer for store in stores]
        while stores:
            stores.pop(0)
        return found

    assert addresses(3) == addresses(3)
    assert addresses(3)[:1] == addresses(1)


def test_whoever_is_still_to_read_a_run_of_the_encoder_is_known_to_it(device):
    """Until its sources are written where the step reads them; then what the run left may be written over."""
    store, run = store_on(device), Encoded([3], 0)
    store.admit()
    store.place(0, {ENCODED: (run, 0)})
    expected = run.source(0)
    assert device.readers == {store}

    store.join()
    values(run.kept[HIDDEN])[:] = np.nan

    assert device.readers == set()
    check(store, [expected])

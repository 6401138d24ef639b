"""What sources say to the decoder, against plain lists of their numbers."""

import numpy as np
from fake_runtime import FakeRuntime
from tests.server.kvcache.test_placed_nodes import Store

from dragoman.bundle.graphs import LENGTHS
from dragoman.bundle.manifest import Tensor
from dragoman.server.kvcache.source_memory import Memory, memory_of
from dragoman.server.runtime.host_store import HostStore

KEYS, VALUES = Tensor("cross_k.0", "float32", ("G", 1, 2, "S")), Tensor("cross_v.0", "float32", ("G", 1, "S", 2))


def memory_of_arrays(capacity: int) -> Memory:
    return Memory(HostStore([KEYS, VALUES], {"G": capacity, "S": 16}), capacity)


def encoded(number: int, length: int) -> dict[str, np.ndarray]:
    """A source's keys and values, padded with something else behind them."""
    own = np.where(np.arange(length + 3) < length, number, -7.0).astype(np.float32)
    return {"cross_k.0": np.stack([[own, own]]), "cross_v.0": np.stack([own, own], 1)[None]}


def test_each_source_has_its_own_numbers_behind_its_mask():
    """Sources of 1 to 70 positions that come and go; there are as many positions as the longest needs."""
    rng = np.random.default_rng(0)
    memory, here = memory_of_arrays(4), []
    for number in range(1, 200):
        if len(here) == 4 or (here and rng.random() < 0.4):
            row = int(rng.integers(len(here)))
            memory.remove(row)
            here[row] = here[-1]
            here.pop()
        else:
            length = int(rng.choice([1, 5, 16, 17, 70]))
            memory.admit(encoded(number, length), length)
            here.append((number, length))
        assert len(memory) == len(here)
        feed = memory.feed()
        for g, (own, length) in enumerate(here):
            is_open = feed["src_mask"][g, 0, 0] == 0
            assert is_open.tolist() == [n < length for n in range(len(is_open))]
            assert set(feed["cross_k.0"][g, ..., :length].ravel().tolist()) == {own}
            assert set(feed["cross_v.0"][g, :, :length].ravel().tolist()) == {own}
        if here:
            assert feed["src_mask"].shape[3] == feed["cross_k.0"].shape[3] == feed["cross_v.0"].shape[2]


def test_positions_are_given_up_that_only_a_long_source_needed():
    """When the next one joins, there are half as many or fewer."""
    memory = memory_of_arrays(2)
    memory.admit(encoded(1, 70), 70)
    assert memory.feed()["src_mask"].shape[3] == 80

    memory.remove(0)
    memory.admit(encoded(2, 3), 3)

    assert memory.feed()["src_mask"].shape[3] == 16


def test_a_row_may_be_filled_later():
    """Until then it is masked, and zero."""
    memory = memory_of_arrays(2)
    memory.admit({}, 0)
    memory.admit(encoded(2, 3), 3)
    assert not (memory.feed()["src_mask"][0] == 0).any()
    assert not memory.feed()["cross_k.0"][0].any()

    memory.fill(0, encoded(1, 20), 20)

    assert (memory.feed()["src_mask"] == 0).sum((1, 2, 3)).tolist() == [20, 3]
    assert memory.feed()["cross_k.0"][:, 0, 0, 0].tolist() == [1, 2]


def test_what_a_step_reads_of_positions():
    """Cross-attention, and of a model that copies the source's words; the mask is the memory's own."""
    names = [[t.name for t in memory_of(FakeRuntime(**arch).manifest)] for arch in ({}, {"copies": True})]

    assert names == [["cross_k.0", "cross_v.0"], ["cross_k.0", "cross_v.0", "extended"]]


class Placed(Store):
    """Notes who was placed where."""

    def __init__(self) -> None:
        super().__init__(4)
        self.placed: list[tuple[int, object]] = []

    def admit(self, tensors: object = ()) -> None:
        self.placed.append((len(self), tensors))
        super().admit()


def test_a_device_reads_lengths_and_its_positions_follow_the_longest_source():
    """They grow for a long one, and are given up with the next source after it has left."""
    store = Placed()
    memory = Memory(store, 4, gives_lengths=True)
    for length in (3, 20):
        memory.admit({"of": length}, length)
    memory.remove(1)
    memory.admit({"of": 2}, 2)

    assert store.sizes == [4, 32, 4]
    assert store.placed == [(0, {"of": 3}), (1, {"of": 20}), (1, {"of": 2})]
    assert memory.feed()[LENGTHS].tolist() == [3, 2]
    assert memory.feed().keys() == {LENGTHS}

"""Memory that goes from one store to the next of its kind."""

from dragoman.server.core.ports import DeviceWork
from dragoman.server.runtime import slabs as module
from dragoman.server.runtime.slabs import Slabs


def test_the_lowest_free_set_of_a_kind_is_taken():
    """In whatever order sets come back; another kind has its own."""
    slabs = Slabs(bytearray, DeviceWork())
    first, second, third = (slabs.take("kind") for _ in range(3))
    slabs.returned += [third, first]

    assert slabs.take("kind") is first
    assert slabs.take("kind") is third
    assert slabs.take("other") is not second


def test_a_tensor_has_its_memory_until_that_is_too_small():
    """Then it gets more, and has what it had before once more, to be copied."""
    work = DeviceWork()
    slabs = Slabs(bytearray, work)
    taken = slabs.take("kind")

    assert slabs.grow(taken, "k", 4) is None
    before = taken[2]["k"]
    assert slabs.grow(taken, "k", 3) is None
    assert taken[2]["k"] is before
    assert slabs.grow(taken, "k", 8) is before
    assert len(taken[2]["k"][0]) == 8
    assert work.held == 8


def test_kinds_that_do_not_come_again_give_their_memory_up(monkeypatch):
    """The oldest of those that nobody uses, where there are too many."""
    monkeypatch.setattr(module, "MOST_FREE", 2)
    work = DeviceWork()
    slabs = Slabs(bytearray, work)
    for kind in range(5):
        taken = slabs.take(kind)
        slabs.grow(taken, "k", 10)
        slabs.returned.append(taken)
    slabs.take("another")

    assert work.held == 20

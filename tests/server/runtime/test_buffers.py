"""Tensors in a device's memory, and buffers that a lane keeps for reuse: without any device."""

import gc
import threading

import numpy as np

from dragoman.server.runtime import buffers
from dragoman.server.runtime.buffers import Loan, Resident, Spares, rounded

SMALL, LARGE = ((4,), np.dtype(np.float32)), ((100,), np.dtype(np.float32))


def test_a_buffer_that_nobody_uses_is_had_again():
    """When the last reference to it goes, it waits for the next tensor of its form, and of no other."""
    spares, memory = Spares(), At(8)
    owned = Loan(memory, SMALL, spares)
    assert spares.take(SMALL) is None

    del owned
    gc.collect()

    assert spares.take(LARGE) is None
    assert spares.take(SMALL) is memory
    assert spares.take(SMALL) is None


def test_spare_buffers_are_bounded(monkeypatch):
    """Beyond so many bytes the oldest go, whatever their form; what is left can still be had."""
    monkeypatch.setattr(buffers, "SPARE_BYTES", 450)
    spares, large = Spares(), At(1)
    for address in (2, 3, 4):
        spares.put(SMALL, At(address))
    spares.put(LARGE, large)
    spares.put(SMALL, At(5))
    spares.put(SMALL, At(6))
    assert spares.take(((7,), np.dtype(np.int64))) is None

    kept = [spares.take(SMALL) for _ in range(4)]

    assert spares.take(LARGE) is large
    assert [one and one.address for one in kept] == [4, 5, 6, None]


def test_who_comes_again_finds_the_same_addresses():
    """In whatever order buffers come back, also from other threads, the lowest address is had first."""
    spares = Spares()
    for order in ((5, 3, 4), (4, 5, 3)):
        lent = [Loan(At(address), SMALL, spares) for address in order]
        while lent:
            returner = threading.Thread(target=lent.pop)
            returner.start()
            returner.join()

        assert [spares.take(SMALL).address for _ in range(3)] == [3, 4, 5]


def test_a_part_and_a_view_lie_where_the_whole_does():
    """The first rows, and the same numbers in another shape; both keep the memory."""
    owner = object()
    whole = Resident(owner, 64, (4, 2, 3), np.dtype(np.float32))

    assert whole.front(2) == Resident(owner, 64, (2, 2, 3), whole.dtype)
    assert whole.viewed(8, -1).shape == (8, 3)
    assert whole.viewed(-1, 6).shape == (4, 6)
    assert whole.viewed(24).owner is owner


def test_rows_come_in_powers_of_two():
    """At most as many as there can be."""
    assert [rounded(n, 6) for n in range(1, 7)] == [1, 2, 4, 4, 6, 6]


class At:
    """A buffer at an address."""

    def __init__(self, address):
        self.address = address

    def data_ptr(self):
        return self.address

"""Sources' lengths beside a device's rows."""

import numpy as np
from tests.server.kvcache.test_placed_nodes import Store

from dragoman.bundle.graphs import LENGTHS
from dragoman.server.kvcache.placed_memory import PlacedMemory
from dragoman.server.runtime.device_rows import ENCODED


class Memory(Store):
    """Notes who was placed where."""

    def __init__(self) -> None:
        super().__init__(4)
        self.placed: list[tuple[int, object]] = []

    def place(self, row: int, source: object) -> None:
        self.placed.append((row, source))


def test_positions_follow_the_longest_source():
    """They grow for a long one, and are given up with the next source after it has left."""
    store = Memory()
    memory = PlacedMemory(store, 4)
    for length in (3, 20):
        memory.admit({ENCODED: length}, length)
    memory.remove(1)
    memory.admit({ENCODED: 2}, 2)

    assert store.sizes == [4, 32, 4]
    assert store.placed == [(0, 3), (1, 20), (1, 2)]
    np.testing.assert_array_equal(memory.feed()[LENGTHS], [3, 2])

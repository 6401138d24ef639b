"""Which row of a device's tensors each source of a group has: sources stay where they are while others leave.

A group's rows are always the first ones, a device's may have holes. The rows of a run reach to the last one in use, in
few sizes; where half of a size would do, the last ones move into holes.
"""

import heapq
from collections.abc import Sequence

import numpy as np

from dragoman.server.runtime.buffers import Array

ENCODED = "encoded"
"""Under which name a device's encoder hands on what it made of a source."""
SAID = "said"
"""The same of what it says of sources, where that is asked for, and a source's number among them."""
ROWS = (1, 8, 64, 128, 256)
"""Rows of a run; beyond these, further powers of four."""
SMALLEST, FACTOR = 64, 4
"""Slots; positions of sources double, as nothing but memory depends on them where a step reads their lengths."""
JOINED, JOINED_FACTOR = 128, 8
"""Positions of a run that writes sources: few sizes, as most of what it does is to be launched."""
BESTS, MOST_EXACT = (2, 4, 8, 12, 16), 16
"""Best words of a row that a run says; more come in powers of two."""


def front_of(graph: str) -> str:
    """Under which name a store hands on the front of the tensors that this graph fits."""
    return f"front.{graph}"


def row_level(rows: int) -> int:
    """Rows of a run for so many."""
    level = next((level for level in ROWS if level >= rows), ROWS[-1])
    while level < rows:
        level *= FACTOR
    return level


def size_level(size: int) -> int:
    """Slots to have for so many."""
    return _level(size, SMALLEST, FACTOR)


def source_level(size: int) -> int:
    """Positions of sources to have for so many."""
    return _level(size, SMALLEST, 2)


def joined_level(size: int) -> int:
    """Positions of a run that writes so many of all its sources."""
    return _level(size, JOINED, JOINED_FACTOR)


def best_level(count: int) -> int:
    """Best words that a run says where so many are wanted."""
    return next((level for level in BESTS if level >= count), _level(count, MOST_EXACT, 2))


def _level(size: int, level: int, factor: int) -> int:
    while level < size:
        level *= factor
    return level


class DeviceRows:
    """The mapping. Equal sequences of calls give equal rows: what has a row in several stores has the same in all."""

    def __init__(self) -> None:
        self._at: list[int] = []
        self._free: list[int] = []
        self._high = 0
        self.dead: set[int] = set()
        """Rows with numbers that are not finite: seen through any mask, so that nobody may follow there."""
        self._index: Array | slice | None = None

    def __len__(self) -> int:
        return len(self._at)

    def __getitem__(self, row: int) -> int:
        return self._at[row]

    def admit(self) -> int:
        """One source more, in the lowest row that is free."""
        if self._free:
            row = heapq.heappop(self._free)
        else:
            row, self._high = self._high, self._high + 1
        self._at.append(row)
        self._index = None
        return row

    def remove(self, row: int) -> None:
        """The source leaves; in the group the last one takes its place, on the device nobody moves."""
        if self._at[row] not in self.dead:
            heapq.heappush(self._free, self._at[row])
        self._at[row] = self._at[-1]
        del self._at[-1]
        self._index = None

    def equals(self, other: "DeviceRows") -> bool:
        """Whether sources have the same rows in both."""
        return self._at == other._at

    @property
    def end(self) -> int:
        """One more than the last row in use."""
        return max(self._at, default=-1) + 1

    @property
    def index(self) -> Array | slice:
        """Where the group's rows lie on the device."""
        if self._index is None:
            plain = self._at == [*range(len(self._at))]
            self._index = slice(len(self._at)) if plain else np.array(self._at)
        return self._index

    def compacted(self) -> tuple[Sequence[int], Sequence[int]]:
        """Which rows have to move where so that a run has no more of them than sources need; they have moved now."""
        wanted = row_level(len(self._at))
        if not self._at or row_level(self.end) <= wanted:
            return (), ()
        free = sorted({*range(wanted)} - {*self._at} - self.dead)
        late = [group_row for group_row, row in enumerate(self._at) if row >= wanted]
        if len(free) < len(late):
            return (), ()
        origins = [self._at[group_row] for group_row in late]
        for group_row, row in zip(late, free, strict=False):
            self._at[group_row] = row
        self._high = self.end
        self._free = sorted({*range(self._high)} - {*self._at} - self.dead)
        self._index = None
        return origins, free[: len(late)]

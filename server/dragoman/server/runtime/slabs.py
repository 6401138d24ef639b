"""Memory on a device that goes from one store to the next, so that what is captured knows its addresses."""

from collections import deque
from collections.abc import Callable, Hashable
from typing import Any, TypeAlias

from dragoman.server.core.ports import DeviceWork

MOST_KINDS = 1024
MOST_FREE = 16
"""Sets that nobody uses: requests choose freely what makes a kind, and there is no end of them."""

SlabSet: TypeAlias = tuple[Hashable, int, dict[str, tuple[Any, int]]]
"""The memory of one store: a kind, a number, and by the names of tensors values and their bytes."""


class Slabs:
    """The memory of a lane's stores that nobody uses at the moment.

    A store has that of an earlier one of its kind, and of several sets always the first: captured runs know addresses.
    """

    def __init__(self, memory: Callable[[int], Any], work: DeviceWork) -> None:
        self._memory, self._work = memory, work
        self._free: list[SlabSet] = []
        self._made: dict[Hashable, int] = {}
        self.returned: deque[SlabSet] = deque()
        """Put it here after use: whoever used one last may be on any thread."""

    def take(self, kind: Hashable) -> SlabSet:
        """A set of this kind, an empty one where none is free."""
        while self.returned:
            self._free.append(self.returned.popleft())
        fitting = min((one for one in self._free if one[0] == kind), key=lambda one: one[1], default=None)
        if fitting is not None:
            self._free = [one for one in self._free if one is not fitting]
            return fitting
        for _, _, slabs in self._free[: max(0, len(self._free) - MOST_FREE)]:
            self._work.held -= sum(size for _, size in slabs.values())
        del self._free[: max(0, len(self._free) - MOST_FREE)]
        if len(self._made) > MOST_KINDS:
            self._made.clear()
        number = self._made[kind] = self._made.get(kind, -1) + 1
        return kind, number, {}

    def grow(self, taken: SlabSet, name: str, size: int) -> Any | None:
        """Have so many bytes for a tensor; what it had before, where that is too small: it is still to be copied."""
        _, _, slabs = taken
        before = slabs.get(name)
        if before is not None and before[1] >= size:
            return None
        slabs[name] = self._memory(size), size
        self._work.held += size - (before[1] if before else 0)
        return before

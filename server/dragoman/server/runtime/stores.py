"""Where numbers that belong to sources lie: one interface, for this process' memory and for a device's.

Which node is in which slot, who descends from whom and how long a source is, is bookkeeping (`kvcache`), the same
wherever the numbers are. A store holds them and moves them as it is told.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Protocol

from dragoman.server.runtime.buffers import Feed


class Store(Protocol):
    """Named tensors [G, ...] with a row for each source. Slots or positions, where there are any, have an axis."""

    def __len__(self) -> int:
        """Rows in use."""

    @property
    def size(self) -> int:
        """Slots or positions of a row."""

    def room(self, size: int) -> int:
        """How many slots or positions to have where so many are needed."""

    def expect(self, sources: int, size: int) -> None:
        """So many more come soon, and so many slots or positions are needed so far: what has to move then moves now."""

    def resize(self, size: int) -> None:
        """Have so many slots or positions; rows keep theirs, as far as there are as many."""

    def admit(self, tensors: Mapping[str, Any] = MappingProxyType({})) -> None:
        """One row more: what the encoder made of a source, or what says nothing."""

    def remove(self, row: int) -> None:
        """The row leaves; the last one takes its place."""

    def place(self, row: int, tensors: Mapping[str, Any]) -> None:
        """The row becomes what the encoder made of a source, by name and without the axis G."""

    def feed(self) -> Feed:
        """Graph inputs: the rows in use."""

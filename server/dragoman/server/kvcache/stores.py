"""Where numbers that belong to sources lie: the protocols that hosts and devices implement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from dragoman.server.decode.arrays import Ints
from dragoman.server.runtime.buffers import Feed


class Slots(Protocol):
    """Keys and values of nodes, [G, H, T, e] each: T slots a source."""

    @property
    def size(self) -> int:
        """T."""

    def room(self, slots: int) -> int:
        """How many slots there are for a pool that needs so many."""

    def wipe(self, g: int) -> None:
        """Source g has zeros in all slots."""

    def move(self, row: int, to: int) -> None:
        """What belonged to row `row` belongs to row `to`."""

    def feed(self, sources: int) -> Feed:
        """Graph inputs for the first `sources` sources."""

    def append(self, new: Sequence[Any], slot: Ints) -> None:
        """The one new node of each source g goes to its slot[g]."""

    def put(self, new: Sequence[Any], g: Ints, place: Ints, slot: Ints) -> None:
        """Of source g[i], the new node place[i] goes to slot[i]; others are not kept."""

    def extend(self, new: Sequence[Any], starts: Ints, counts: Sequence[int]) -> None:
        """Of each source g, the first counts[g] new nodes go to the slots from starts[g] on."""

    def resize(self, slots: int, sources: int) -> None:
        """Have so many slots; the first `sources` sources keep theirs, as far as there are as many."""


class Positions(Protocol):
    """Cross-attention keys and values, [G, ...] each with an axis S of source positions."""

    def room(self, positions: int) -> int:
        """How many positions there are where the longest source has so many."""

    def place(self, g: int, tensors: Mapping[str, Any]) -> None:
        """Source g has its own, without the axis G, as far as there is room, and zeros behind them."""

    def move(self, row: int, to: int) -> None:
        """What belonged to row `row` belongs to row `to`."""

    def feed(self, sources: int) -> Feed:
        """Graph inputs for the first `sources` sources."""

    def resize(self, positions: int, sources: int) -> None:
        """Have so many positions; the first `sources` sources keep theirs, as far as there are as many."""

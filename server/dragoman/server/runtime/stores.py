"""Where numbers that belong to sources lie: one interface, for this process' memory and for a device's.

Which node is in which slot, who descends from whom and how long a source is, is bookkeeping (`kvcache`), the same
wherever the numbers are. A store holds them and moves them as it is told.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from dragoman.bundle.manifest import Tensor
from dragoman.server.runtime.buffers import Array, Feed

GROWING = ("T", "S")
"""Axes whose size may change: slots of nodes, and positions of sources."""


class Rows(Protocol):
    """Named tensors [G, ...] with a row for each source. Slots or positions, where there are any, have an axis."""

    def __len__(self) -> int:
        """Rows in use."""

    @property
    def size(self) -> int:
        """Slots or positions of a row."""

    def room(self, size: int) -> int:
        """How many slots or positions to have where so many are needed."""

    def resize(self, size: int) -> None:
        """Have so many slots or positions; rows keep theirs, as far as there are as many."""

    def admit(self) -> None:
        """One row more, of zeros."""

    def remove(self, row: int) -> None:
        """The row leaves; the last one takes its place."""

    def place(self, row: int, tensors: Mapping[str, Any]) -> None:
        """The row becomes these tensors, without the axis G, as far as there is room, and zeros elsewhere."""

    def feed(self) -> Feed:
        """Graph inputs: the rows in use."""


class Store(Rows, Protocol):
    """Tensors that are written after a run, with what it made."""

    def put(self, new: Sequence[Any], row: Array, node: Array, slot: Array) -> None:
        """The new node node[i] of row[i] goes to slot[i]; others are not kept."""

    def extend(self, new: Sequence[Any], starts: Array, counts: Array) -> None:
        """The first counts[g] new nodes of each row g go to the slots from starts[g] on."""

    def replace(self, new: Sequence[Any], origin: Array) -> None:
        """Each hypothesis continues from row origin[g, k] of the new states."""


MakeStore = Callable[[Sequence[Tensor], Mapping[str, int]], Store]
"""A store of such tensors, zeros for now, with a number for each letter of their shapes."""


def shape_of(tensor: Tensor, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """A declared shape with numbers for its letters."""
    return tuple(n if isinstance(n, int) else sizes[n] for n in tensor.shape)


def growing_axes(declared: Sequence[Tensor]) -> dict[str, int]:
    """Where the tensors that have slots or positions have them."""
    return {t.name: axis for t in declared for axis, size in enumerate(t.shape) if size in GROWING}


def with_size(shape: tuple[int, ...], axis: int, size: int) -> tuple[int, ...]:
    """A shape with another size along an axis."""
    return (*shape[:axis], size, *shape[axis + 1 :])

"""Where the tensors of a batch lie, [G, ...] each: in this process' memory (`Host...`) or in a device's (`resident`).

Which node is in which slot, who descends from whom and how long a source is, is bookkeeping (`pool`, `chain_batch`,
`batch`), the same for both. A store holds the numbers and moves them as it is told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from dragoman.bundle.manifest import Tensor
from dragoman.server.decode.arrays import Ints
from dragoman.server.runtime.buffers import Array, Feed


class HostSlots:
    """Slots in this process' memory."""

    def __init__(self, names: Sequence[str], shape: tuple[int, int, int, int], dtype: npt.DTypeLike) -> None:
        self._names = names
        self._tensors = [np.zeros(shape, dtype) for _ in names]

    @property
    def size(self) -> int:
        """See `Slots`."""
        return self._tensors[0].shape[2]

    def room(self, slots: int) -> int:
        """As many as are needed: what attention costs is reading them."""
        return slots

    def wipe(self, g: int) -> None:
        """See `Slots`."""
        for tensor in self._tensors:
            tensor[g] = 0

    def move(self, row: int, to: int) -> None:
        """See `Slots`."""
        for tensor in self._tensors:
            tensor[to] = tensor[row]

    def feed(self, sources: int) -> Feed:
        """See `Slots`."""
        return {name: tensor[:sources] for name, tensor in zip(self._names, self._tensors, strict=True)}

    def append(self, new: Sequence[Array], slot: Ints) -> None:
        """See `Slots`."""
        g = np.arange(len(slot))
        for tensor, fresh in zip(self._tensors, new, strict=True):
            tensor[g, :, slot] = fresh[:, :, 0]

    def put(self, new: Sequence[Array], g: Ints, place: Ints, slot: Ints) -> None:
        """See `Slots`."""
        for tensor, fresh in zip(self._tensors, new, strict=True):
            tensor[g, :, slot] = fresh[g, :, place]

    def extend(self, new: Sequence[Array], starts: Ints, counts: Sequence[int]) -> None:
        """See `Slots`."""
        for g, count in enumerate(counts):
            start = int(starts[g])
            for tensor, fresh in zip(self._tensors, new, strict=True):
                tensor[g, :, start : start + count] = fresh[g, :, :count]

    def resize(self, slots: int, sources: int) -> None:
        """See `Slots`."""
        self._tensors = [resized(tensor, 2, slots, sources) for tensor in self._tensors]


class HostPositions:
    """Source positions in this process' memory."""

    def __init__(self, declared: Sequence[Tensor], capacity: int, positions: int) -> None:
        self._declared = declared
        self._axes = [one.shape.index("S") for one in declared]
        sizes = {"G": capacity, "S": positions}
        shapes = [[size if isinstance(size, int) else sizes[size] for size in one.shape] for one in declared]
        self._tensors: list[Array] = [np.zeros(s, one.dtype) for s, one in zip(shapes, declared, strict=True)]

    def room(self, positions: int) -> int:
        """As many as are needed."""
        return positions

    def place(self, g: int, tensors: Mapping[str, Array]) -> None:
        """See `Positions`."""
        for tensor, one, axis in zip(self._tensors, self._declared, self._axes, strict=True):
            tensor[g] = 0  # what is not a number is seen through any mask
            own = tensors[one.name]
            front = (slice(None),) * (axis - 1) + (slice(min(own.shape[axis - 1], tensor.shape[axis])),)
            tensor[g][front] = own[front]

    def move(self, row: int, to: int) -> None:
        """See `Positions`."""
        for tensor in self._tensors:
            tensor[to] = tensor[row]

    def feed(self, sources: int) -> Feed:
        """See `Positions`."""
        return {one.name: tensor[:sources] for one, tensor in zip(self._declared, self._tensors, strict=True)}

    def resize(self, positions: int, sources: int) -> None:
        """See `Positions`."""
        pairs = zip(self._tensors, self._axes, strict=True)
        self._tensors = [resized(tensor, axis, positions, sources) for tensor, axis in pairs]


def resized(old: Array, axis: int, size: int, sources: int) -> Array:
    """A copy with so many along an axis; the first `sources` rows keep what there is room for, all else is zero."""
    new = np.zeros((*old.shape[:axis], size, *old.shape[axis + 1 :]), old.dtype)
    kept = min(size, old.shape[axis])
    front = (slice(sources), *(slice(None),) * (axis - 1), slice(kept))
    new[front] = old[front]
    return new

"""A store in this process' memory."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from dragoman.bundle.manifest import Tensor
from dragoman.server.runtime.buffers import Array, Feed
from dragoman.server.runtime.padding import GRAIN, round_up

GROWING = ("T", "S")
"""Axes whose size may change: slots of nodes, and positions of sources."""
MANY_ROWS = 4
"""From so many on, writing to all of them by their indices takes less time than to one after another."""


class HostStore:
    """Tensors as arrays, as large as is needed: what attention costs is reading them.

    A row is wiped when it is taken; what lies in rows that are not in use is nobody's.
    """

    def __init__(self, declared: Sequence[Tensor], sizes: Mapping[str, int]) -> None:
        shapes = {t.name: tuple(n if isinstance(n, int) else sizes[n] for n in t.shape) for t in declared}
        self._tensors: dict[str, Array] = {t.name: np.empty(shapes[t.name], t.dtype) for t in declared}
        self._axes = {t.name: axis for t in declared for axis, size in enumerate(t.shape) if size in GROWING}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def size(self) -> int:
        """Slots or positions of a row; none where no tensor has any."""
        return next((self._tensors[name].shape[axis] for name, axis in self._axes.items()), 0)

    def room(self, size: int) -> int:
        """As many as are needed: multiples of 16, with which numbers do not depend on how many there are."""
        return max(GRAIN, round_up(size))

    def expect(self, sources: int, size: int) -> None:
        """There are rows for all."""

    def resize(self, size: int) -> None:
        """Copy the rows in use into larger or smaller tensors."""
        for name, axis in self._axes.items():
            self._tensors[name] = resized(self._tensors[name], axis, size, self._count)

    def admit(self, tensors: Mapping[str, Array] = MappingProxyType({})) -> None:
        """One row more, of zeros but for these: what is no number is seen through any mask, so nothing old may stay."""
        self._count += 1
        self.place(self._count - 1, tensors)

    def remove(self, row: int) -> None:
        """The row leaves; the last one takes its place."""
        self._count -= 1
        if row != self._count:
            for tensor in self._tensors.values():
                tensor[row] = tensor[self._count]

    def place(self, row: int, tensors: Mapping[str, Array]) -> None:
        """The row becomes these tensors, as far as there is room, and zeros elsewhere."""
        for name, tensor in self._tensors.items():
            new, axis = tensors.get(name), self._axes.get(name)
            if new is None:
                tensor[row] = 0
            elif axis is None:
                tensor[row] = new
            else:
                kept, before = min(new.shape[axis - 1], tensor.shape[axis]), (slice(None),) * (axis - 1)
                tensor[row][(*before, slice(kept))] = new[(*before, slice(kept))]
                tensor[row][(*before, slice(kept, None))] = 0

    def put(self, new: Sequence[Array], row: Array, node: Array, slot: Array) -> None:
        """The new node node[i] of row[i] goes to slot[i]."""
        _, heads, slots, _ = next(iter(self._tensors.values())).shape
        head = row[:, None] * heads + np.arange(heads)
        to, at = head * slots + slot[:, None], head * new[0].shape[2] + node[:, None]
        for tensor, fresh in zip(self._tensors.values(), new, strict=True):
            _vectors(tensor).put(to, _vectors(fresh).take(at, mode="clip"), mode="clip")

    def extend(self, new: Sequence[Array], starts: Array, counts: Array) -> None:
        """The first counts[g] new nodes of each row g go to the slots from starts[g] on."""
        if len(starts) >= MANY_ROWS and new[0].shape[2] == 1 and counts.all():
            _, heads, slots, _ = next(iter(self._tensors.values())).shape
            to = np.arange(len(starts) * heads).reshape(-1, heads) * slots + starts[:, None]
            for tensor, fresh in zip(self._tensors.values(), new, strict=True):
                _vectors(tensor).put(to, _vectors(fresh), mode="clip")
            return
        for g, (start, count) in enumerate(zip(starts.tolist(), counts.tolist(), strict=True)):
            for tensor, fresh in zip(self._tensors.values(), new, strict=True):
                tensor[g, :, start : start + count] = fresh[g, :, :count]

    def replace(self, new: Sequence[Array], origin: Array) -> None:
        """Each hypothesis continues from row origin[g, k] of the new states."""
        for tensor, fresh in zip(self._tensors.values(), new, strict=True):
            fresh.take(origin, 0, out=tensor[: len(origin)], mode="clip")  # any other mode copies twice

    def feed(self) -> Feed:
        """The rows in use."""
        return {name: tensor[: self._count] for name, tensor in self._tensors.items()}


def resized(old: Array, axis: int, size: int, rows: int) -> Array:
    """A copy with so many along an axis; the first `rows` rows keep what there is room for and are zero elsewhere. What
    is in other rows is nobody's, as it takes time to make zeros of it.
    """
    new = np.empty((*old.shape[:axis], size, *old.shape[axis + 1 :]), old.dtype)
    kept, before = min(size, old.shape[axis]), (slice(rows), *(slice(None),) * (axis - 1))
    new[(*before, slice(kept))] = old[(*before, slice(kept))]
    new[(*before, slice(kept, None))] = 0
    return new


def _vectors(tensor: Array) -> Array:
    """The numbers of the last axis as one value each: numpy moves that in a third less time than an axis of them."""
    vector = np.dtype((np.void, tensor.shape[-1] * tensor.itemsize))
    return np.ascontiguousarray(tensor).view(vector)  # which a store's own tensors are, and a run's outputs

"""What a group's sources say to the decoder: cross-attention keys and values, and how many positions each has."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np

from dragoman.bundle.graphs import CROSS, DEVICE_ENCODER, DEVICE_STEP, LENGTHS, SRC_MASK, STATE, STEP
from dragoman.bundle.manifest import Manifest, Tensor
from dragoman.server.runtime.buffers import Array, Feed
from dragoman.server.runtime.padding import GRAIN, MASKED
from dragoman.server.runtime.runtime import Runtime, reads_placed
from dragoman.server.runtime.stores import Store


class Memory:
    """Up to `capacity` sources in a store, with positions as many as the longest has. Graphs read which of them count
    as a mask, or as lengths.
    """

    def __init__(self, store: Store, capacity: int, *, gives_lengths: bool = False) -> None:
        self._store, self._gives_lengths = store, gives_lengths
        self._lengths = np.zeros(capacity, np.int64)
        self._mask: Array | None = None
        """None where it is to be made anew."""

    def __len__(self) -> int:
        return len(self._store)

    @property
    def positions(self) -> int:
        """How many positions the sources have in a run, padding among them."""
        return self._store.size

    def admit(self, tensors: Mapping[str, Any], length: int) -> None:
        """One source more, as the encoder left it, of which `length` positions count."""
        self._have_room(len(self), length)
        self._store.admit(tensors)

    def expect(self, sources: int) -> None:
        """So many more come soon."""
        self._store.expect(sources, int(self._lengths[: len(self)].max(initial=1)))

    def fill(self, g: int, tensors: Mapping[str, Any], length: int) -> None:
        """Give a source that was admitted without any its keys and values."""
        self._have_room(g, length)
        self._store.place(g, tensors)

    def _have_room(self, g: int, length: int) -> None:
        """For a source of this length. What only a source that left needed is given up."""
        self._lengths[g], self._mask = length, None
        longest = int(self._lengths[: max(len(self), g + 1)].max())
        wanted = self._store.room(longest)
        if wanted > self._store.size or self._store.room(2 * longest) < self._store.size:
            self._store.resize(wanted)

    def remove(self, row: int) -> None:
        """A source leaves; the last one takes its place."""
        self._store.remove(row)
        self._lengths[row], self._mask = self._lengths[len(self)], None

    def feed(self) -> Feed:
        """Graph inputs for all sources."""
        lengths = self._lengths[: len(self)]
        if self._gives_lengths:
            return {LENGTHS: lengths, **self._store.feed()}
        if self._mask is None:
            is_seen = np.arange(self._store.size) < lengths[:, None]
            self._mask = np.where(is_seen, np.float32(0), MASKED)[:, None, None]
        return {SRC_MASK: self._mask, **self._store.feed()}


def sources_of(runtime: Runtime, capacity: int, kind: Hashable = None) -> Memory:
    """What a step reads of sources: as the encoder gives it, or made of its hidden rows."""
    inputs = runtime.manifest.graphs[DEVICE_STEP].inputs if runtime.is_placed else ()
    placed = [tensor for tensor in inputs if tensor.name.startswith(CROSS)]
    store = runtime.store(placed or memory_of(runtime.manifest), {"G": capacity, "S": GRAIN}, kind)
    return Memory(store, capacity, gives_lengths=runtime.is_placed)


def placed_rows_of(runtime: Runtime, name: str, capacity: int) -> Memory | None:
    """The encoder's rows of sources where they lie on a device and this non-autoregressive decoder reads them there."""
    if not runtime.is_placed or not reads_placed(runtime.manifest, name):
        return None
    store = runtime.store(runtime.manifest.graphs[DEVICE_ENCODER].outputs[:1], {"G": capacity, "S": GRAIN}, name)
    return Memory(store, capacity, gives_lengths=True)


def memory_of(manifest: Manifest) -> list[Tensor]:
    """What a step reads of a source's positions."""
    inputs = manifest.graphs[STEP].inputs
    return [t for t in inputs if "S" in t.shape and t.name != SRC_MASK and not t.name.startswith(STATE)]

"""What a group's sources say to the decoder: cross-attention keys and values, padded and masked."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from dragoman.bundle.graphs import CROSS, DEVICE_STEP, SRC_MASK, STEP
from dragoman.bundle.manifest import Manifest, Tensor
from dragoman.server.kvcache.placed_memory import PlacedMemory
from dragoman.server.runtime.buffers import Feed
from dragoman.server.runtime.host_store import resized
from dragoman.server.runtime.padding import GRAIN, MASKED, round_up
from dragoman.server.runtime.runtime import Runtime
from dragoman.server.runtime.stores import MakeStore


class Memory:
    """Cross-attention keys and values of up to `capacity` sources, [G, H, ...] with positions S on an axis of their
    own, as many as the longest source has.
    """

    def __init__(self, make: MakeStore, declared: Sequence[Tensor], capacity: int) -> None:
        positioned = [tensor for tensor in declared if "S" in tensor.shape]
        self._store = make(positioned, {"G": capacity, "S": GRAIN})
        self._lengths = np.zeros(capacity, np.int64)
        self._mask = np.full((capacity, 1, 1, GRAIN), MASKED)

    def __len__(self) -> int:
        return len(self._store)

    def admit(self, tensors: Mapping[str, Any], length: int) -> None:
        """One source more: its keys and values, without the axis G, of which `length` positions count."""
        self._store.admit()
        self.fill(len(self) - 1, tensors, length)

    def fill(self, g: int, tensors: Mapping[str, Any], length: int) -> None:
        """Give a source its keys and values. What only a source that left needed is given up."""
        self._lengths[g] = length
        longest = self._store.room(max(GRAIN, round_up(self.longest)))
        positions = self._store.size
        if longest > positions or 2 * longest <= positions:
            self._resize(longest)
        self._store.place(g, tensors)
        self._mask[g] = MASKED
        self._mask[g, ..., :length] = 0

    def remove(self, row: int) -> None:
        """A source leaves; the last one takes its place."""
        self._store.remove(row)
        self._mask[row] = self._mask[len(self)]
        self._lengths[row] = self._lengths[len(self)]

    @property
    def longest(self) -> int:
        """Positions of the longest source."""
        return int(self._lengths[: len(self)].max(initial=0))

    def feed(self) -> Feed:
        """Graph inputs for all sources."""
        return {SRC_MASK: self._mask[: len(self)], **self._store.feed()}

    def _resize(self, positions: int) -> None:
        """Have so many positions."""
        self._store.resize(positions)
        kept = resized(self._mask, 3, positions, len(self))
        kept[..., self._mask.shape[3] :] = MASKED
        self._mask = kept


def sources_of(runtime: Runtime, capacity: int, kind: Hashable = None) -> "Memory | PlacedMemory":
    """What a step reads of sources: as the encoder gives it, or made of its hidden rows."""
    manifest = runtime.manifest
    if not runtime.is_placed:
        return Memory(runtime.store, memory_of(manifest), capacity)
    declared = [tensor for tensor in manifest.graphs[DEVICE_STEP].inputs if tensor.name.startswith(CROSS)]
    return PlacedMemory(runtime.store(declared, {"G": capacity, "S": GRAIN}, kind), capacity)


def memory_of(manifest: Manifest) -> list[Tensor]:
    """What a step reads of a source's positions."""
    return [tensor for tensor in manifest.graphs[STEP].inputs if "S" in tensor.shape and tensor.name != SRC_MASK]

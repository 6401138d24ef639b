"""What a batch's sources say to the decoder: cross-attention keys and values, padded and masked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dragoman.bundle.manifest import Manifest, Tensor
from dragoman.server.kvcache.device_stores import ResidentPositions
from dragoman.server.kvcache.host_stores import HostPositions
from dragoman.server.kvcache.stores import Positions
from dragoman.server.runtime.buffers import Feed
from dragoman.server.runtime.device import Device
from dragoman.server.runtime.padding import GRAIN, MASKED, round_up


class Memory:
    """Cross-attention keys and values of a batch's sources, [G, H, ...] with positions S on an axis of their own."""

    def __init__(self, declared: Sequence[Tensor], capacity: int, device: Device | None = None) -> None:
        self._capacity = capacity
        positioned = [one for one in declared if "S" in one.shape]
        self._store: Positions = (
            HostPositions(positioned, capacity, GRAIN)
            if device is None
            else ResidentPositions(device, positioned, capacity, GRAIN)
        )
        self._lengths = np.zeros(capacity, np.int64)
        self._mask = np.full((capacity, 1, 1, GRAIN), MASKED)

    def admit(self, g: int, tensors: Mapping[str, Any], length: int) -> None:
        """Source g's own keys and values, without the axis G, of which `length` positions count."""
        self._lengths[g] = length
        longest = self._store.room(round_up(int(self._lengths[: g + 1].max())))
        positions = self._mask.shape[3]
        if longest > positions or 2 * longest <= positions:
            self._resize(longest, g)
        self._store.place(g, tensors)
        self._mask[g] = MASKED
        self._mask[g, ..., :length] = 0

    def move(self, row: int, to: int) -> None:
        """What belonged to row `row` belongs to row `to`."""
        self._store.move(row, to)
        self._mask[to] = self._mask[row]
        self._lengths[to] = self._lengths[row]

    def longest(self, sources: int) -> int:
        """Positions of the longest of the first `sources` sources."""
        return int(self._lengths[:sources].max(initial=0))

    def feed(self, sources: int) -> Feed:
        """Graph inputs for the first `sources` sources."""
        return {"src_mask": self._mask[:sources], **self._store.feed(sources)}

    def _resize(self, positions: int, sources: int) -> None:
        """Make room for this many positions; the first `sources` sources keep theirs."""
        self._store.resize(positions, sources)
        mask = np.full((self._capacity, 1, 1, positions), MASKED)
        kept = min(positions, self._mask.shape[3])
        mask[:sources, ..., :kept] = self._mask[:sources, ..., :kept]
        self._mask = mask


def memory_of(manifest: Manifest) -> list[Tensor]:
    """What a step reads of a source's positions."""
    return [tensor for tensor in manifest.graphs["step"].inputs if "S" in tensor.shape and tensor.name != "src_mask"]

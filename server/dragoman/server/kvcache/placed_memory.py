"""What a group's sources say to a device's step: keys and values that it made of hidden rows, and lengths."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from dragoman.bundle.graphs import LENGTHS
from dragoman.server.runtime.buffers import Feed
from dragoman.server.runtime.device_rows import ENCODED
from dragoman.server.runtime.stores import Rows


class PlacedMemory:
    """Up to `capacity` sources; positions as many as the longest has."""

    def __init__(self, store: Rows, capacity: int) -> None:
        self._store = store
        self._lengths = np.zeros(capacity, np.int64)

    def __len__(self) -> int:
        return len(self._store)

    def admit(self, tensors: Mapping[str, Any], length: int) -> None:
        """One source more, as the encoder left it, of which `length` positions count."""
        g = len(self)
        longest = max(length, int(self._lengths[:g].max(initial=0)))
        wanted = self._store.room(longest)
        if wanted > self._store.size or self._store.room(2 * longest) < self._store.size:
            self._store.resize(wanted)
        self._store.admit()
        self._lengths[g] = length
        self._store.place(g, tensors[ENCODED])

    def remove(self, row: int) -> None:
        """A source leaves; the last one takes its place."""
        self._store.remove(row)
        self._lengths[row] = self._lengths[len(self)]

    def feed(self) -> Feed:
        """Graph inputs for all sources."""
        return {LENGTHS: self._lengths[: len(self)], **self._store.feed()}

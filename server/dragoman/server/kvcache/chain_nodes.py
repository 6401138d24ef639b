"""The keys and values of words that each source has read one after another: word t is in slot t."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dragoman.bundle.graphs import MASK, SLOT_DEPTH
from dragoman.server.decode.arrays import Bools
from dragoman.server.decode.step import Advance
from dragoman.server.kvcache.masks import opening
from dragoman.server.runtime.buffers import Feed
from dragoman.server.runtime.host_store import HostStore


class ChainNodes:
    """Keys and values in T slots a source, and how many of them it has read."""

    def __init__(self, store: HostStore, capacity: int, *, is_relative: bool) -> None:
        self._store, self._is_relative = store, is_relative
        self._lengths = np.zeros(capacity, np.int64)

    def admit(self, tensors: Mapping[str, Any]) -> None:  # noqa: ARG002 - its root starts with nothing
        """One source more, that has read nothing; slots that only a source which left needed are given up."""
        g = len(self._store)
        wanted = self._store.room(int(self._lengths[:g].max(initial=0)))
        if 2 * wanted <= self._store.size:
            self._store.resize(wanted)
        self._store.admit()
        self._lengths[g] = 0

    def remove(self, row: int) -> None:
        """A source leaves; the last one takes its place."""
        self._store.remove(row)
        self._lengths[row] = self._lengths[len(self._store)]

    def feed(self, seen: Bools) -> Feed:
        """The pool, and the mask [G, 1, q, T + w] that opens all words read, and of the run's own what `seen` says."""
        sources, slots = len(self._store), np.arange(self._store.size)
        read = slots < self._lengths[:sources, None, None]
        feed: Feed = {MASK: opening(read, seen), **self._store.feed()}
        if self._is_relative:
            feed[SLOT_DEPTH] = np.broadcast_to(slots, (sources, len(slots)))
        return feed

    def keep(self, new: Sequence[Any], advance: Advance) -> None:
        """The first so many of each source's new words stand."""
        n = len(advance.kept)
        longest = int((self._lengths[:n] + advance.kept).max(initial=0))
        if longest > self._store.size:
            self._store.resize(self._store.room(longest))
        self._store.extend(new, self._lengths[:n], advance.kept)
        self._lengths[:n] += advance.kept

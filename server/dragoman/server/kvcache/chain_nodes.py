"""What the decoder keeps of the words that sources have read one after another: their keys and values, or the newest
word's state. Each source is a single path, so its slots are simply its words, in their order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from dragoman.bundle.graphs import MASK, SELF, SLOT_DEPTH, STATE
from dragoman.server.decode.arrays import Bools
from dragoman.server.kvcache.tree_nodes import node_tensors
from dragoman.server.runtime.buffers import Feed
from dragoman.server.runtime.padding import GRAIN, MASKED, round_up
from dragoman.server.runtime.runtime import Runtime
from dragoman.server.runtime.stores import Store


class ChainNodes(Protocol):
    """What the decoder keeps of the words that sources have read."""

    def admit(self) -> None:
        """One source more, that has read nothing."""

    def remove(self, row: int) -> None:
        """A source leaves; the last one takes its place."""

    def feed(self, own: Bools) -> Feed:
        """Graph inputs; `own` [q, w] says which of the w nodes of a run its q nodes see."""

    def keep(self, new: Sequence[Any], counts: Sequence[int]) -> None:
        """The first so many of each source's new words stand."""


class ChainStates:
    """Recurrent states [G, 1, d] of the newest word that each source has read."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def admit(self) -> None:
        """Before the first word there are zeros."""
        self._store.admit()

    def remove(self, row: int) -> None:
        """A source leaves; the last one takes its place."""
        self._store.remove(row)

    def feed(self, own: Bools) -> Feed:  # noqa: ARG002 - they see one another by turns
        """The states of all sources."""
        return self._store.feed()

    def keep(self, new: Sequence[Any], counts: Sequence[int]) -> None:
        """The state behind the last word that stands; a source that keeps none leaves."""
        n = len(counts)
        last = (np.maximum(np.array(counts), 1) - 1) * n + np.arange(n)
        self._store.replace([states.reshape(-1, states.shape[-1]) for states in new], last[:, None])


class ChainPool:
    """Keys and values of the words that each source has read, [G, H, T, e] a layer, word t in slot t."""

    def __init__(self, store: Store, capacity: int, *, is_relative: bool) -> None:
        self._store, self._is_relative = store, is_relative
        self._lengths = np.zeros(capacity, np.int64)

    def admit(self) -> None:
        """One source more, that has read nothing; slots that only a source which left needed are given up."""
        g = len(self._store)
        wanted = self._store.room(max(GRAIN, round_up(int(self._lengths[:g].max(initial=0)))))
        if 2 * wanted <= self._store.size:
            self._store.resize(wanted)
        self._store.admit()
        self._lengths[g] = 0

    def remove(self, row: int) -> None:
        """A source leaves; the last one takes its place."""
        self._store.remove(row)
        self._lengths[row] = self._lengths[len(self._store)]

    def feed(self, own: Bools) -> Feed:
        """The pool, and the mask [G, 1, q, T + w] that opens all words read, and of the run's own what `own` says."""
        sources, slots = len(self._store), np.arange(self._store.size)
        read = slots < self._lengths[:sources, None]
        is_open = np.concatenate(
            [
                np.broadcast_to(read[:, None], (sources, len(own), len(slots))),
                np.broadcast_to(own, (sources, *own.shape)),
            ],
            axis=2,
        )
        feed: Feed = {MASK: np.where(is_open, np.float32(0), MASKED)[:, None]}
        feed |= self._store.feed()
        if self._is_relative:
            feed[SLOT_DEPTH] = np.broadcast_to(slots, (sources, len(slots)))
        return feed

    def keep(self, new: Sequence[Any], counts: Sequence[int]) -> None:
        """The first so many of each source's new words stand."""
        n = len(counts)
        longest = round_up(int((self._lengths[:n] + counts).max(initial=0)))
        if longest > self._store.size:
            self._store.resize(self._store.room(longest + round_up(longest // 2)))
        self._store.extend(new, self._lengths[:n], np.array(counts))
        self._lengths[:n] += counts


def chain_nodes_of(runtime: Runtime, capacity: int) -> ChainNodes:
    """The kind that the bundle's decoder has."""
    states = node_tensors(runtime, STATE)
    return ChainStates(runtime.store(states, {"G": capacity, "q": 1})) if states else chain_pool_of(runtime, capacity)


def chain_pool_of(runtime: Runtime, capacity: int) -> ChainPool:
    """Keys and values."""
    store = runtime.store(node_tensors(runtime, SELF), {"G": capacity, "T": GRAIN})
    return ChainPool(store, capacity, is_relative=runtime.manifest.architecture.is_relative)

"""Nodes whose keys and values a step writes itself: each gets its slot before the run, and gives it up if it falls.

As in `chain_nodes` and `tree_nodes`, what a node sees is a mask [G, 1, q, T]; here it opens the run's own nodes, too.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dragoman.bundle.graphs import MASK, SLOT_DEPTH, SLOTS
from dragoman.server.decode.arrays import Bools
from dragoman.server.decode.step import Advance
from dragoman.server.runtime.buffers import Feed
from dragoman.server.runtime.host_store import resized
from dragoman.server.runtime.padding import CLOSED
from dragoman.server.runtime.stores import Store


def mask_of(seen: Bools, dtype: np.dtype[Any]) -> Any:
    """The additive mask [G, 1, q, T], made of its numbers' bits: ten times as fast as a choice in float16."""
    whole = np.dtype(f"u{dtype.itemsize}")
    closed = np.array(CLOSED, dtype).view(whole)
    return (~seen * closed).view(dtype)[:, None]


class PlacedChains:
    """Words that sources have read one behind another: word t is in slot t."""

    def __init__(self, store: Store, capacity: int, dtype: np.dtype[Any], *, is_relative: bool = False) -> None:
        self._store, self._dtype, self._is_relative = store, dtype, is_relative
        self._lengths = np.zeros(capacity, np.int64)

    def admit(self, tensors: Mapping[str, Any]) -> None:  # noqa: ARG002 - its root starts with nothing
        """One source more; slots that only a source which left needed are given up."""
        g = len(self._store)
        wanted = self._store.room(2 * int(self._lengths[:g].max(initial=0)))
        if wanted < self._store.size:
            self._store.resize(wanted)
        self._store.admit()
        self._lengths[g] = 0

    def remove(self, row: int) -> None:
        """A source leaves; the last one takes its place."""
        self._store.remove(row)
        self._lengths[row] = self._lengths[len(self._store)]

    def reserve(self, slots: int) -> None:
        """Have so many slots at least."""
        if slots > self._store.size:
            self._store.resize(self._store.room(slots))

    def feed(self, seen: Bools) -> Feed:
        """The slots behind what each source has read, and what each of a run's words sees: those of a stride, of which
        the first is fed, all that were read before them.
        """
        n, (queries, nodes) = len(self._store), seen.shape
        lengths = self._lengths[:n, None]
        self.reserve(int(lengths.max(initial=0)) + nodes)
        slots, places = lengths + np.arange(nodes), np.arange(self._store.size)
        if nodes == 1:
            visible = (places <= lengths)[:, None]
        elif queries == 1:
            visible = places <= slots[:, :, None]
        else:
            visible = np.repeat((places < lengths)[:, None], nodes, axis=1)
            visible[np.arange(n)[:, None, None], np.arange(nodes)[:, None], slots[:, None]] = seen
        where = {SLOT_DEPTH: np.broadcast_to(places, (n, len(places)))} if self._is_relative else {}
        return {MASK: mask_of(visible, self._dtype), SLOTS: slots, **where, **self._store.feed()}

    def keep(self, new: Sequence[Any], advance: Advance) -> None:  # noqa: ARG002 - the step has written them
        """The first so many of each source's new words stand."""
        self._lengths[: len(advance.kept)] += advance.kept


class PlacedTrees:
    """Tree nodes in T slots a source, in no order, and each hypothesis' ancestors among them [G, K, T]."""

    def __init__(
        self, store: Store, capacity: int, width: int, dtype: np.dtype[Any], *, is_relative: bool = False
    ) -> None:
        self._store, self._width, self._dtype = store, width, dtype
        self._ancestors = np.zeros((capacity, width, store.size), np.bool_)
        self._seen = self._ancestors[:0]
        """What each of the run's nodes sees, itself included."""
        # Where the nodes stand, for graphs that tell positions by their distance.
        self._depth = np.zeros((capacity, store.size), np.int64) if is_relative else None

    def admit(self, tensors: Mapping[str, Any]) -> None:  # noqa: ARG002 - its roots start with nothing
        """A tree's root has no ancestors; slots that only a source which left needed are given up."""
        g = len(self._store)
        used = np.flatnonzero(self._ancestors[:g].any((0, 1)))
        wanted = self._store.room(2 * ((int(used[-1]) + 1 if len(used) else 0) + self._width))
        if wanted < self._store.size:
            self._resize(wanted)
        self._store.admit()
        self._ancestors[g] = False
        if self._depth is not None:
            self._depth[g] = 0

    def remove(self, row: int) -> None:
        """A source leaves; the last one takes its place."""
        self._store.remove(row)
        self._ancestors[row] = self._ancestors[len(self._store)]
        if self._depth is not None:
            self._depth[row] = self._depth[len(self._store)]

    def reserve(self, slots: int) -> None:
        """Have so many slots at least."""
        if slots > self._store.size:
            self._resize(self._store.room(slots))

    def feed(self, seen: Bools) -> Feed:  # noqa: ARG002 - nodes of a level see themselves
        """Each source's lowest free slots for its new level, and each node's ancestors and itself."""
        n, width = len(self._store), self._width
        used: Bools = np.any(self._ancestors[:n], axis=1)
        needed = int(used.view(np.uint8).sum(1, dtype=np.int32).max(initial=0)) + width
        if needed > used.shape[1]:
            self.reserve(needed)
            used = np.any(self._ancestors[:n], axis=1)
        slots, rows = np.empty((n, width), np.int64), np.arange(n)
        self._seen = self._ancestors[:n].copy()
        for place in range(width):
            slots[:, place] = lowest = used.argmin(1)
            used[rows, lowest] = self._seen[rows, place, lowest] = True
        feed = {MASK: mask_of(self._seen, self._dtype), SLOTS: slots, **self._store.feed()}
        if self._depth is not None:  # a node stands behind as many as it descends from
            self._depth[np.arange(n)[:, None], slots] = self._ancestors[:n].sum(2)
            feed[SLOT_DEPTH] = self._depth[:n]
        return feed

    def keep(self, new: Sequence[Any], advance: Advance) -> None:  # noqa: ARG002 - the step has written them
        """Each hypothesis descends from its parent; a slot is free as soon as none does from its node."""
        n = len(advance.parents)
        self._ancestors[:n] = self._seen[np.arange(n)[:, None], advance.parents] & advance.live[:, :, None]

    def _resize(self, slots: int) -> None:
        sources = len(self._store)
        self._store.resize(slots)
        self._ancestors = resized(self._ancestors, 2, slots, sources)
        self._depth = None if self._depth is None else resized(self._depth, 1, slots, sources)

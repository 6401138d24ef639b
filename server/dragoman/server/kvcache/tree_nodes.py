"""The keys and values of tree nodes: which are kept, in which slots, and which of them a hypothesis sees.

What a hypothesis sees is a mask, so that a beam is never copied or reordered, and a slot is free as soon as no live
hypothesis descends from its node. A source's slots are chosen by its own tree alone, the lowest free ones.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dragoman.bundle.graphs import MASK, SLOT_DEPTH
from dragoman.server.decode.arrays import Bools
from dragoman.server.decode.step import Advance
from dragoman.server.kvcache.masks import opening
from dragoman.server.runtime.buffers import Feed
from dragoman.server.runtime.host_store import HostStore, resized


class TreeNodes:
    """Keys and values in T slots a source, in no order, and each hypothesis' ancestors among them [G, K, T]."""

    def __init__(self, store: HostStore, capacity: int, width: int, *, is_relative: bool) -> None:
        self._store, self._width = store, width
        self._fewest = store.size
        self._ancestors = np.zeros((capacity, width, store.size), np.bool_)
        # Where the nodes stand, for graphs that tell positions by their distance.
        self._depth = np.zeros((capacity, store.size), np.int64) if is_relative else None

    def admit(self, tensors: Mapping[str, Any]) -> None:  # noqa: ARG002 - its roots start with nothing
        """A tree's root has no ancestors.

        Slots are filled from the lowest, so that the highest in use says how large the pool has to be: what a long
        source needed is given up here once it has left.
        """
        g = len(self._store)
        used = np.flatnonzero(self._ancestors[:g].any((0, 1)))
        needed = (int(used[-1]) + 1 if len(used) else 0) + self._width
        wanted = max(self._fewest, self._store.room(needed))
        if 2 * wanted <= self._store.size:
            self._resize(wanted)
        self._store.admit()
        self._ancestors[g] = False
        if self._depth is not None:
            self._depth[g] = 0

    def remove(self, row: int) -> None:
        """A source leaves; the last one takes its place."""
        self._store.remove(row)
        last = len(self._store)
        self._ancestors[row] = self._ancestors[last]
        if self._depth is not None:
            self._depth[row] = self._depth[last]

    def feed(self, seen: Bools) -> Feed:
        """The pool, and the mask [G, 1, K, T + K] that opens each node's ancestors, and of the run's own what `seen`
        says."""
        sources = len(self._store)
        feed = {MASK: opening(self._ancestors[:sources], seen), **self._store.feed()}
        return feed if self._depth is None else {**feed, SLOT_DEPTH: self._depth[:sources]}

    def keep(self, new: Sequence[Any], advance: Advance) -> None:
        """Store the nodes that have living children; forget those that have no living descendant."""
        n, width = advance.parents.shape
        rows = np.arange(n)[:, None]
        has_child = np.zeros((n, width), np.bool_)
        owners, places = advance.live.nonzero()
        has_child[owners, advance.parents[owners, places]] = True
        used = (self._ancestors[:n] & has_child[:, :, None]).any(1)  # [G, T]
        needed = int(used.sum(1).max(initial=0)) + width
        if needed > used.shape[1]:
            # As few as there can be: all are read at every step, which costs more than to copy them now and then.
            self._resize(self._store.room(needed))
            used = np.pad(used, ((0, 0), (0, self._store.size - used.shape[1])))
        free = np.argsort(used, axis=1, kind="stable")[:, :width]  # lowest free slots first
        slots = np.take_along_axis(free, np.maximum(has_child.cumsum(1) - 1, 0), 1)  # [G, K]
        g, place = np.nonzero(has_child)
        slot = slots[g, place]
        self._store.put(new, g, place, slot)
        if self._depth is not None:  # a node stands behind as many as it descends from
            self._depth[g, slot] = self._ancestors[g, place].sum(1)
        ancestors = self._ancestors[:n] & has_child[:, :, None]
        ancestors[g, place, slot] = True
        self._ancestors[:n] = ancestors[rows, advance.parents] & advance.live[:, :, None]

    def _resize(self, slots: int) -> None:
        """Have so many slots; sources keep theirs, as far as there are as many."""
        sources = len(self._store)
        self._store.resize(slots)
        self._ancestors = resized(self._ancestors, 2, slots, sources)
        self._depth = None if self._depth is None else resized(self._depth, 1, slots, sources)

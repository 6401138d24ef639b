"""What the decoder keeps of tree nodes: keys and values of a node's ancestors, or its recurrent state.

Two kinds with one interface. `NodePool` holds the self-attention keys and values of each source's live nodes in slots,
in no particular order; which of them a hypothesis sees is a mask, so that a beam is never copied or reordered, and a
slot is free as soon as no live hypothesis descends from its node. `NodeStates` holds one state for each hypothesis.
Where the numbers lie is the matter of a `Store`.

A source's slots are chosen by its own tree alone (the lowest free ones), and pools grow in multiples of 16: the
numbers that come out are then the same whatever else is in the batch, to the last bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from dragoman.bundle.graphs import INITIAL, MASK, SELF, SLOT_DEPTH, STATE, STEP
from dragoman.bundle.manifest import Tensor
from dragoman.server.decode.step import Advance
from dragoman.server.runtime.buffers import Feed
from dragoman.server.runtime.host_store import resized
from dragoman.server.runtime.padding import GRAIN, MASKED, round_up
from dragoman.server.runtime.runtime import Runtime
from dragoman.server.runtime.stores import Store


class TreeNodes(Protocol):
    """What a batch needs of either kind."""

    def admit(self, tensors: Mapping[str, Any]) -> None:
        """One source more, that starts with what the encoder made for its root, by name, and nothing else."""

    def remove(self, row: int) -> None:
        """A source leaves; the last one takes its place."""

    def feed(self) -> Feed:
        """Graph inputs for all sources."""

    def keep(self, new: Sequence[Any], advance: Advance) -> None:
        """Take over what a step computed for the nodes it was fed, as far as they have living children."""


class NodeStates:
    """Recurrent states: [G, K, d] each, of the node that each hypothesis ends in; d is the state's own."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def admit(self, tensors: Mapping[str, Any]) -> None:
        """A tree's root has the encoder's states, or zeros."""
        self._store.admit()
        first = {name.replace(INITIAL, STATE): value for name, value in tensors.items() if name.startswith(INITIAL)}
        if first:
            self._store.place(len(self._store) - 1, first)

    def remove(self, row: int) -> None:
        """A source leaves; the last one takes its place."""
        self._store.remove(row)

    def feed(self) -> Feed:
        """The states of all hypotheses."""
        return self._store.feed()

    def keep(self, new: Sequence[Any], advance: Advance) -> None:
        """Every hypothesis continues from its parent's new state."""
        n, width = advance.parents.shape
        self._store.replace(new, np.arange(0, n * width, width)[:, None] + advance.parents)


class NodePool:
    """Self-attention keys and values in T slots a source, and each hypothesis' ancestors among them, [G, K, T]."""

    def __init__(self, store: Store, capacity: int, width: int, *, is_relative: bool) -> None:
        self._store, self._width = store, width
        self._fewest = store.room(fewest_slots(width))
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
        needed = round_up((int(used[-1]) + 1 if len(used) else 0) + self._width)
        wanted = max(self._fewest, self._store.room(needed))
        if 2 * wanted <= self._store.size:
            self._resize(wanted)
        self._store.admit()
        self._ancestors[g] = False

    def remove(self, row: int) -> None:
        """A source leaves; the last one takes its place."""
        self._store.remove(row)
        last = len(self._store)
        self._ancestors[row] = self._ancestors[last]
        if self._depth is not None:
            self._depth[row] = self._depth[last]

    def feed(self) -> Feed:
        """The pool, and the mask [G, 1, K, T + K] that opens each node's ancestors and itself."""
        sources = len(self._store)
        own = np.where(np.eye(self._width, dtype=np.bool_), np.float32(0), MASKED)
        seen = np.where(self._ancestors[:sources], np.float32(0), MASKED)
        mask = np.concatenate([seen, np.broadcast_to(own, (sources, self._width, self._width))], axis=2)
        feed = {MASK: mask[:, None], **self._store.feed()}
        return feed if self._depth is None else {**feed, SLOT_DEPTH: self._depth[:sources]}

    def keep(self, new: Sequence[Any], advance: Advance) -> None:
        """Store the nodes that have living children; forget those that have no living descendant."""
        n, width = advance.parents.shape
        if width == 1:
            self._lengthen(new, n)
            return
        rows = np.arange(n)[:, None]
        has_child = np.zeros((n, width), np.bool_)
        has_child[np.broadcast_to(rows, advance.live.shape)[advance.live], advance.parents[advance.live]] = True
        used = (self._ancestors[:n] & has_child[:, :, None]).any(1)  # [G, T]
        if int(used.sum(1).max(initial=0)) + width > used.shape[1]:
            self._grow()
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

    def _lengthen(self, new: Sequence[Any], sources: int) -> None:
        """Keep the nodes of chains: each new one goes behind its ancestors, which fill the slots from the lowest.

        One without a living child is kept too: its source leaves, as it has no other.
        """
        g, slot = np.arange(sources), self._ancestors[:sources, 0].sum(1)
        if int(slot.max(initial=0)) + 1 > self._store.size:
            self._grow()
        self._store.extend(new, slot, np.ones_like(slot))
        if self._depth is not None:
            self._depth[g, slot] = slot
        self._ancestors[g, 0, slot] = True

    def _grow(self) -> None:
        size = self._store.size
        self._resize(self._store.room(size + max(GRAIN, round_up(size // 2))))

    def _resize(self, slots: int) -> None:
        """Have so many slots; sources keep theirs, as far as there are as many."""
        sources = len(self._store)
        self._store.resize(slots)
        self._ancestors = resized(self._ancestors, 2, slots, sources)
        self._depth = None if self._depth is None else resized(self._depth, 1, slots, sources)


def fewest_slots(width: int) -> int:
    """What a pool begins with: few, as what attention costs is reading them."""
    return GRAIN if width == 1 else 2 * round_up(width)


def node_tensors(runtime: Runtime, prefix: str) -> list[Tensor]:
    """What a step reads of nodes: keys and values (SELF), or states (STATE)."""
    return [tensor for tensor in runtime.manifest.graphs[STEP].inputs if tensor.name.startswith(prefix)]


def tree_nodes_of(runtime: Runtime, capacity: int, width: int) -> TreeNodes:
    """The kind that the step graph asks for."""
    states = node_tensors(runtime, STATE)
    if states:
        return NodeStates(runtime.store(states, {"G": capacity, "q": width}))
    store = runtime.store(node_tensors(runtime, SELF), {"G": capacity, "T": fewest_slots(width)})
    return NodePool(store, capacity, width, is_relative=runtime.manifest.architecture.is_relative)

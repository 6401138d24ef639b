"""What the decoder keeps of tree nodes: keys and values of a node's ancestors, or its recurrent state.

Two kinds with one interface. `NodePool` holds the self-attention keys and values of each source's live nodes in slots,
in no particular order; which of them a hypothesis sees is a mask, so that a beam is never copied or reordered, and a
slot is free as soon as no live hypothesis descends from its node. `NodeStates` holds one state for each hypothesis.
Where the numbers lie is another matter: in `stores`, or on a device.

A source's slots are chosen by its own tree alone (the lowest free ones), and pools grow in multiples of 16: the
numbers that come out are then the same whatever else is in the batch, to the last bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from dragoman.bundle.manifest import Architecture
from dragoman.server.decode.arrays import Floats32
from dragoman.server.decode.step import Advance
from dragoman.server.kvcache.device_stores import ResidentSlots, ResidentStates
from dragoman.server.kvcache.host_stores import HostSlots, resized
from dragoman.server.kvcache.stores import Slots
from dragoman.server.runtime.buffers import Feed
from dragoman.server.runtime.padding import GRAIN, MASKED, round_up
from dragoman.server.runtime.runtime import STEP, Runtime

STATE, INITIAL = "state.", "initial."
"""Names of the step graph's states begin so, and those of what the encoder makes of them for a root."""


class TreeNodes(Protocol):
    """What a batch needs of either kind."""

    def admit(self, g: int, initial: Mapping[str, Floats32]) -> None:
        """Source g starts with what the encoder made for its root, by name, and nothing else."""

    def move(self, row: int, to: int) -> None:
        """What belonged to row `row` belongs to row `to`."""

    def feed(self, sources: int) -> Feed:
        """Graph inputs for the first `sources` sources."""

    def keep(self, new: Sequence[Any], advance: Advance) -> None:
        """Take over what a step computed for the nodes it was fed, as far as they have living children."""


class NodeStates:
    """Recurrent states: [G, K, d] each, of the node that each hypothesis ends in; d is the state's own."""

    def __init__(self, widths: Sequence[int], capacity: int, width: int) -> None:
        self._states = [np.zeros((capacity, width, d), np.float32) for d in widths]

    def admit(self, g: int, initial: Mapping[str, Floats32]) -> None:
        """A tree's root has the encoder's state, or zero."""
        for n, state in enumerate(self._states):
            state[g] = initial.get(f"{INITIAL}{n}", 0)

    def move(self, row: int, to: int) -> None:
        """See `TreeNodes`."""
        for state in self._states:
            state[to] = state[row]

    def feed(self, sources: int) -> Feed:
        """See `TreeNodes`."""
        return {f"{STATE}{n}": state[:sources] for n, state in enumerate(self._states)}

    def keep(self, new: Sequence[Any], advance: Advance) -> None:
        """Every hypothesis continues from its parent's new state."""
        n, width = advance.parents.shape
        rows = (np.arange(n)[:, None] * width + advance.parents).reshape(-1)
        for state, fresh in zip(self._states, new, strict=True):
            state[:n] = (fresh if width == 1 else fresh[rows]).reshape(n, width, -1)


class NodePool:
    """Self-attention keys and values in T slots a source, and each hypothesis' ancestors among them, [G, K, T]."""

    def __init__(self, arch: Architecture, capacity: int, width: int, slots: Slots | None = None) -> None:
        self._width = width
        self._slots = slots or HostSlots(pool_names(arch), pool_shape(arch, capacity, fewest_slots(width)), np.float32)
        self._fewest = self._slots.room(fewest_slots(width))
        self._ancestors = np.zeros((capacity, width, self._slots.size), np.bool_)
        # Where the nodes stand, for graphs that tell positions by their distance.
        self._depth = np.zeros((capacity, self._slots.size), np.int64) if arch.is_relative else None

    def admit(self, g: int, initial: Mapping[str, Floats32]) -> None:  # noqa: ARG002 - its roots start with nothing
        """A tree's root has no ancestors. What another source left is wiped out: what is not a number is seen through
        any mask.

        Slots are filled from the lowest, so that the highest in use says how large the pool has to be: what a long
        source needed is given up here once it has left.
        """
        self._ancestors[g] = False
        self._slots.wipe(g)
        used = np.flatnonzero(self._ancestors[:g].any((0, 1)))
        needed = round_up((int(used[-1]) + 1 if len(used) else 0) + self._width)
        wanted = max(self._fewest, self._slots.room(needed))
        if 2 * wanted <= self._slots.size:
            self._resize(wanted, g)

    def move(self, row: int, to: int) -> None:
        """See `TreeNodes`."""
        self._ancestors[to] = self._ancestors[row]
        self._slots.move(row, to)
        if self._depth is not None:
            self._depth[to] = self._depth[row]

    def feed(self, sources: int) -> Feed:
        """The pool, and the mask [G, 1, K, T + K] that opens each node's ancestors and itself."""
        own = np.where(np.eye(self._width, dtype=np.bool_), np.float32(0), MASKED)
        seen = np.where(self._ancestors[:sources], np.float32(0), MASKED)
        mask = np.concatenate([seen, np.broadcast_to(own, (sources, self._width, self._width))], axis=2)
        feed = {"mask": mask[:, None], **self._slots.feed(sources)}
        return feed if self._depth is None else {**feed, "slot_depth": self._depth[:sources]}

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
            self._grow(n)
            used = np.pad(used, ((0, 0), (0, self._slots.size - used.shape[1])))
        free = np.argsort(used, axis=1, kind="stable")[:, :width]  # lowest free slots first
        slots = np.take_along_axis(free, np.maximum(has_child.cumsum(1) - 1, 0), 1)  # [G, K]
        g, place = np.nonzero(has_child)
        slot = slots[g, place]
        self._slots.put(new, g, place, slot)
        if self._depth is not None:  # a node stands behind as many as it descends from
            self._depth[g, slot] = self._ancestors[g, place].sum(1)
        ancestors = self._ancestors[:n] & has_child[:, :, None]
        ancestors[g, place, slot] = True
        self._ancestors[:n] = ancestors[rows, advance.parents] & advance.live[:, :, None]

    def _lengthen(self, new: Sequence[Any], sources: int) -> None:
        """Of trees that are chains: each new node goes behind its ancestors, which fill the slots from the lowest.

        One without a living child is kept too: its source leaves, as it has no other.
        """
        g, slot = np.arange(sources), self._ancestors[:sources, 0].sum(1)
        if int(slot.max(initial=0)) + 1 > self._slots.size:
            self._grow(sources)
        self._slots.append(new, slot)
        if self._depth is not None:
            self._depth[g, slot] = slot
        self._ancestors[g, 0, slot] = True

    def _grow(self, sources: int) -> None:
        size = self._slots.size
        self._resize(self._slots.room(size + max(GRAIN, round_up(size // 2))), sources)

    def _resize(self, slots: int, sources: int) -> None:
        """Have so many slots; the first `sources` sources keep theirs, as far as there are as many."""
        self._slots.resize(slots, sources)
        self._ancestors = resized(self._ancestors, 2, slots, sources)
        self._depth = None if self._depth is None else resized(self._depth, 1, slots, sources)


def fewest_slots(width: int) -> int:
    """What a pool begins with: few, as what attention costs is reading them."""
    return GRAIN if width == 1 else 2 * round_up(width)


def pool_names(arch: Architecture) -> list[str]:
    """The step graph's inputs of keys and values."""
    return [f"self_{x}.{n}" for n in range(arch.decoder_layers) for x in "kv"]


def pool_shape(arch: Architecture, capacity: int, slots: int) -> tuple[int, int, int, int]:
    """[G, H, T, e] of each."""
    return capacity, arch.heads, slots, arch.head_dim


def slots_of(runtime: Runtime, capacity: int, slots: int) -> Slots:
    """Where the nodes of a bundle's decoder are kept."""
    arch = runtime.manifest.architecture
    names, shape = pool_names(arch), pool_shape(arch, capacity, slots)
    dtype = next(t.dtype for t in runtime.manifest.graphs[STEP].inputs if t.name == names[0])
    if runtime.device is None:
        return HostSlots(names, shape, dtype)
    return ResidentSlots(runtime.device, names, shape, dtype)


def tree_nodes_of(runtime: Runtime, capacity: int, width: int) -> TreeNodes:
    """The kind that the step graph asks for, where the runtime keeps it."""
    inputs = runtime.manifest.graphs[STEP].inputs
    states = {t.name: t.shape[-1] for t in inputs if t.name.startswith(STATE) and isinstance(t.shape[-1], int)}
    if not states:
        slots = slots_of(runtime, capacity, fewest_slots(width))
        return NodePool(runtime.manifest.architecture, capacity, width, slots)
    if runtime.device is None:
        return NodeStates([d for d in states.values() if isinstance(d, int)], capacity, width)
    return ResidentStates(runtime.device, states, capacity, width)

"""What the decoder keeps of tree nodes: keys and values of a node's ancestors, or its recurrent state.

Two kinds with one interface. `NodePool` holds the self-attention keys and values of each source's live nodes in slots,
in no particular order; which of them a hypothesis sees is a mask, so that a beam is never copied or reordered, and a
slot is free as soon as no live hypothesis descends from its node. `NodeStates` holds one state for each hypothesis.

A source's slots are chosen by its own tree alone (the lowest free ones), and pools grow in multiples of 16: the
numbers that come out are then the same whatever else is in the batch, to the last bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from dragoman.bundle.manifest import Architecture, Manifest
from dragoman.server.search import Advance

Floats = npt.NDArray[np.float32]
Feed = dict[str, npt.NDArray[np.generic]]

MASKED = np.float32(-1e9)
STATE, INITIAL = "state.", "initial."
"""Names of the step graph's states begin so, and those of what the encoder makes of them for a root."""
GRAIN = 16
"""Slots and source positions come in multiples of this. Vector instructions then add a row's numbers in an order that
does not depend on how far it is padded."""


def round_up(size: int, grain: int = GRAIN) -> int:
    """The next multiple."""
    return -(-size // grain) * grain


class Kept(Protocol):
    """What a batch needs of either kind."""

    def admit(self, g: int, initial: Mapping[str, Floats]) -> None:
        """Source g starts with what the encoder made for its root, by name, and nothing else."""

    def move(self, source: int, target: int) -> None:
        """What belonged to index `source` belongs to index `target`."""

    def feed(self, sources: int) -> Feed:
        """Graph inputs for the first `sources` sources."""

    def keep(self, new: list[Floats], advance: Advance) -> None:
        """Take over what a step computed for the nodes it was fed, as far as they have living children."""


class NodeStates:
    """Recurrent states: [G, K, d] each, of the node that each hypothesis ends in; d is the state's own."""

    def __init__(self, widths: Sequence[int], capacity: int, width: int) -> None:
        self._states = [np.zeros((capacity, width, d), np.float32) for d in widths]

    def admit(self, g: int, initial: Mapping[str, Floats]) -> None:
        """A tree's root has the encoder's state, or zero."""
        for n, state in enumerate(self._states):
            state[g] = initial.get(f"{INITIAL}{n}", 0)

    def move(self, source: int, target: int) -> None:
        """See `Kept`."""
        for state in self._states:
            state[target] = state[source]

    def feed(self, sources: int) -> Feed:
        """See `Kept`."""
        return {f"{STATE}{n}": state[:sources] for n, state in enumerate(self._states)}

    def keep(self, new: list[Floats], advance: Advance) -> None:
        """Every hypothesis continues from its parent's new state."""
        n, width = advance.parents.shape
        rows = (np.arange(n)[:, None] * width + advance.parents).reshape(-1)
        for state, fresh in zip(self._states, new, strict=True):
            state[:n] = (fresh if width == 1 else fresh[rows]).reshape(n, width, -1)


class NodePool:
    """Self-attention keys and values, [G, H, T, e] a layer, and each hypothesis' ancestors among them, [G, K, T]."""

    def __init__(self, arch: Architecture, capacity: int, width: int) -> None:
        self._width = width
        # Few at first: what attention costs is reading them.
        self._fewest = slots = GRAIN if width == 1 else 2 * round_up(width)
        self._shape = (capacity, arch.heads, slots, arch.head_dim)
        self._tensors = [np.zeros(self._shape, np.float32) for _ in range(2 * arch.decoder_layers)]
        self._names = [f"self_{x}.{n}" for n in range(arch.decoder_layers) for x in "kv"]
        self._ancestors = np.zeros((capacity, width, slots), np.bool_)
        # Where the nodes stand, for graphs that tell positions by their distance.
        self._depth = np.zeros((capacity, slots), np.int64) if arch.is_relative else None

    def admit(self, g: int, initial: Mapping[str, Floats]) -> None:  # noqa: ARG002 - its roots start with nothing
        """A tree's root has no ancestors. What another source left is wiped out: what is not a number is seen through
        any mask.

        Slots are filled from the lowest, so that the highest in use says how large the pool has to be: what a long
        source needed is given up here once it has left.
        """
        self._ancestors[g] = False
        for tensor in self._tensors:
            tensor[g] = 0
        used = np.flatnonzero(self._ancestors[:g].any((0, 1)))
        wanted = max(self._fewest, round_up((int(used[-1]) + 1 if len(used) else 0) + self._width))
        if 2 * wanted <= self._ancestors.shape[2]:
            self._resize(wanted, g)

    def move(self, source: int, target: int) -> None:
        """See `Kept`."""
        self._ancestors[target] = self._ancestors[source]
        for tensor in self._tensors:
            tensor[target] = tensor[source]
        if self._depth is not None:
            self._depth[target] = self._depth[source]

    def feed(self, sources: int) -> Feed:
        """The pool, and the mask [G, 1, K, T + K] that opens each node's ancestors and itself."""
        own = np.where(np.eye(self._width, dtype=np.bool_), np.float32(0), MASKED)
        seen = np.where(self._ancestors[:sources], np.float32(0), MASKED)
        mask = np.concatenate([seen, np.broadcast_to(own, (sources, self._width, self._width))], axis=2)
        feed = {"mask": mask[:, None], **{n: t[:sources] for n, t in zip(self._names, self._tensors, strict=True)}}
        return feed if self._depth is None else {**feed, "slot_depth": self._depth[:sources]}

    def keep(self, new: list[Floats], advance: Advance) -> None:
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
            self._resize(used.shape[1] + max(GRAIN, round_up(used.shape[1] // 2)), n)
            used = np.pad(used, ((0, 0), (0, self._ancestors.shape[2] - used.shape[1])))
        free = np.argsort(used, axis=1, kind="stable")[:, :width]  # lowest free slots first
        slots = np.take_along_axis(free, np.maximum(has_child.cumsum(1) - 1, 0), 1)  # [G, K]
        g, place = np.nonzero(has_child)
        slot = slots[g, place]
        for tensor, fresh in zip(self._tensors, new, strict=True):
            tensor[g, :, slot] = fresh[g, :, place]
        if self._depth is not None:  # a node stands behind as many as it descends from
            self._depth[g, slot] = self._ancestors[g, place].sum(1)
        ancestors = self._ancestors[:n] & has_child[:, :, None]
        ancestors[g, place, slot] = True
        self._ancestors[:n] = ancestors[rows, advance.parents] & advance.live[:, :, None]

    def _lengthen(self, new: list[Floats], sources: int) -> None:
        """Of trees that are chains: each new node goes behind its ancestors, which fill the slots from the lowest.

        One without a living child is kept too: its source leaves, as it has no other.
        """
        g, slot = np.arange(sources), self._ancestors[:sources, 0].sum(1)
        if int(slot.max(initial=0)) + 1 > self._ancestors.shape[2]:
            self._resize(self._ancestors.shape[2] + max(GRAIN, round_up(self._ancestors.shape[2] // 2)), sources)
        for tensor, fresh in zip(self._tensors, new, strict=True):
            tensor[g, :, slot] = fresh[:, :, 0]
        if self._depth is not None:
            self._depth[g, slot] = slot
        self._ancestors[g, 0, slot] = True

    def _resize(self, slots: int, sources: int) -> None:
        """Have so many slots; the first `sources` sources keep theirs, as far as there are as many."""
        kept = min(slots, self._ancestors.shape[2])

        def resized(old: npt.NDArray[Any], axis: int) -> npt.NDArray[Any]:
            new = np.zeros((*old.shape[:axis], slots, *old.shape[axis + 1 :]), old.dtype)
            front = (slice(sources), *(slice(None),) * (axis - 1), slice(kept))
            new[front] = old[front]
            return new

        self._ancestors = resized(self._ancestors, 2)
        self._tensors = [resized(tensor, 2) for tensor in self._tensors]
        self._depth = None if self._depth is None else resized(self._depth, 1)


def kept_for(manifest: Manifest, capacity: int, width: int) -> Kept:
    """The kind that the step graph asks for."""
    states = [tensor.shape[-1] for tensor in manifest.graphs["step"].inputs if tensor.name.startswith(STATE)]
    if not states:
        return NodePool(manifest.architecture, capacity, width)
    return NodeStates([d for d in states if isinstance(d, int)], capacity, width)

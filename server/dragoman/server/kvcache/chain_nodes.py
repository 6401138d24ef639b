"""What the decoder keeps of the words that sources have read one after another: their keys and values, or the newest
word's state. Each source is a single path, so its slots are simply its words, in their order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from dragoman.bundle.manifest import Architecture
from dragoman.server.decode.arrays import Bools
from dragoman.server.kvcache.host_stores import HostSlots
from dragoman.server.kvcache.stores import Slots
from dragoman.server.kvcache.tree_nodes import STATE, pool_names, pool_shape, slots_of
from dragoman.server.runtime.buffers import Feed
from dragoman.server.runtime.padding import GRAIN, MASKED, round_up
from dragoman.server.runtime.runtime import Runtime


class ChainNodes(Protocol):
    """What the decoder keeps of the words that sources have read."""

    def admit(self, g: int) -> None:
        """A source that has read nothing."""

    def move(self, row: int, to: int) -> None:
        """What belonged to row `row` belongs to row `to`."""

    def feed(self, sources: int, own: Bools) -> Feed:
        """Graph inputs; `own` [q, w] says which of the w nodes of a run its q nodes see."""

    def keep(self, new: Sequence[Any], counts: Sequence[int]) -> None:
        """Of each source's new words, the first so many stand."""


class ChainStates:
    """Recurrent states [G, 1, d] of the newest word that each source has read."""

    def __init__(self, widths: Sequence[int], capacity: int) -> None:
        self._states = [np.zeros((capacity, 1, d), np.float32) for d in widths]

    def admit(self, g: int) -> None:
        """See `ChainNodes`."""
        for state in self._states:
            state[g] = 0

    def move(self, row: int, to: int) -> None:
        """See `ChainNodes`."""
        for state in self._states:
            state[to] = state[row]

    def feed(self, sources: int, own: Bools) -> Feed:  # noqa: ARG002 - they see one another by turns
        """See `ChainNodes`."""
        return {f"{STATE}{n}": state[:sources] for n, state in enumerate(self._states)}

    def keep(self, new: Sequence[Any], counts: Sequence[int]) -> None:
        """See `ChainNodes`; a source that keeps none leaves."""
        last = np.maximum(np.array(counts), 1) - 1, np.arange(len(counts))
        for state, fresh in zip(self._states, new, strict=True):
            state[: len(counts), 0] = fresh[last]


class ChainPool:
    """Keys and values of the words that each source has read, [G, H, T, e] a layer, word t in slot t."""

    def __init__(self, arch: Architecture, capacity: int, slots: Slots | None = None) -> None:
        self._slots = slots or HostSlots(pool_names(arch), pool_shape(arch, capacity, GRAIN), np.float32)
        self.length = np.zeros(capacity, np.int64)
        self._is_relative = arch.positions == "relative"

    def admit(self, g: int) -> None:
        """A source that has read nothing; slots that only a source which left needed are given up."""
        self.length[g] = 0
        self._slots.wipe(g)  # what is not a number is seen through any mask
        wanted = self._slots.room(max(GRAIN, round_up(int(self.length[: g + 1].max()))))
        if 2 * wanted <= self._slots.size:
            self._slots.resize(wanted, g)

    def move(self, row: int, to: int) -> None:
        """What belonged to row `row` belongs to row `to`."""
        self._slots.move(row, to)
        self.length[to] = self.length[row]

    def feed(self, sources: int, own: Bools) -> Feed:
        """The pool, and the mask [G, 1, q, T + w] that opens all words read, and of the run's own what `own` says."""
        slots = np.arange(self._slots.size)
        read = slots < self.length[:sources, None]
        is_open = np.concatenate(
            [
                np.broadcast_to(read[:, None], (sources, len(own), len(slots))),
                np.broadcast_to(own, (sources, *own.shape)),
            ],
            axis=2,
        )
        feed: Feed = {"mask": np.where(is_open, np.float32(0), MASKED)[:, None]}
        feed |= self._slots.feed(sources)
        if self._is_relative:
            feed["slot_depth"] = np.broadcast_to(slots, (sources, len(slots)))
        return feed

    def keep(self, new: Sequence[Any], counts: Sequence[int]) -> None:
        """Of each source's new words, the first so many stand."""
        n = len(counts)
        longest = round_up(int((self.length[:n] + counts).max(initial=0)))
        if longest > self._slots.size:
            self._slots.resize(self._slots.room(longest + round_up(longest // 2)), n)
        self._slots.extend(new, self.length[:n], counts)
        self.length[:n] += counts


def chain_nodes_of(runtime: Runtime, capacity: int) -> ChainNodes:
    """The kind that the bundle's decoder has. Chains of states are of strides, which are for processors."""
    arch = runtime.manifest.architecture
    if arch.keeps_states:
        return ChainStates([arch.d_model] * arch.decoder_layers, capacity)
    return ChainPool(arch, capacity, slots_of(runtime, capacity, GRAIN))

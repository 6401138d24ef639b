"""What the decoder keeps of nodes that it has read, in one of three kinds: slots of trees or of chains, or states.

Where the numbers lie is the matter of a `Store`: arrays, which are written after a run, or a device's memory, which
the step itself writes.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from dragoman.bundle.graphs import DEVICE_STEP, MASK, SELF, STATE, STEP
from dragoman.bundle.manifest import Tensor
from dragoman.server.decode.arrays import Bools
from dragoman.server.decode.step import Advance
from dragoman.server.kvcache.chain_nodes import ChainNodes
from dragoman.server.kvcache.node_states import NodeStates
from dragoman.server.kvcache.placed_nodes import PlacedChains, PlacedTrees
from dragoman.server.kvcache.tree_nodes import TreeNodes
from dragoman.server.runtime.buffers import Feed
from dragoman.server.runtime.host_store import HostStore
from dragoman.server.runtime.padding import GRAIN, round_up
from dragoman.server.runtime.runtime import Runtime


class Nodes(Protocol):
    """What all kinds share."""

    def admit(self, tensors: Mapping[str, Any]) -> None:
        """One source more, that starts with what the encoder made for its root, by name, and nothing else."""

    def remove(self, row: int) -> None:
        """A source leaves; the last one takes its place."""

    def feed(self, seen: Bools) -> Feed:
        """Graph inputs; `seen` [q, w] says which of the w nodes of a run its q nodes see."""

    def keep(self, new: Sequence[Any], advance: Advance) -> None:
        """Take over what a step computed for the nodes it was fed, as far as they stand or have living children."""


def nodes_of(
    runtime: Runtime, capacity: int, width: int, kind: Hashable = None, positions: Callable[[], int] = lambda: GRAIN
) -> Nodes:
    """For sources of `width` places a level: the kind that the step graph asks for. `positions` says how many positions
    sources have in a run.
    """
    if runtime.is_placed:
        return _placed_nodes(runtime, capacity, width, kind)
    states = _tensors(runtime, STATE)
    if states:
        return NodeStates(HostStore(states, {"G": capacity, "q": width, "S": GRAIN}), positions)
    if width == 1:
        return chain_nodes_of(runtime, capacity)
    # Few slots at first, as what attention costs is reading them.
    store = HostStore(_tensors(runtime, SELF), {"G": capacity, "T": round_up(width)})
    return TreeNodes(store, capacity, width, is_relative=runtime.manifest.architecture.is_relative)


def chain_nodes_of(runtime: Runtime, capacity: int) -> Nodes:
    """For sources that read one word after another, of a decoder that keeps keys and values."""
    if runtime.is_placed:
        return _placed_nodes(runtime, capacity, 1, None)
    store = HostStore(_tensors(runtime, SELF), {"G": capacity, "T": GRAIN})
    return ChainNodes(store, capacity, is_relative=runtime.manifest.architecture.is_relative)


def reserve(nodes: Nodes, slots: int) -> None:
    """Have so many slots at least, where they are named before a run."""
    if isinstance(nodes, PlacedChains | PlacedTrees):
        nodes.reserve(slots)


def _placed_nodes(runtime: Runtime, capacity: int, width: int, kind: Hashable) -> Nodes:
    """The kinds whose slots are named before a run."""
    inputs = runtime.manifest.graphs[DEVICE_STEP].inputs
    declared = [tensor for tensor in inputs if tensor.name.startswith(SELF)]
    dtype = next(np.dtype(tensor.dtype) for tensor in inputs if tensor.name == MASK)
    store = runtime.store(declared, {"G": capacity, "T": 2 * width}, kind)
    is_relative = runtime.manifest.architecture.is_relative
    if width == 1:
        return PlacedChains(store, capacity, dtype, is_relative=is_relative)
    return PlacedTrees(store, capacity, width, dtype, is_relative=is_relative)


def _tensors(runtime: Runtime, prefix: str) -> list[Tensor]:
    """What a step reads of nodes under such names."""
    return [tensor for tensor in runtime.manifest.graphs[STEP].inputs if tensor.name.startswith(prefix)]

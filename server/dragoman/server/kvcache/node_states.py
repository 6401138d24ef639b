"""The states of recurrent decoders: of the node that each hypothesis ends in."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from dragoman.bundle.graphs import INITIAL, STATE
from dragoman.server.decode.arrays import Bools
from dragoman.server.decode.step import Advance
from dragoman.server.runtime.buffers import Feed
from dragoman.server.runtime.host_store import HostStore


class NodeStates:
    """States [G, K, d] each; d is the state's own, or as many as the sources' positions: what is kept of attention."""

    def __init__(self, store: HostStore, positions: Callable[[], int] | None = None) -> None:
        self._store = store
        self._positions = positions if store.size else None
        """How many there are in a run, where a state has as many."""

    def admit(self, tensors: Mapping[str, Any]) -> None:
        """One source more: its root has the encoder's states, or zeros."""
        self._store.admit(
            {name.replace(INITIAL, STATE): value for name, value in tensors.items() if name.startswith(INITIAL)}
        )

    def remove(self, row: int) -> None:
        """A source leaves; the last one takes its place."""
        self._store.remove(row)

    def feed(self, seen: Bools) -> Feed:  # noqa: ARG002 - nodes of a run read one another's states by turns
        """The states of all hypotheses."""
        if self._positions is not None and self._store.size != (positions := self._positions()):
            self._store.resize(positions)
        return self._store.feed()

    def keep(self, new: Sequence[Any], advance: Advance) -> None:
        """Each hypothesis goes on from its parent's new state, or from that behind the last word that stands.

        New states come node by node [G K, d], those of a stride step by step [w, G, d].
        """
        n, width = advance.parents.shape
        origin = np.arange(0, n * width, width)[:, None] + advance.parents
        if len(new[0].shape) == 3:
            origin += ((np.maximum(advance.kept, 1) - 1) * (n * width))[:, None]
            new = [tensor.reshape(-1, tensor.shape[-1]) for tensor in new]
        self._store.replace(new, origin)

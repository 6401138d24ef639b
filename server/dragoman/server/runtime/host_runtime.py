"""Runs graphs whose tensors are this process' arrays: on processors, and on a GPU those that keep nothing there."""

from collections.abc import Collection, Hashable, Mapping, Sequence
from contextlib import nullcontext
from types import MappingProxyType
from typing import Any

import numpy as np

from dragoman.bundle.graphs import CANDIDATE_IDS, ENCODER, IDS, MASK, SRC_MASK
from dragoman.bundle.manifest import Manifest, Tensor
from dragoman.server.core.ports import DeviceWork
from dragoman.server.runtime.buffers import Feed
from dragoman.server.runtime.device import ON_DEVICE
from dragoman.server.runtime.hardware import PROCESSOR, Hardware
from dragoman.server.runtime.host_store import HostStore
from dragoman.server.runtime.run_limits import sources_of_a_run
from dragoman.server.runtime.runtime import encoder_outputs, run_error, step_outputs
from dragoman.server.runtime.stores import Store


class HostRuntime:
    """One session a graph: sessions are thread-safe, hold the weights once, and use few threads a call, because several
    lanes side by side do more than one wide session.
    """

    is_placed = False
    work: DeviceWork | None = None

    def __init__(self, manifest: Manifest, sessions: Mapping[str, Any], hardware: Hardware = PROCESSOR) -> None:
        """`manifest` is the bundle's as one autoregressive decoder sees it, `sessions` are what is loaded of it."""
        self.provider = str(hardware.provider)
        self._turn = nullcontext() if hardware.provider == "cpu" else ON_DEVICE
        self._siblings: Mapping[str, HostRuntime] = MappingProxyType({})
        self.manifest, self._sessions = manifest, sessions
        self.graphs: Collection[str] = sessions.keys()
        """All of the bundle that run here."""
        self._outputs = {n: [t.name for t in graph.outputs] for n, graph in manifest.graphs.items()}
        self._said, self._kept = step_outputs(manifest)

    def beside(self, siblings: Mapping[str, "HostRuntime"]) -> None:
        """Be that of a bundle whose further decoders have these; what a device does for one of them is done for it."""
        self._siblings = siblings
        self.work = self.work or next((one.work for one in siblings.values() if one.work is not None), None)

    @property
    def siblings(self) -> Collection[str]:
        """The bundle's further autoregressive decoders."""
        return self._siblings.keys()

    def of(self, decoder: str | None) -> "HostRuntime":
        """A sibling's, or this one."""
        return self if decoder is None else self._siblings[decoder]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.manifest.name} {self.manifest.precision} {', '.join(self._sessions)}>"

    def encode(self, feed: Feed, *, cross: bool, hidden: bool) -> dict[str, Any]:
        """Arrays [G, ...], and hidden rows [n, d]."""
        names = encoder_outputs(self.manifest, cross=cross, hidden=hidden)
        return dict(zip(names, self._run(ENCODER, feed, names), strict=True))

    def run(self, graph: str, feed: Feed) -> dict[str, Any]:
        """Any graph's outputs by name."""
        names = self._outputs[graph]
        return dict(zip(names, self._run(graph, feed, names), strict=True))

    def prepare(self) -> bool:
        """There is nothing to be made but for siblings."""
        return any(sibling.prepare() for sibling in self._siblings.values())

    def step(self, graph: str, feed: Feed, *, attention: bool) -> tuple[dict[str, Any], list[Any]]:
        """What a step says of the new nodes, by name, and the arrays to keep of them."""
        names = self._said[attention]
        parts = [self._run(graph, part, [*names, *self._kept]) for part in self._parts(graph, feed)]
        outputs = parts[0] if len(parts) == 1 else [np.concatenate(column) for column in zip(*parts, strict=True)]
        return dict(zip(names, outputs, strict=False)), outputs[len(names) :]

    def _parts(self, graph: str, feed: Feed) -> list[Feed]:
        """What goes into one run, so many sources at a time."""
        sources, nodes = feed[IDS].shape
        words = len(feed[CANDIDATE_IDS]) if CANDIDATE_IDS in feed else None
        seen = max(feed[name].shape[-1] for name in (MASK, SRC_MASK) if name in feed)
        count = sources_of_a_run(self.manifest.architecture, rows=nodes, seen=seen, words=words)
        if count >= sources:
            return [feed]
        by_source = [tensor.name for tensor in self.manifest.graphs[graph].inputs if tensor.shape[0] == "G"]
        return [
            feed | {name: feed[name][first : first + count] for name in by_source} for first in range(0, sources, count)
        ]

    def store(self, declared: Sequence[Tensor], sizes: Mapping[str, int], kind: Hashable = None) -> Store:  # noqa: ARG002
        """Arrays."""
        return HostStore(declared, sizes)

    def _run(self, graph: str, feed: Feed, names: list[str]) -> list[Any]:
        try:
            with self._turn:
                outputs: list[Any] = self._sessions[graph].run(names, feed)
        except Exception as error:
            raise run_error(graph, error) from error
        return outputs

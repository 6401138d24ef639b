"""Runs graphs whose tensors are this process' arrays: on processors, and on a GPU those that keep nothing there."""

import copy
from collections.abc import Collection, Hashable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from dragoman.bundle.graphs import CANDIDATE_IDS, ENCODER, IDS, MASK, SRC_MASK, sibling_graph
from dragoman.bundle.manifest import Manifest, Tensor
from dragoman.bundle.reader import Bundle
from dragoman.server.core.ports import DeviceWork
from dragoman.server.runtime.buffers import Feed
from dragoman.server.runtime.device import ON_DEVICE
from dragoman.server.runtime.hardware import PROCESSOR, Hardware
from dragoman.server.runtime.host_store import HostStore
from dragoman.server.runtime.run_limits import sources_of_a_run
from dragoman.server.runtime.runtime import encoder_outputs, run_error, step_outputs
from dragoman.server.runtime.sessions import load_sessions
from dragoman.server.runtime.stores import Store


class HostRuntime:
    """One session a graph: sessions are thread-safe, hold the weights once, and use few threads a call, because several
    lanes side by side do more than one wide session.
    """

    is_placed = False
    work: DeviceWork | None = None

    def __init__(self, bundle: Bundle, *, threads: int = 1, hardware: Hardware = PROCESSOR) -> None:
        self.provider = str(hardware.provider)
        self._turn = nullcontext() if hardware.provider == "cpu" else ON_DEVICE
        loaded = load_sessions(bundle, threads, hardware)
        self._siblings = {name: self._seen_by(name, bundle.manifest, loaded) for name in bundle.manifest.siblings}
        self.siblings: Collection[str] = self._siblings.keys()
        self._see(bundle.manifest.of(None), loaded)

    def _see(self, manifest: Manifest, sessions: Mapping[str, Any]) -> None:
        """Run the graphs of one decoder, which are these sessions among others."""
        self.manifest = manifest
        self._sessions = {name: sessions[name] for name in manifest.graphs if name in sessions}
        self.graphs: Collection[str] = self._sessions.keys()
        """All of the bundle that run here."""
        self._outputs = {n: [t.name for t in graph.outputs] for n, graph in manifest.graphs.items()}
        self._said, self._kept = step_outputs(manifest)

    def _seen_by(self, sibling: str, manifest: Manifest, loaded: Mapping[str, Any]) -> "HostRuntime":
        """This one for a sibling."""
        seen, runtime = manifest.of(sibling), copy.copy(self)
        named = {name: sibling_graph(sibling, name) for name in seen.graphs}
        runtime._see(seen, {name: loaded[whole] for name, whole in named.items() if whole in loaded})
        return runtime

    def of(self, decoder: str | None) -> "HostRuntime":
        """The same with a sibling's graphs, or this one."""
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
        """There is nothing to be made."""
        return False

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

"""Runs graphs on a device, where what the decoder keeps stays. Nothing is computed on the processor instead."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from dragoman.bundle.graphs import ENCODER, HIDDEN, IDS
from dragoman.bundle.manifest import Tensor
from dragoman.bundle.reader import Bundle
from dragoman.server.runtime.buffers import Feed, Resident
from dragoman.server.runtime.device import Device
from dragoman.server.runtime.device_store import DeviceStore
from dragoman.server.runtime.hardware import CAPTURED, Hardware
from dragoman.server.runtime.runtime import encoder_outputs, run_error, step_outputs
from dragoman.server.runtime.sessions import load_sessions
from dragoman.server.runtime.stores import Store


class DeviceRuntime:
    """Sessions as on a processor; encoded sources, pools and states are `Resident`."""

    def __init__(self, bundle: Bundle, *, threads: int = 1, hardware: Hardware) -> None:
        self.manifest = bundle.manifest
        self.provider: str = hardware.provider
        self._sessions = load_sessions(bundle, threads, hardware)
        self.graphs: Collection[str] = self._sessions.keys()
        """All of the bundle but strides."""
        self._outputs = {n: [t.name for t in graph.outputs] for n, graph in self.manifest.graphs.items()}
        self._said, self._kept = step_outputs(self.manifest)
        self.device = Device(hardware.provider, hardware.device, self._sessions, CAPTURED)

    def __repr__(self) -> str:
        return f"<DeviceRuntime {self.manifest.name} {self.manifest.precision} {self.device!r}>"

    def encode(self, feed: Feed, *, cross: bool, hidden: bool) -> dict[str, Any]:
        """Rows of tensors that stay on the device, and hidden rows [n, d] as an array."""
        names = encoder_outputs(self.manifest, cross=cross, hidden=hidden)
        keep = [name for name in names if name != HIDDEN]
        outputs = self._on_device(ENCODER, feed, fetch=[HIDDEN] if hidden else [], keep=keep)
        rows = {name: [(outputs[name], g) for g in range(outputs[name].shape[0])] for name in keep}
        return outputs | rows

    def run(self, graph: str, feed: Feed) -> dict[str, Any]:
        """A run whose inputs and outputs are all arrays."""
        names = self._outputs[graph]
        try:
            return dict(zip(names, self.device.visit(graph, names, feed), strict=True))
        except Exception as error:
            raise run_error(graph, error) from error

    def step(self, graph: str, feed: Feed, *, attention: bool) -> tuple[dict[str, Any], list[Any]]:
        """A step whose rows are filled up to what residents have: a few sizes are captured instead of all."""
        names = self._said[attention]
        sources, nodes = feed[IDS].shape
        rows = next(value.shape[0] for value in feed.values() if isinstance(value, Resident))
        signature = self.manifest.graphs[graph]
        by_source = {tensor.name for tensor in signature.inputs if tensor.shape[0] == "G"}
        given = {name: _filled(value, rows) if name in by_source else value for name, value in feed.items()}
        outputs = self._on_device(graph, given, fetch=names, keep=self._kept)
        ends = {"G": sources, "n": sources * nodes}
        said = {t.name: outputs[t.name][: ends[str(t.shape[0])]] for t in signature.outputs if t.name in names}
        return said, [outputs[name] for name in self._kept]

    def store(self, declared: Sequence[Tensor], sizes: Mapping[str, int]) -> Store:
        """Tensors in the device's memory."""
        return DeviceStore(self.device, declared, sizes)

    def _on_device(self, graph: str, feed: Feed, *, fetch: Sequence[str], keep: Sequence[str]) -> dict[str, Any]:
        try:
            return self.device.run(graph, feed, fetch=fetch, keep=keep)
        except Exception as error:
            raise run_error(graph, error) from error


def _filled(value: Any, rows: int) -> Any:
    """An array with zeros in further rows."""
    if isinstance(value, Resident) or len(value) == rows:
        return value
    whole = np.zeros((rows, *value.shape[1:]), value.dtype)
    whole[: len(value)] = value
    return whole

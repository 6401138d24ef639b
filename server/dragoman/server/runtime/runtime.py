"""Runs a bundle's graphs on ONNX Runtime. This module and `device` are all that import it.

One `Runtime` per bundle is shared by all lanes: sessions are thread-safe, hold the weights once, and use one thread a
call, because several lanes side by side do more than one wide session. On a GPU, what the decoder keeps lies in its
memory, and `device` runs the graphs; nothing is computed on the processor instead.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from dragoman.bundle.reader import Bundle
from dragoman.server.core import logs
from dragoman.server.core.errors import EngineFailure, StartError
from dragoman.server.runtime.buffers import Array, EncoderOutput, Feed, Resident
from dragoman.server.runtime.device import Device
from dragoman.server.runtime.hardware import (
    CAPTURED,
    PROCESSOR,
    PROVIDERS,
    Hardware,
    cuda_options,
    placement_problem,
    refuse,
)

STEP, STEP_SHORTLIST, CANDIDATES, STRIDE = "step", "step_shortlist", "candidates", "stride"
ATTENTION, EXTENDED, HIDDEN = "attention", "extended", "hidden"
SLOW_FUSIONS = ["SkipLayerNormFusion"]
"""On CPU the fused kernel takes several times as long as the addition and the norm that it replaces."""


def check_installation(installed: Collection[tuple[str, Path]] | None = None) -> None:
    """Refuse to run on an installation whose two packages have overwritten one another, as they do in one folder."""
    names = ("onnxruntime", "onnxruntime-gpu")
    if installed is None:
        found = [one for one in metadata.distributions() if one.metadata["Name"] in names]
        installed = [(one.metadata["Name"], Path(str(one.locate_file("")))) for one in found]
    if any(all((name, place) in installed for name in names) for _, place in installed):
        raise StartError(
            "onnxruntime and onnxruntime-gpu are both installed and overwrite each other's files: uninstall both, then "
            "install dragoman[cpu] or dragoman[gpu]"
        )


_logger = logging.getLogger(__name__)


class Runtime:
    """The graphs of one bundle, loaded."""

    def __init__(self, bundle: Bundle, *, threads: int = 1, hardware: Hardware = PROCESSOR) -> None:
        check_installation()
        import onnxruntime  # after the check: a broken pair fails here in ways that explain nothing

        self.manifest = bundle.manifest
        self.provider = PROVIDERS[hardware.provider]
        available, version = onnxruntime.get_available_providers(), onnxruntime.__version__
        refuse(self.manifest, bundle.directory, hardware, available, version)
        if hardware.provider == "cuda":
            onnxruntime.preload_dlls()
        elif self.manifest.precision == "fp16":
            way_out = "export it with --precision int8 or fp32 to serve it here, or serve it with --provider cuda"
            logs.event(_logger, logging.WARNING, "fp16_is_slow_on_cpu", model=self.manifest.name, way_out=way_out)
        used = [name for name in self.manifest.graphs if name != STRIDE or not hardware.keeps]
        try:
            self._sessions = {name: self._load(bundle, name, threads, hardware) for name in used}
        except StartError:
            raise
        except Exception as error:
            raise StartError(f"{bundle.directory}: ONNX Runtime cannot load the graphs: {error}") from error
        self._outputs = {n: [t.name for t in graph.outputs] for n, graph in self.manifest.graphs.items()}
        self._check(bundle)
        step = self._outputs.get(STEP, [])  # none where nothing decodes word by word
        said = [name for name in step if not name.startswith("new_")]
        self._keeps = [name for name in step if name.startswith("new_")]
        self._says = {False: [name for name in said if name != ATTENTION], True: said}
        self.device = Device(hardware.provider, hardware.device, self._sessions, CAPTURED) if hardware.keeps else None
        """Where what the decoder keeps lies; None where it is this process' memory."""

    def __repr__(self) -> str:
        return f"<Runtime {self.manifest.name} {self.manifest.precision} {self.provider} {', '.join(self._sessions)}>"

    def _load(self, bundle: Bundle, name: str, threads: int, hardware: Hardware) -> Any:
        """One graph's session."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what goes wrong is in the exception, too
        # Shapes change from step to step: planned memory would be planned again each time.
        options.enable_mem_pattern = False
        # A spinning worker takes the core from another lane.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.set_denormal_as_zero", "1")
        providers: list[Any] = [self.provider]
        if hardware.provider == "cuda":
            options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
            options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
            providers = [(self.provider, cuda_options(hardware.device, is_captured=name in CAPTURED))]
        session = onnxruntime.InferenceSession(
            bundle.path(self.manifest.graphs[name].file), options, providers=providers, disabled_optimizers=SLOW_FUSIONS
        )
        if hardware.provider == "cuda":
            assigned = [
                (part.ep_name, node.op_type)
                for part in session.get_provider_graph_assignment_info()
                for node in part.get_nodes()
            ]
            problem = placement_problem(session.get_providers(), assigned)
            if problem:
                raise StartError(f"{bundle.directory}: {name}: {problem}")
        return session

    def _check(self, bundle: Bundle) -> None:
        """The graphs are those that the manifest describes."""
        for name, session in self._sessions.items():
            graph = self.manifest.graphs[name]
            found = {value.name for value in (*session.get_inputs(), *session.get_outputs())}
            declared = {tensor.name for tensor in (*graph.inputs, *graph.outputs)}
            if found != declared:
                names = ", ".join(sorted(found ^ declared))
                raise StartError(f"{bundle.directory}: {graph.file} differs from the manifest in {names}: export again")

    def encode(self, feed: Feed, *, cross: bool = True, hidden: bool = False) -> dict[str, Any]:
        """Packed source words -> what attention reads and first states [G, d], and hidden rows [n, d], by name.

        What attention reads stays on a device, where there is one.
        """
        wanted = [name for name in self._outputs["encoder"] if (hidden if name == HIDDEN else cross)]
        if self.device is None:
            return dict(zip(wanted, self._run("encoder", feed, wanted), strict=True))
        keep = [name for name in wanted if name != HIDDEN]
        found = self._on_device("encoder", feed, fetch=[HIDDEN] if hidden else [], keep=keep)
        return {name: found[name] if name == HIDDEN else EncoderOutput(found[name]) for name in wanted}

    def run(self, graph: str, feed: Feed) -> dict[str, Any]:
        """Any graph's outputs by name."""
        return dict(zip(self._outputs[graph], self._run(graph, feed), strict=True))

    def look_up(self, candidates: Array) -> Feed:
        """The output layer's rows of these words, under the names that the step graph takes them by."""
        return dict(zip(self._outputs[CANDIDATES], self._run(CANDIDATES, {"candidates": candidates}), strict=True))

    def step(self, graph: str, feed: Feed, *, attention: bool) -> tuple[dict[str, Any], list[Any]]:
        """What a step says of the new nodes, by name, and what to keep of them, where the decoder keeps it."""
        names = self._says[attention]
        if self.device is not None:
            return self._resident_step(graph, feed, names)
        outputs = self._run(graph, feed, [*names, *self._keeps])
        return dict(zip(names, outputs, strict=False)), outputs[len(names) :]

    def _resident_step(self, graph: str, feed: Feed, names: Sequence[str]) -> tuple[dict[str, Any], list[Any]]:
        """A step whose rows are filled up to what residents have: a few sizes are captured instead of all."""
        sources, nodes = feed["ids"].shape
        rows = next(value.shape[0] for value in feed.values() if isinstance(value, Resident))
        signature = self.manifest.graphs[graph]
        by_source = {tensor.name for tensor in signature.inputs if tensor.shape[0] == "G"}
        given = {name: _filled(value, rows) if name in by_source else value for name, value in feed.items()}
        found = self._on_device(graph, given, fetch=names, keep=self._keeps)
        ends = {"G": sources, "n": sources * nodes}
        said = {t.name: found[t.name][: ends[str(t.shape[0])]] for t in signature.outputs if t.name in names}
        return said, [found[name] for name in self._keeps]

    def _on_device(self, graph: str, feed: Feed, *, fetch: Sequence[str], keep: Sequence[str]) -> dict[str, Any]:
        assert self.device is not None
        try:
            return self.device.run(graph, feed, fetch=fetch, keep=keep)
        except Exception as error:
            raise EngineFailure(f"a run of the {graph} graph failed: {error}") from error

    def _run(self, graph: str, feed: Feed, names: list[str] | None = None) -> list[Any]:
        run = self._sessions[graph].run if self.device is None else partial(self.device.visit, graph)
        try:
            outputs: list[Any] = run(names or self._outputs[graph], feed)
        except Exception as error:
            raise EngineFailure(f"a run of the {graph} graph failed: {error}") from error
        return outputs


def _filled(value: Any, rows: int) -> Any:
    """An array with zeros in further rows."""
    if isinstance(value, Resident) or len(value) == rows:
        return value
    made = np.zeros((rows, *value.shape[1:]), value.dtype)
    made[: len(value)] = value
    return made

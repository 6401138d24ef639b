"""Runs a bundle's graphs on ONNX Runtime. The only module that imports it.

One `Runtime` per bundle is shared by all lanes: sessions are thread-safe, hold the weights once, and use one thread a
call, because several lanes side by side do more than one wide session.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib import metadata
from typing import Any

import numpy as np
import numpy.typing as npt

from dragoman.bundle.reader import Bundle
from dragoman.server import logs
from dragoman.server.errors import EngineFailure, StartError

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Feed = dict[str, npt.NDArray[np.generic]]
Outputs = dict[str, Any]

STEP, STEP_SHORTLIST, CANDIDATES, STRIDE = "step", "step_shortlist", "candidates", "stride"
ATTENTION, EXTENDED, HIDDEN = "attention", "extended", "hidden"
SLOW_FUSIONS = ["SkipLayerNormFusion"]
"""On CPU the fused kernel takes several times as long as the addition and the norm that it replaces."""


def check_installation(installed: Sequence[str] | None = None) -> None:
    """Refuse to run on an installation whose two packages have overwritten one another."""
    names = ("onnxruntime", "onnxruntime-gpu")
    if installed is None:
        installed = [d.metadata["Name"] for d in metadata.distributions() if d.metadata["Name"] in names]
    if set(names) <= set(installed):
        raise StartError(
            "onnxruntime and onnxruntime-gpu are both installed and overwrite each other's files: uninstall both, then "
            "install dragoman[cpu] or dragoman[gpu]"
        )


_logger = logging.getLogger(__name__)


class Runtime:
    """The graphs of one bundle, loaded."""

    def __init__(self, bundle: Bundle, *, threads: int = 1) -> None:
        check_installation()
        import onnxruntime  # after the check: a broken pair fails here in ways that explain nothing

        self.manifest = bundle.manifest
        self.provider = "CPUExecutionProvider"
        if self.manifest.precision == "fp16":
            way_out = "export it with --precision int8 or fp32 to serve it here"
            logs.event(_logger, logging.WARNING, "fp16_is_slow_on_cpu", model=self.manifest.name, way_out=way_out)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what goes wrong is in the exception, too
        # Shapes change from step to step: planned memory would be planned again each time.
        options.enable_mem_pattern = False
        # A spinning worker takes the core from another lane.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.set_denormal_as_zero", "1")
        try:
            self._sessions = {
                name: onnxruntime.InferenceSession(
                    bundle.path(graph.file), options, providers=[self.provider], disabled_optimizers=SLOW_FUSIONS
                )
                for name, graph in self.manifest.graphs.items()
            }
        except Exception as error:
            raise StartError(f"{bundle.directory}: ONNX Runtime cannot load the graphs: {error}") from error
        self._outputs = {n: [t.name for t in graph.outputs] for n, graph in self.manifest.graphs.items()}
        step = self._outputs.get(STEP, [])  # none where nothing decodes word by word
        said = [name for name in step if not name.startswith("new_")]
        self._keeps = [name for name in step if name.startswith("new_")]
        self._says = {False: [name for name in said if name != ATTENTION], True: said}
        for name, graph in self.manifest.graphs.items():
            session = self._sessions[name]
            found = {value.name for value in (*session.get_inputs(), *session.get_outputs())}
            declared = {tensor.name for tensor in (*graph.inputs, *graph.outputs)}
            if found != declared:
                names = ", ".join(sorted(found ^ declared))
                raise StartError(f"{bundle.directory}: {graph.file} differs from the manifest in {names}: export again")

    def __repr__(self) -> str:
        return f"<Runtime {self.manifest.name} {self.manifest.precision} {self.provider} {', '.join(self._sessions)}>"

    def encode(self, feed: Feed, *, cross: bool = True, hidden: bool = False) -> dict[str, Floats]:
        """Packed source words -> what attention reads and first states [G, d], and hidden rows [n, d], by name."""
        wanted = [name for name in self._outputs["encoder"] if (hidden if name == HIDDEN else cross)]
        return dict(zip(wanted, self._run("encoder", feed, wanted), strict=True))

    def run(self, graph: str, feed: Feed) -> Outputs:
        """Any graph's outputs by name."""
        return dict(zip(self._outputs[graph], self._run(graph, feed), strict=True))

    def look_up(self, candidates: Ints) -> Feed:
        """The output layer's rows of these words, under the names that the step graph takes them by."""
        return dict(zip(self._outputs[CANDIDATES], self._run(CANDIDATES, {"candidates": candidates}), strict=True))

    def step(self, graph: str, feed: Feed, *, attention: bool) -> tuple[dict[str, Any], list[Floats]]:
        """What a step says of the new nodes, by name, and what to keep of them."""
        names = self._says[attention]
        outputs = self._run(graph, feed, [*names, *self._keeps])
        return dict(zip(names, outputs, strict=False)), outputs[len(names) :]

    def _run(self, graph: str, feed: Feed, names: list[str] | None = None) -> list[Any]:
        try:
            outputs: list[Any] = self._sessions[graph].run(names or self._outputs[graph], feed)
        except Exception as error:
            raise EngineFailure(f"a run of the {graph} graph failed: {error}") from error
        return outputs

"""Loads a bundle's graphs into ONNX Runtime's sessions, and refuses what it would run wrong or not at all.

ONNX Runtime maps files of weights instead of reading them, so that all sessions share them; what somebody writes into
such a file, or cuts off it, would be in translations, or end the process. So it maps copies, in a folder that is
removed as soon as all graphs are loaded: the mappings keep what the copies hold, and nobody can reach it any more.
"""

import logging
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from dragoman.bundle.reader import Bundle
from dragoman.server.core import logs
from dragoman.server.core.errors import StartError
from dragoman.server.runtime.hardware import (
    PROVIDERS,
    Hardware,
    captured,
    cuda_options,
    placement_problem,
    refuse,
    runs_there,
)
from dragoman.server.runtime.initializers import broken_tensors

_logger = logging.getLogger(__name__)
_copies: set[Path] = set()
"""The folders of graphs that are being loaded."""


def check_installation(installed: Collection[tuple[str, Path]] | None = None) -> None:
    """Refuse to run on an installation whose two packages have overwritten one another, as they do in one folder."""
    names = ("onnxruntime", "onnxruntime-gpu")
    if installed is None:
        distributions = [one for one in metadata.distributions() if one.metadata["Name"] in names]
        installed = [(one.metadata["Name"], Path(str(one.locate_file("")))) for one in distributions]
    if any(all((name, folder) in installed for name in names) for _, folder in installed):
        raise StartError(
            "onnxruntime and onnxruntime-gpu are both installed and overwrite each other's files: uninstall both, then "
            "install dragoman[cpu] or dragoman[gpu]"
        )


def load_sessions(bundle: Bundle, threads: int, hardware: Hardware) -> dict[str, Any]:
    """A session for each graph that runs there."""
    check_installation()
    # After the check: a broken pair fails here in ways that explain nothing.
    from dragoman.bundle.onnx_runtime import cuts_off_products, onnxruntime

    manifest = bundle.manifest
    available, version = onnxruntime.get_available_providers(), onnxruntime.__version__
    refuse(manifest, bundle.directory, hardware, available, version)
    if hardware.provider == "cuda":
        onnxruntime.set_default_logger_severity(4)  # else each node that writes in place is warned of, at each start
        onnxruntime.preload_dlls()
    elif manifest.precision == "fp16":
        way_out = "export it with --precision int8 or fp32 to serve it here, or serve it with --provider cuda"
        logs.event(_logger, logging.WARNING, "fp16_is_slow_on_cpu", model=manifest.name, way_out=way_out)
    elif manifest.precision == "int8" and cuts_off_products():
        logs.event(
            _logger, logging.INFO, "int8_is_slower_here", model=manifest.name, lacks="AVX-VNNI, AVX512-VNNI, AMX"
        )
    used = runs_there(manifest, hardware)
    with _private_weights(bundle) as folder:
        sessions = {name: _load(bundle, name, folder, threads, hardware) for name in used}
    _check(bundle, sessions)
    return sessions


@contextmanager
def _private_weights(bundle: Bundle) -> Iterator[Path]:
    """A folder with copies of the weights, as long as graphs are being loaded."""
    manifest, facts = bundle.manifest, bundle.manifest.tokenizer
    texts = {facts.source, facts.target, facts.source_vocabulary, facts.target_vocabulary, manifest.shortlist}
    names = manifest.files.keys() - texts - {graph.file for graph in manifest.graphs.values()}
    with ExitStack() as stack:
        try:
            # Whoever ends the process meanwhile may have removed it already.
            folder = Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="dragoman-", ignore_cleanup_errors=True))
            )
            _copies.add(folder)
            stack.callback(_copies.discard, folder)
            for name in sorted(names):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                bundle.copy(name, folder / name)
        except OSError as error:
            size = sum(manifest.files[name].size for name in names)
            raise StartError(
                f"{bundle.directory}: its weights cannot be copied to the folder for temporary files: {error}: set "
                f"TMPDIR to a folder where {size} bytes are free"
            ) from error
        yield folder


def remove_copies() -> None:
    """Leave nothing behind in a process that ends while graphs are being loaded."""
    for folder in tuple(_copies):
        shutil.rmtree(folder, ignore_errors=True)


def _load(bundle: Bundle, name: str, weights: Path, threads: int, hardware: Hardware) -> Any:
    """One graph's session."""
    from dragoman.bundle.onnx_runtime import onnxruntime, open_graph

    file = bundle.manifest.graphs[name].file

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what goes wrong is in the exception, too
    # Shapes change from step to step: planned memory would be planned again each time.
    options.enable_mem_pattern = False
    options.enable_cpu_mem_arena = not hardware.gives_back
    # A spinning worker takes the core from another lane.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    providers: list[Any] = [PROVIDERS[hardware.provider]]
    if hardware.provider == "cuda":
        options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        providers = [(providers[0], cuda_options(hardware.device, is_captured=name in captured(bundle.manifest)))]
    content, folder = bundle.read(file), (weights / file).parent
    if broken := _broken(content, folder):
        names = ", ".join(broken[:3]) + (" and others" if len(broken) > 3 else "")
        raise StartError(f"{bundle.directory}: {file}: {names}: not finite, or no number at all: export it again")
    try:
        session = open_graph(content, folder, options, providers)
    except Exception as error:
        raise StartError(f"{bundle.directory}: ONNX Runtime cannot load {file}: {error}") from error
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


def _broken(model: bytes, folder: Path) -> list[str]:
    with suppress(ValueError, IndexError, KeyError, OSError):  # whether it is a graph at all, ONNX Runtime says
        return broken_tensors(model, folder)
    return []


def _check(bundle: Bundle, sessions: Mapping[str, Any]) -> None:
    """The graphs are those that the manifest describes."""
    for name, session in sessions.items():
        graph = bundle.manifest.graphs[name]
        real = {value.name for value in (*session.get_inputs(), *session.get_outputs())}
        declared = {tensor.name for tensor in (*graph.inputs, *graph.outputs)}
        if real != declared:
            names = ", ".join(sorted(real ^ declared))
            raise StartError(f"{bundle.directory}: {graph.file} differs from the manifest in {names}: export again")

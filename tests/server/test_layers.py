"""Which module of the server may import what. The table is the rule; a module that is not in it fails the test."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SERVER = Path(__file__).parents[2] / "server/dragoman/server"

# From the bottom up. A module imports only from rows below its own; those of one row do not know each other.
LAYERS: tuple[frozenset[str], ...] = tuple(
    map(
        frozenset,
        (
            {"domain", "errors", "surfaces"},
            {
                "buffers",
                "scheduling",
                "options",
                "logs",
                "shortlist",
                "text",
                "moses",
                "admission",
                "decoding",
                "offsets",
                "trees",
                "drafts",
                "costs",
                "abilities",
            },
            {
                "config",
                "device",
                "hardware",
                "stores",
                "vocabularies",
                "alignment",
                "answers",
                "rules",
                "weighing",
                "candidates",
            }
            | {"nat_request"},
            {"runtime", "source", "tokenizer", "canvases", "engines"},
            {"search", "pieces", "ctc"},
            {"resident", "assembly", "chains", "words"},
            {"pool"},
            {"backlog", "batch", "chain_pool"},
            {"nat_runs", "chain_batch"},
            {"nat_batch", "ctc_batch"},
            {"drafters", "rescoring"},
            {"groups"},
            {"lanes", "pipeline"},
            {"liveness", "loop_pulse", "tally"},
            {"lane_metrics"},
            {"models", "metrics", "state_metrics", "watchdog", "local"},
            {"health", "rpc_metrics", "codec_check", "codec_result", "status", "http_pages"},
            {"codec_request"},
            {"codec_model"},
            {"calls", "pipe"},
            {"service"},
            {"app"},
            {"command_serve", "command_evaluate"},
            {"testing"},
        ),
    )
)

PURE = frozenset(
    {"domain", "errors", "backlog", "search", "source", "rules", "weighing", "candidates", "trees", "decoding", "text"}
    | {"canvases", "ctc", "chains", "drafts", "costs", "engines", "abilities", "nat_request"}
    | {"models", "admission", "alignment", "offsets", "liveness", "surfaces"}
)
"""Modules that decide and do nothing: no clock, no thread, no input or output."""

IMPURE = frozenset({"asyncio", "concurrent", "logging", "os", "random", "socket", "threading", "time"}) | frozenset(
    {"grpc", "onnxruntime", "prometheus_client"}
)

TRANSPORT = frozenset(
    {"app", "calls", "codec_check", "codec_model", "codec_request", "codec_result", "health", "service", "status"}
)
"""The only modules that see gRPC or its messages."""

MODULES = sorted(path.stem for path in SERVER.glob("*.py") if path.stem != "__init__")


def imports(module: str) -> set[str]:
    """Full names of the modules that a module imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse((SERVER / f"{module}.py").read_text("utf-8"))):
        match node:
            case ast.Import(names=names):
                found |= {name.name for name in names}
            case ast.ImportFrom(module=name, names=names, level=level):
                base = "dragoman.server" if level else ""
                parent = ".".join(filter(None, (base, name)))
                found |= {parent} | {f"{parent}.{one.name}" for one in names}
    return found


def internal(module: str) -> set[str]:
    """The server's own modules that a module imports."""
    prefix = "dragoman.server."
    return {name.removeprefix(prefix).partition(".")[0] for name in imports(module) if name.startswith(prefix)}


def row_of(module: str) -> int:
    rows = [index for index, row in enumerate(LAYERS) if module in row]
    assert len(rows) == 1, f"{module} stands in {len(rows)} rows of LAYERS: give it its place"
    return rows[0]


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    """A module knows only what lies below it."""
    upwards = {name for name in internal(module) & set(MODULES) if row_of(name) >= row_of(module)}

    assert not upwards, f"{module} imports {', '.join(sorted(upwards))}, which stand beside or above it"


@pytest.mark.parametrize("module", MODULES)
def test_only_the_transport_sees_grpc(module: str) -> None:
    """Text, lanes and rules can be used and tested without a server."""
    # The tokenizer reads what SentencePiece says of an encoding, which is a message, too, and on no wire.
    foreign = {name for name in imports(module) if not name.startswith("sentencepiece")}
    wire = {name for name in foreign if name.split(".")[0] == "grpc" or "_pb2" in name or "dragoman.v1" in name}

    assert module in TRANSPORT or not wire, f"{module} imports {', '.join(sorted(wire))}"


@pytest.mark.parametrize("module", sorted(PURE))
def test_pure_modules_stay_pure(module: str) -> None:
    """What decides takes the time as a value and touches nothing."""
    impure = {name.split(".")[0] for name in imports(module)} & IMPURE

    assert not impure, f"{module} imports {', '.join(sorted(impure))}"


@pytest.mark.parametrize("module", MODULES)
def test_the_server_never_imports_export_or_client(module: str) -> None:
    """They meet in the bundle's manifest and in the protocol."""
    foreign = {name for name in imports(module) if name.startswith(("dragoman.export", "dragoman.client"))}

    assert not foreign, f"{module} imports {', '.join(sorted(foreign))}"

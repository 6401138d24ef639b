"""Which package may import which: `RULES` is all of it, for the four roots. Imports inside functions count."""

import ast
import functools
from pathlib import Path

import pytest

RULES = """
bundle                   -> nothing
v1                       -> grpc
server.core              -> bundle
server.decode.strategies -> bundle server.core server.decode.arrays
server.decode.arrays     -> nothing
server.planning          -> bundle server.core server.decode.strategies
server.text              -> bundle server.core
server.decode            -> bundle server.core server.decode
server.runtime           -> bundle server.core onnxruntime
server.kvcache           -> bundle server.core server.decode server.runtime
server.batches           -> bundle server.core server.decode server.runtime server.kvcache
server.lanes             -> bundle server.core server.runtime server.batches
server.pipeline          -> bundle server.core server.decode.strategies server.planning server.text
server.telemetry         -> bundle server.core server.pipeline
server.transport         -> bundle server.core server.pipeline server.telemetry server.transport v1 grpc
server.transport.codec   -> bundle server.core server.decode.strategies server.planning server.pipeline v1
server.app               -> bundle server cli v1 grpc
server.testing           -> bundle server
export.core              -> bundle
export.network           -> bundle export.core
export.passes            -> bundle export.core export.network
export.graphs            -> bundle export.core export.network export.passes onnxruntime
export.calibration       -> bundle export.core export.network export.passes export.graphs
export.proof             -> bundle export.core export.network export.passes export.graphs
export.importers.files   -> bundle export.core export.network
export.importers.fairseq -> bundle export.core export.network export.importers.files
export.importers.hf      -> bundle export.core export.network export.importers.files
export.importers.marian  -> bundle export.core export.network export.importers.files
export.importers.plain   -> bundle export.core export.network export.importers.files
export.importers.formats -> bundle export.core export.importers
export.export            -> bundle export onnxruntime
export.distill           -> bundle export cli server onnxruntime
export.command           -> bundle export cli
cli                      -> nothing
client                   -> v1 grpc
client.bench             -> cli client v1 grpc
client.commands          -> cli client v1
"""
MAY = {name: row.split("->")[1].split() for row in RULES.strip().splitlines() for name in row.split("->")[0].split()}
PURE = (
    "server.core",
    "server.planning",
    "server.decode",
    "server.kvcache",
    "server.lanes.backlog",
    "server.runtime.padding",
)
EFFECTS = {"asyncio", "concurrent", "grpc", "logging", "onnxruntime", "os", "random", "socket", "threading", "time"}


def imports(source: str) -> set[str]:
    """Full names of what a module imports, wherever in it; our own without `dragoman.` before them."""
    nodes = list(ast.walk(ast.parse(source)))
    plain = {one.name for node in nodes if isinstance(node, ast.Import) for one in node.names}
    named = {f"{n.module}.{one.name}" for n in nodes if isinstance(n, ast.ImportFrom) for one in n.names}
    return {name.removeprefix("dragoman.") for name in plain | named}


def longest(name: str, known: object) -> str | None:
    """The longest beginning of a dotted name that is known."""
    parts = name.split(".")
    return next((x for n in range(len(parts), 0, -1) if (x := ".".join(parts[:n])) in known), None)


def problems(graph: dict[str, set[str]]) -> set[str]:
    """What breaks the rules, given what each module imports."""
    found, watched = set(), {*MAY, "grpc", "onnxruntime"}
    for module, names in graph.items():
        own = longest(module, MAY)
        others = {longest(name, watched) for name in names} - {own, None}
        found |= {f"{own} may not import {other}" for other in others if not longest(other, MAY.get(own, ()))}
        seen, todo = set(), [module] if longest(module, PURE) and module != "server.core.logs" else []
        while todo:
            found |= {f"{module} reaches {x}" for x in {n.split(".")[0] for n in graph[todo[-1]]} & EFFECTS}
            seen.add(todo[-1])
            todo += {known for name in graph[todo.pop()] if (known := longest(name, graph))} - seen
    return found


@functools.cache
def tree() -> dict[str, set[str]]:
    """The modules of the four roots."""
    root = Path(__file__).parents[1]
    files = {".".join(p.relative_to(root).with_suffix("").parts[2:]): p for p in root.glob("*/dragoman/**/*.py")}
    return {name.removesuffix(".__init__"): imports(path.read_text("utf-8")) for name, path in files.items()}


def test_imports_follow_the_rules() -> None:
    """No module imports what its package may not, and what is pure reaches nothing that has effects."""
    assert problems(tree()) == set()


@pytest.mark.parametrize("package", [name for name in MAY if name != "bundle"])
def test_each_rule_is_enforced(package: str) -> None:
    """A module that imports a package which its row does not name breaks that row, and no other."""
    others = [name for name in (*MAY, "grpc", "onnxruntime") if name != package and not longest(name, MAY[package])]

    for other in others:
        twin = {**tree(), f"{package}.twin": {f"{other}.anything"}}
        assert f"{package} may not import {other}" in problems(twin)


def test_what_is_pure_is_followed_to_its_end() -> None:
    """An effect far below is found from all that reach it, and an import within a function is an import."""
    twin = {**tree(), "server.core.segments": imports("def late():\n    import threading")}

    assert {"server.core.segments reaches threading", "server.decode.search reaches threading"} <= problems(twin)

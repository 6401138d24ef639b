"""The import rules of `layers.txt` hold over the four roots, and each of them is enforced."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROWS = [row.split("->") for row in (ROOT / "tests/layers.txt").read_text("utf-8").splitlines() if "->" in row]
PURE = {name.strip(" *") for name, _ in ROWS if "*" in name}
MAY = {name.strip(" *"): others.split() for name, others in ROWS}
WATCHED = {*MAY, "grpc", "onnxruntime"}
EFFECTS = {"asyncio", "concurrent", "grpc", "logging", "onnxruntime", "os", "random", "socket", "threading", "time"}


def imports(source: str) -> set[str]:
    """Full names of what a module imports, wherever in it; our own without `dragoman.` before them."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {f"{getattr(node, 'module', '')}.{alias.name}".lstrip(".") for node in nodes for alias in node.names}
    return {name.removeprefix("dragoman.") for name in names}


def longest(name: str, known: object) -> str | None:
    """The longest beginning of a dotted name that is known."""
    parts = name.split(".")
    return next((x for n in range(len(parts), 0, -1) if (x := ".".join(parts[:n])) in known), None)


def problems(graph: dict[str, set[str]]) -> set[str]:
    """What breaks the rules, given what each module imports."""
    found = set()
    for module, names in graph.items():
        own = longest(module, MAY)
        others = {longest(name, WATCHED) for name in names} - {None}
        found |= {f"{own} may not import {other}" for other in others if not longest(other, [own, *MAY.get(own, ())])}
        seen, todo = set(), {module} if own in PURE else set()
        while todo:
            seen.add(reached := todo.pop())
            found |= {f"{module} reaches {x}" for x in {name.split(".")[0] for name in graph[reached]} & EFFECTS}
            todo |= {longest(name, graph) for name in graph[reached]} - {None, *seen}
    return found


FILES = {".".join(path.relative_to(ROOT).with_suffix("").parts[2:]): path for path in ROOT.glob("*/dragoman/**/*.py")}
TREE = {name.removesuffix(".__init__"): imports(path.read_text("utf-8")) for name, path in FILES.items()}


def test_imports_follow_the_rules() -> None:
    """No module imports what its package may not, and what is pure reaches nothing that has effects."""
    assert problems(TREE) == set()


@pytest.mark.parametrize("package", MAY)
def test_each_rule_is_enforced(package: str) -> None:
    """What a row does not name may not be imported, even within a function, and what is pure is followed to its end."""
    others = {other for other in WATCHED if not longest(other, [package, *MAY[package]])}
    twin = {f"{package}.twin": imports("\n".join(f"def late():\n    import dragoman.{other}.any" for other in others))}
    assert {f"{package} may not import {other}" for other in others} <= problems({**TREE, **twin})
    reached = problems({**TREE, "server.core.segments": imports("def late():\n    import threading")})
    assert {"server.core.segments reaches threading", "server.decode.search reaches threading"} <= reached

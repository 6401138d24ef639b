"""The house keeps its shape: where files lie, what things are called, and what their docstrings say."""

import ast
import functools
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SERVER = ROOT / "server/dragoman/server"
TEXT_SIDE = {"transport", "telemetry", "pipeline", "planning", "text"}
DECODER_SIDE = {"lanes", "batches", "kvcache", "decode", "runtime"}
MOST_DECODER_CLASSES = 65

UNTESTED = {
    "values, tables and interfaces: what is done with them is tested": (
        "export/dragoman/export/core/checkpoint.py",
        "export/dragoman/export/distill/kinds.py",
        "export/dragoman/export/importers/files/placed.py",
        "export/dragoman/export/importers/files/sizes.py",
        "server/dragoman/server/batches/drafting.py",
        "server/dragoman/server/batches/group.py",
        "server/dragoman/server/core/phrasing.py",
        "server/dragoman/server/core/protection.py",
        "server/dragoman/server/core/spans.py",
        "server/dragoman/server/core/strategies.py",
        "server/dragoman/server/decode/arrays.py",
        "server/dragoman/server/decode/step.py",
        "server/dragoman/server/decode/strategies/forced.py",
        "server/dragoman/server/decode/strategies/methods.py",
        "server/dragoman/server/decode/strategies/nat.py",
        "server/dragoman/server/decode/strategies/special.py",
        "server/dragoman/server/decode/strategies/speculative.py",
        "server/dragoman/server/runtime/stores.py",
        "server/dragoman/server/testing.py",
    ),
    "needs a traced graph: tests/e2e runs it": (
        "export/dragoman/export/graphs/device_modules.py",
        "export/dragoman/export/proof/device_parity.py",
        "server/dragoman/server/runtime/device_runtime.py",
        "server/dragoman/server/runtime/host_runtime.py",
    ),
    "one half of another module, whose test tests both": (
        "export/dragoman/export/importers/fairseq/nat.py",  # importer
        "server/dragoman/server/decode/segment_search.py",  # search
        "server/dragoman/server/planning/nat_plans.py",  # plans
    ),
    "takes minutes: tests/training runs it": ("export/dragoman/export/distill/distill.py",),
}
"""Modules without a test file of their name, by the reason."""

POINTER = re.compile(r"(see|as|like) `[^`]+`\.?", re.IGNORECASE)
"""A docstring that only says where the fact stands."""
FRAGMENT = re.compile(r"of [^,;:]*", re.IGNORECASE)
"""A first sentence without a verb: "Of each lane." Behind a comma comes what is said of it."""
GLOSSARY_ROW = re.compile(r"^\| (\w+) \| .* \| `([\w./]+)` `([\w.]+)` \|$", re.MULTILINE)


@functools.cache
def modules() -> dict[str, ast.Module]:
    """Every module of the four roots that is not generated, by its path."""
    paths = (path for path in ROOT.glob("*/dragoman/**/*.py") if "_pb2" not in path.name)
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text("utf-8")) for path in paths}


def definitions(tree: ast.Module) -> Iterator[str]:
    """Names of classes, wherever in a module, of their methods behind theirs, and of what is assigned at its top."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield node.name
            yield from (f"{node.name}.{method.name}" for method in node.body if isinstance(method, ast.FunctionDef))
    for statement in tree.body:
        if isinstance(statement, ast.Assign):
            yield from (target.id for target in statement.targets if isinstance(target, ast.Name))


def classes(*packages: str) -> list[str]:
    """Names of the classes of packages of the server."""
    prefixes = tuple(f"server/dragoman/server/{package}/" for package in packages)
    trees = [tree for path, tree in modules().items() if path.startswith(prefixes)]
    return [node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and text of every string that stands for itself: under what it describes, or below a name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, " ".join(node.value.value.split())


def objection(docstring: str) -> str | None:
    """What a docstring lacks."""
    first, _, _ = docstring.partition(". ")
    if POINTER.fullmatch(docstring):
        return "only points elsewhere"
    return "begins with a bare genitive" if FRAGMENT.fullmatch(first) else None


def mirrored(path: str) -> Path:
    """Where the test of a module belongs: `dragoman`, and a package that is called as its root, are left out."""
    root, _, package, *rest = path.split("/")
    folders = [root, *([] if package == root else [package]), *rest[:-1]]
    return ROOT.joinpath("tests", *folders, f"test_{rest[-1]}")


def test_the_server_is_its_stages() -> None:
    """Two sides, what both know, what puts them together, and the fakes."""
    names = {path.name for path in SERVER.iterdir()} - {"__init__.py", "py.typed", "__pycache__"}

    assert names == TEXT_SIDE | DECODER_SIDE | {"core", "app", "testing.py"}


def test_no_class_name_stands_twice_in_the_server() -> None:
    """Whoever looks for a class finds one."""
    names = classes(*TEXT_SIDE, *DECODER_SIDE, "core", "app")

    assert [name for name, number in Counter(names).items() if number > 1] == []


def test_the_decoder_side_stays_small() -> None:
    """A class more is an idea more to know. Strategies are counted apart: planning shares them."""
    number = len(classes(*DECODER_SIDE)) - len(classes("decode/strategies"))

    assert number <= MOST_DECODER_CLASSES


def test_every_module_has_a_test_of_its_name_or_a_reason() -> None:
    """At the mirrored path; and no reason is left for a module that has one, or is gone."""
    untested = [path for path in modules() if not path.endswith("__init__.py") and not mirrored(path).is_file()]

    assert sorted(untested) == sorted(path for paths in UNTESTED.values() for path in paths)


def test_docstrings_say_the_fact() -> None:
    """None only points elsewhere, none begins with a genitive that nothing is said of."""
    wrong = [
        f"{path}:{line} {problem}: {text}"
        for path, tree in modules().items()
        for line, text in docstrings(tree)
        if (problem := objection(text))
    ]

    assert wrong == []


@pytest.mark.parametrize(
    ("docstring", "problem"),
    [
        ("See `Group`.", "only points elsewhere"),
        ("As `_transformer`", "only points elsewhere"),
        ("See `Group`: the last row takes its place.", None),
        ("Of each lane.", "begins with a bare genitive"),
        ("Of a stride. With more, newcomers wait.", "begins with a bare genitive"),
        ("Of the sources of a batch, those that are finished.", None),
        ("Often asked.", None),
    ],
)
def test_docstrings_that_say_nothing_are_recognised(docstring: str, problem: str | None) -> None:
    """A fragment is told from a sentence, a pointer from a fact with a pointer in it."""
    assert objection(docstring) == problem


def test_each_word_has_one_definition() -> None:
    """Where the glossary of ARCHITECTURE.md says, and nowhere else in what the server is made of."""
    rows = GLOSSARY_ROW.findall((ROOT / "ARCHITECTURE.md").read_text("utf-8"))
    wrong = {word: places for word, path, name in rows if (places := defined(name)) != [path]}

    assert {word for word, _, _ in rows} >= {"Segment", "Source", "Group", "Plan", "Strategy", "Store", "Step", "Lane"}
    assert wrong == {}


def defined(name: str) -> list[str]:
    """Where a name is defined, in the bundle, the server, export and the wire; paths as the glossary writes them."""
    paths = [path for path, tree in modules().items() if not path.startswith("client/") and name in definitions(tree)]
    wire = "proto/dragoman/v1/translation.proto"
    if f"\nmessage {name} {{" in (ROOT / wire).read_text("utf-8") and not paths:
        paths = [wire]
    return [path.removeprefix("server/dragoman/server/") for path in paths]

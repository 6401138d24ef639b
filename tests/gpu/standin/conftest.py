"""Bundles for the stand-in's tests, made with the processor's ONNX Runtime, and runs of the lab in the GPU's."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from dragoman.bundle.manifest import Precision
from dragoman.bundle.reader import Bundle
from dragoman.export.export import export

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
PLACEMENT = Path(os.environ.get("PLACEMENT", ROOT / ".cache/placement")).absolute()
LIMIT_S = 240
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16")

Lines = list[dict[str, Any]]


def _module(name: str, file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def e2e() -> ModuleType:
    """The models of `tests/e2e`."""
    return _module("e2e_models", ROOT / "tests/e2e/conftest.py")


@pytest.fixture(scope="session")
def big(e2e: ModuleType) -> Bundle:
    """6 + 6 layers, 512 wide, 32,000 words, in float16."""
    source = ROOT / "tests/bench/random_model.py"
    model = _module("random_model", source)
    made: Bundle = e2e.kept("random-big-fp16", lambda at: model.to_bundle(model.BIG, at, "fp16"), source)
    return made


@pytest.fixture(scope="session")
def bundles_of(e2e: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[Bundle]]:
    """Makes the bundles of a kind: in each precision that a GPU serves, where the step is its own. That with decoders
    without autoregression has biases by distance. Rotary positions and Shaw's, whose portable graphs run, and several
    decoders on one encoder, in float16.
    """

    def make(kind: str) -> list[Bundle]:
        at = tmp_path_factory.mktemp("checkpoint")
        if kind in ("rotary", "shaw"):
            checkpoint = e2e.random_checkpoint(kind, at)
            return [e2e.tiny_bundle(replace(checkpoint, shortlist=None, name=f"{checkpoint.name}-alone"), "fp16")]
        if kind == "joined":
            return [e2e.tiny_bundle(e2e.joined_checkpoint(at), "fp16")]
        if kind != "nat":
            return [e2e.tiny_bundle(e2e.random_checkpoint(kind, at), precision) for precision in PRECISIONS]
        checkpoint = e2e.nat_checkpoint(at)
        return [
            e2e.kept(
                f"nat-{precision}",
                lambda to, precision=precision: export(checkpoint, to, precision=precision, progress=lambda _: None),
                ROOT / "tests/e2e/conftest.py",
            )
            for precision in PRECISIONS
        ]

    return make


@pytest.fixture(scope="session")
def environment() -> Callable[..., dict[str, str]]:
    """Of a process that runs over the stand-in."""

    def make(*, cudnn: bool = True) -> dict[str, str]:
        roots = (PLACEMENT / "site", *(ROOT / name for name in ("proto", "server", "export", "client")))
        libraries = (PLACEMENT / "lib", *([PLACEMENT / "cudnn"] if cudnn else []))
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, roots)),
            "LD_LIBRARY_PATH": os.pathsep.join(map(str, libraries)),
        }

    return make


@pytest.fixture(scope="session")
def lab(environment: Callable[..., dict[str, str]]) -> Callable[..., Lines]:
    """Runs lab.py, broken in one way where `twin` names it, and gives what it says; its log where it fails."""

    def run(*arguments: object, twin: str | None = None, cudnn: bool = True) -> Lines:
        given = {**environment(cudnn=cudnn), **({"TWIN": twin} if twin else {})}
        command = [sys.executable, str(HERE / "lab.py"), *map(str, arguments)]
        done = subprocess.run(command, env=given, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        assert done.returncode == 0, done.stderr[-4000:]
        assert "stand-in:" not in done.stderr, done.stderr[-4000:]
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


@pytest.fixture(scope="session")
def check_loads(lab: Callable[..., Lines]) -> Callable[[list[Bundle]], None]:
    """Holds that each way of decoding runs, on one lane and on two, and nothing is done that a capture forbids."""

    def check(bundles: list[Bundle]) -> None:
        lines = lab("loads", *(bundle.directory for bundle in bundles))
        assert {line["lanes"] for line in lines} == {1, 2}
        assert {line["bundle"] for line in lines} == {bundle.directory.name for bundle in bundles}
        assert [line for line in lines if line["violations"]] == []

    return check

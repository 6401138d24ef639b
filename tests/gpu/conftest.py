"""What the GPU's tests need: a GPU, or with PROVIDER=cpu nothing but a processor, to see that they run."""

import importlib.util
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from dragoman.bundle.reader import Bundle, open_bundle
from dragoman.export.export import export
from dragoman.server.core.segments import Decoded, Segment
from dragoman.server.runtime.hardware import PROVIDERS, Hardware

PROVIDER = os.environ.get("PROVIDER", "cuda")
ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("DATA", ROOT.parent / "shared/data/en-pt"))


def missing() -> str | None:
    """Why these tests cannot run here; None where they can."""
    if PROVIDER == "cpu":
        return None
    import onnxruntime
    import torch

    if PROVIDERS["cuda"] not in onnxruntime.get_available_providers():
        return f"{onnxruntime.__file__} is the ONNX Runtime for processors: they need onnxruntime-gpu"
    return None if torch.cuda.is_available() else "torch finds no CUDA device"


def pytest_sessionstart(session: pytest.Session) -> None:
    """Refuse as a whole: a suite that skips itself looks like one that passes."""
    problem = missing()
    if problem is not None:
        pytest.exit(f"the GPU's tests cannot run: {problem}; PROVIDER=cpu runs them on a processor", returncode=1)


@pytest.fixture(scope="session")
def e2e() -> ModuleType:
    """The models and lanes of `tests/e2e`."""
    spec = importlib.util.spec_from_file_location("e2e_models", ROOT / "tests/e2e/conftest.py")
    assert spec is not None
    assert spec.loader is not None
    sys.modules["e2e_models"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def hardware() -> Hardware:
    """The GPU, or a processor in its place."""
    return Hardware("cpu" if PROVIDER == "cpu" else "cuda", keeps=True)


@pytest.fixture(scope="session", params=["self-attention", "ssru", "relative"])
def tiny(request: pytest.FixtureRequest, e2e: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A random model in float32."""
    checkpoint = e2e.random_checkpoint(request.param, tmp_path_factory.mktemp("checkpoint"))
    return export(checkpoint, tmp_path_factory.mktemp("tiny") / "b", precision="fp32", progress=lambda _: None)


@pytest.fixture(scope="session")
def real(e2e: ModuleType) -> Bundle:
    """The en-pt model in float16: BUNDLE, or exported where the package that has it is installed."""
    given = os.environ.get("BUNDLE")
    bundle: Bundle = open_bundle(Path(given)) if given else e2e.real_bundle("fp16")
    return bundle


@pytest.fixture(scope="session")
def lines() -> list[str]:
    """200 sentences."""
    file = DATA / "dev.en"
    if not file.is_file():
        pytest.skip(f"no {file}: name a folder with dev.en, DATA=...")
    return file.read_text(encoding="utf-8").splitlines()[:200]


@pytest.fixture
def decode(e2e: ModuleType) -> Iterator[Callable[..., list[Decoded]]]:
    """Decodes segments on lanes of their own, all at once; gives the answers in their order."""
    made: list[Any] = []

    def run(bundle: Bundle, segments: Sequence[Segment], **options: Any) -> list[Decoded]:
        made.append(e2e.Decoder(bundle, **options))
        found: list[Decoded] = made[-1].together(segments)
        return found

    yield run
    for each in made:
        each.lanes.close()

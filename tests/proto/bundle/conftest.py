"""A small bundle to break."""

from pathlib import Path

import pytest

from dragoman.bundle.manifest import (
    Architecture,
    Decoding,
    Graph,
    LanguagePair,
    Limits,
    Manifest,
    Parity,
    Provenance,
    Tensor,
    Tokenizer,
)
from dragoman.bundle.writer import BundleWriter

CONTENT = {"encoder.onnx": b"encoder", "step.onnx": b"step" * 1000, "text/vocabulary.spm": b"\0\xff"}


@pytest.fixture
def manifest() -> Manifest:
    tensor = Tensor("ids", "int64", ("G", 3))
    return Manifest(
        name="opus-tiny",
        pairs=(LanguagePair("en", "pt-BR"), LanguagePair("en", "pt")),
        architecture=Architecture(8, 2, 16, 1, 1, 10, 10),
        decoding=Decoding(),
        tokenizer=Tokenizer("sentencepiece", "text/vocabulary.spm", "text/vocabulary.spm", 0, 1, 10, (1,)),
        graphs={name: Graph(f"{name}.onnx", (tensor,), (tensor, tensor)) for name in ("encoder", "step")},
        limits=Limits(100, 100),
        precision="fp32",
        provenance=Provenance("marian-bin", {"model.bin": "0" * 64}, "0.1.0", {"precision": "fp32"}),
        parity=(Parity("fp32 graph, torch", "topk_logp", 1.5e-6, 1e-4),),
    )


@pytest.fixture
def content() -> dict[str, bytes]:
    return dict(CONTENT)


@pytest.fixture
def bundle_at(manifest):
    """Write the bundle of `manifest` (or another one) to a directory."""

    def write(directory: Path, described: Manifest = manifest, *, replace: bool = False) -> Path:
        with BundleWriter(directory, replace=replace) as writer:
            for name, data in CONTENT.items():
                writer.path(name).write_bytes(data)
            writer.commit(described)
        return directory

    return write


@pytest.fixture
def directory(bundle_at, tmp_path) -> Path:
    return bundle_at(tmp_path / "bundle")

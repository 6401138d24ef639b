"""A bundle is read back as the checkpoint that it was made of."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from dragoman.export.core.errors import ExportError
from dragoman.export.export import export
from dragoman.export.importers.bundle.importer import read_bundle
from dragoman.export.importers.marian.importer import read_marian
from dragoman.export.network.load import load_network

SHIPPED = Path(__file__).parents[4] / "models/en-pt"


def test_integers_are_multiplied_out():
    """Each matrix and embedding of the model that ships, its other decoder's and what is joined included."""
    checkpoint = read_bundle(SHIPPED, None, None)
    stored = {}
    for file in SHIPPED.glob("*.onnx"):
        stored |= {name: value.const_value.numpy() for name, value in ir.load(file).graph.initializers.items()}

    weights = {name: weight.detach().numpy() for name, weight in load_network(checkpoint).named_parameters()}

    seen = set()
    for name, weight in weights.items():
        scale = stored.get(f"{name}.scale")
        if f"{name}.int8" in stored:
            expected = stored[f"{name}.int8"] * scale
        elif f"{name}.uint8" in stored:
            expected = (stored[f"{name}.uint8"].astype(np.float32) - 128) * scale.reshape(-1, 1)
        else:
            expected = stored[name]
        np.testing.assert_allclose(weight, expected, rtol=1e-6, err_msg=name)
        seen |= {form for form in ("int8", "uint8") if f"{name}.{form}" in stored}
    assert seen == {"int8", "uint8"}
    assert "nat.ctc.split.weight" in weights
    assert checkpoint.shortlist is not None
    assert {*checkpoint.tokenizer_files} == {"vocabulary.spm"}


def test_decoders_on_one_encoder_are_read_together():
    """The one that searches is known, and each has the encoder's very weights; what it is alone is a whole network."""
    checkpoint = read_bundle(SHIPPED, None, None)
    own, alone = checkpoint.of(None), checkpoint.of(checkpoint.searcher)

    assert (checkpoint.searcher, [*checkpoint.siblings]) == ("ssru", ["ssru"])
    assert (alone.architecture.decoder, alone.nat, alone.siblings, alone.searcher) == ("ssru", {}, {}, None)
    assert (own.architecture.decoder, [*own.nat], own.siblings) == ("self-attention", ["ctc"], {})
    shared = [name for name in own.weights if name.startswith(("encoder.", "source_"))]
    assert len(shared) > 90
    for name in shared:
        np.testing.assert_array_equal(alone.weights[name], own.weights[name], err_msg=name)
    names = {name for name, _ in load_network(alone).named_parameters()}
    assert any(name.startswith("decoder.layers.0.rnn.") for name in names)


def test_floats_are_read_as_they_were(marian, tmp_path):
    """Joined matrices are parted, keys are multiplied back, and the bundle says the same again."""
    made = marian()
    made.write()
    checkpoint = read_marian(made.folder, "en", "pt")
    export(checkpoint, tmp_path / "fp32", precision="fp32", progress=lambda _: None)

    read = read_bundle(tmp_path / "fp32", None, None)

    assert read.weights.keys() >= checkpoint.weights.keys()
    for name, weight in checkpoint.weights.items():
        np.testing.assert_allclose(read.weights[name], weight, rtol=1e-6, err_msg=name)
    assert (read.name, read.pairs, read.architecture) == (checkpoint.name, checkpoint.pairs, checkpoint.architecture)
    assert "by way of a bundle in fp32" in read.source_format


def test_a_bundle_of_another_network_is_refused(tmp_path):
    """Its manifest says one size, its graphs hold another."""
    folder = shutil.copytree(SHIPPED, tmp_path / "copy")
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    manifest["architecture"]["ffn"] = 512
    (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")

    with pytest.raises(ExportError, match=r"do not hold .*ffn"):
        read_bundle(folder, None, None)

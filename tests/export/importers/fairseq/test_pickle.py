"""fairseq's files: options of every age, and dictionaries."""

import argparse

import pytest
import torch

from dragoman.export.core.errors import UnsupportedModel
from dragoman.export.core.reasons import Reasons
from dragoman.export.importers.fairseq.pickle import read_file

MODEL = {"encoder.embed_tokens.weight": torch.ones(3, 2)}


def a_file(path, **content):
    torch.save({"model": MODEL, **content}, path)
    return path


def told(read, path, *args) -> str:
    reasons = Reasons()
    assert read(path, reasons, *args) is None
    with pytest.raises(UnsupportedModel) as caught:
        reasons.raise_if_any(path)
    return str(caught.value)


def test_a_flat_namespace_and_nested_sections_give_the_same_options(tmp_path):
    """`encoder_embed_dim`, `encoder.embed_dim`, and a namespace within a configuration are one option."""
    flat = argparse.Namespace(arch="transformer_tiny", task="translation", source_lang="de", encoder_embed_dim=8)
    within = argparse.Namespace(_name="transformer_tiny", encoder_embed_dim=8)
    nested = {"_name": "transformer_tiny", "encoder": {"embed_dim": 8}}
    task = {"_name": "translation", "source_lang": "de"}
    files = [
        a_file(tmp_path / "args.pt", args=flat, cfg=None),
        a_file(tmp_path / "within.pt", args=None, cfg={"model": within, "task": task}),
        a_file(tmp_path / "nested.pt", args=None, cfg={"model": nested, "task": task}),
    ]

    found = [read_file(file, Reasons()) for file in files]

    for each in found:
        assert each is not None
        assert (each.options.arch, each.options.task) == ("transformer_tiny", "translation")
        assert (each.options.raw("source_lang"), each.options.raw("encoder_embed_dim")) == ("de", 8)
        assert each.tensors.names == MODEL.keys()


def test_values_that_refer_to_others(tmp_path):
    """A configuration that was saved unresolved names other options; what it names in vain is absent."""
    decoder = {"embed_dim": 8, "output_dim": "${model.decoder.embed_dim}", "input_dim": "${model.decoder.output_dim}"}
    model = {"decoder": decoder, "loop": "${model.loop}", "gone": "${common.tpu}"}

    found = read_file(a_file(tmp_path / "a.pt", cfg={"model": model}), Reasons())

    assert found is not None
    names = ("decoder_output_dim", "decoder_input_dim", "loop", "gone")
    assert [found.options.raw(name) for name in names] == [8, 8, None, None]


def test_options_of_the_wrong_kind_are_all_told(tmp_path):
    """Each with what it must be and what it is."""
    args = argparse.Namespace(layers="many", before="perhaps", scale=float("nan"), heads=4_000)
    reasons = Reasons()
    found = read_file(a_file(tmp_path / "a.pt", args=args), reasons)
    assert found is not None

    found.options.whole("layers", 10)
    found.options.whole("heads", 1_024)
    found.options.whole("absent", 9)
    found.options.flag("before")
    found.options.number("scale", 1.0)

    with pytest.raises(UnsupportedModel) as caught:
        reasons.raise_if_any(tmp_path)
    assert len(caught.value.reasons) == 5
    assert "heads must be a whole number from 1 to 1024, the checkpoint says 4000" in str(caught.value)


def test_files_without_a_model_or_options(tmp_path):
    """Each is told what it lacks."""
    torch.save(MODEL, tmp_path / "plain.pt")
    a_file(tmp_path / "bare.pt")
    a_file(tmp_path / "odd.pt", args=argparse.Namespace(), model={"a": 3})
    a_file(tmp_path / "wide.pt", args=argparse.Namespace(), model={"a": torch.ones(1).expand(10**6, 10**6)})

    assert "no fairseq checkpoint" in told(read_file, tmp_path / "plain.pt")
    assert "neither args nor cfg" in told(read_file, tmp_path / "bare.pt")
    assert "'a' of its model is no tensor" in told(read_file, tmp_path / "odd.pt")
    assert "claims 1000000000000 numbers" in told(read_file, tmp_path / "wide.pt")

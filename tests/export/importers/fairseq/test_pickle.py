"""fairseq's files: options of every age, and dictionaries."""

from __future__ import annotations

import argparse

import pytest
import torch

from dragoman.export.core.errors import UnsupportedModel
from dragoman.export.core.reasons import Reasons
from dragoman.export.importers.fairseq.dictionary import dictionaries, read_dictionary
from dragoman.export.importers.fairseq.folder import choose_file, recognises
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


def test_which_file_of_a_folder_is_meant(tmp_path):
    """The best checkpoint of a training, an archive's model.pt, or the only one; an ensemble is not guessed at."""
    assert "no .pt file" in told(lambda path, reasons: choose_file(path, reasons), tmp_path)
    (tmp_path / "model1.pt").touch()
    assert choose_file(tmp_path, Reasons()) == tmp_path / "model1.pt"
    (tmp_path / "model2.pt").touch()
    assert "model1.pt, model2.pt: name the one" in told(lambda path, reasons: choose_file(path, reasons), tmp_path)
    assert choose_file(tmp_path / "model2.pt", Reasons()) == tmp_path / "model2.pt"
    (tmp_path / "checkpoint_best.pt").touch()
    (tmp_path / "checkpoint_last.pt").touch()
    assert choose_file(tmp_path, Reasons()) == tmp_path / "checkpoint_best.pt"


def test_a_dictionary_begins_with_four_words_of_its_own(tmp_path):
    """Then its lines, whatever characters a word has; a repeated word that may be is numbered anew."""
    path = tmp_path / "dict.de.txt"
    path.write_text(
        "a@@ 9\nb c 8\n\u2028\u0085x 7\n< 3\na@@ 1 #fairseq:overwrite\nmadeupword0000 0\n", encoding="utf-8"
    )

    found = read_dictionary(path, Reasons(), ("__en__", "<"))

    assert found is not None
    own = ("<s>", "<pad>", "</s>", "<unk>")
    assert found.words == (*own, "a@@", "b c", "\u2028\u0085x", "<", "a@@", "madeupword0000", "__en__")
    assert (found.language, found.ids["a@@"], len(found)) == ("de", 8, 11)
    assert dictionaries(tmp_path) == {"de": path}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a 1\nb\n", "line 2: expected a word and its count, found 'b'"),
        ("a x\n", "line 1: expected a word and its count"),
        ("a 1\na 2\n", "line 2: 'a' comes twice"),
        ("</s> 1\n", "line 1: '</s>' comes twice"),
    ],
)
def test_dictionaries_that_are_none(tmp_path, text, said):
    """The line is named."""
    path = tmp_path / "dict.txt"
    path.write_text(text)

    assert said in told(read_dictionary, path)


def test_an_empty_dictionary_has_fairseqs_own_words(tmp_path):
    """And a file that is not text is refused."""
    path = tmp_path / "dict.txt"
    path.write_text("")
    assert read_dictionary(path, Reasons()).words == ("<s>", "<pad>", "</s>", "<unk>")

    path.write_bytes(b"\xff\xfe 1\n")
    assert "cannot be read" in told(read_dictionary, path)


@pytest.mark.parametrize("legacy", [False, True])
def test_what_is_recognised(tmp_path, legacy):
    """A checkpoint by what fairseq saves beside a model, or by its dictionaries; other files of torch are not its."""
    assert recognises(tmp_path) is None
    plain = tmp_path / "plain.pt"
    torch.save(MODEL, plain, _use_new_zipfile_serialization=not legacy)
    assert recognises(tmp_path) is None
    assert recognises(plain) is None
    own = tmp_path / "model.pt"
    torch.save({"model": MODEL, "extra_state": {}}, own, _use_new_zipfile_serialization=not legacy)

    assert recognises(own) == recognises(tmp_path) == "fairseq's model.pt with no dictionary"
    (tmp_path / "dict.de.txt").touch()
    assert recognises(plain) == "fairseq's plain.pt with dict.de.txt"
    (tmp_path / "notes.txt").touch()
    assert recognises(tmp_path / "notes.txt") is None

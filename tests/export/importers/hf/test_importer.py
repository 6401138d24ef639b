"""A Hugging Face directory as a whole: what the checkpoint says, and what `dragoman export` does with it."""

from __future__ import annotations

import errno
import json
import os
import shutil

import numpy as np
import pytest
import torch

from dragoman.bundle.manifest import LanguagePair, Limits
from dragoman.cli.main import main
from dragoman.export.core.errors import UnsupportedModel
from dragoman.export.importers.files.model_card import licence_of
from dragoman.export.importers.hf import oracle as hf_oracle
from dragoman.export.importers.hf.importer import read_hf
from dragoman.export.network.load import load_network

PAD = 25


def change(file, **options) -> None:
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | options), encoding="utf-8")


def test_a_directory_becomes_a_checkpoint(t5):
    """Languages, ids, decoding defaults, limits, licence and every file that was read."""
    found = read_hf(t5, "en", "pt")

    assert (found.name, found.pairs) == ("en-pt", (LanguagePair("en", "pt"),))
    tokenizer = found.tokenizer
    assert (tokenizer.eos_id, tokenizer.start_id, tokenizer.suppressed_ids) == (0, PAD, (PAD,))
    assert (found.decoding.profile, found.decoding.beam_size, found.decoding.max_length) == ("hf", 3, 19)
    assert found.limits == Limits(512, 512)
    assert (found.source_format, found.licence) == ("huggingface-t5", "Apache-2.0")
    files = {"config.json", "generation_config.json", "model.safetensors", "spiece.model"}
    assert {file.name for file in found.source_files} == files


def test_one_of_its_files_names_a_directory(t5):
    """SOURCE may be the configuration itself."""
    assert read_hf(t5 / "config.json", "en", "pt").name == "en-pt"


def test_scores_are_normalised_without_what_is_suppressed_where_the_model_does_so(t5):
    """renormalize_logits: words that are never put out take no probability from the others."""
    plain = load_network(read_hf(t5, "en", "pt"))
    change(t5 / "generation_config.json", renormalize_logits=True)
    checkpoint = read_hf(t5, "en", "pt")
    read, ids, mask = torch.tensor([[PAD, 3, 4]]), torch.tensor([[5, 6, 0]]), torch.zeros(1, 1, 1, 3)

    with torch.inference_mode():
        network = load_network(checkpoint)
        found = network.full(read, network.memory(ids, mask), mask).log_softmax(-1)
        logits = plain.full(read, plain.memory(ids, mask), mask)

    logits = logits.clone()
    logits[..., PAD] = -torch.inf
    expected = logits.log_softmax(-1)
    others = [w for w in range(checkpoint.architecture.target_vocabulary) if w != PAD]
    torch.testing.assert_close(found[..., others], expected[..., others])
    assert (found[..., PAD] < -900).all()
    theirs = checkpoint.oracle.log_probabilities([[5, 6, 0]], read.numpy())
    np.testing.assert_allclose(found.numpy(), theirs, atol=1e-4)


def test_weights_and_tokenizer_are_refused_together(t5):
    """What is wrong with the weights, the settings and the tokenizer comes in one refusal."""
    change(t5 / "config.json", d_ff=21)
    change(t5 / "generation_config.json", num_beams=0)
    (t5 / "spiece.model").write_bytes(b"not one")

    with pytest.raises(UnsupportedModel) as refused:
        read_hf(t5, "en", "pt")

    said = str(refused.value)
    assert all(
        part in said for part in ("for [21, 16]", "num_beams must be", "spiece.model is not a SentencePiece model")
    )


def test_without_transformers_a_note_says_that_nothing_was_compared(t5, monkeypatch):
    """The library is never needed; that its comparison is missing is said."""
    monkeypatch.setattr(hf_oracle.util, "find_spec", lambda _: None)

    found = read_hf(t5, "en", "pt")

    assert found.oracle is None
    assert "transformers is not installed, so nothing was compared with it" in found.notes


@pytest.mark.parametrize(
    ("text", "licence"),
    [
        ("---\nlicense: cc-by-nc-4.0\n---\n", "CC-BY-NC-4.0"),
        ("---\nlicense: other\n---\n", ""),
        ("---\nlicense: [mit]\n---\n", ""),
        ("---\n: : :\n---\n", ""),
        ("# no front matter", ""),
        ("", ""),
    ],
)
def test_the_licence_is_that_of_the_card(tmp_path, text, licence):
    """A name that the hub knows becomes an SPDX expression; anything else is not known."""
    (tmp_path / "README.md").write_text(text, encoding="utf-8")

    assert licence_of(tmp_path / "README.md") == licence


def test_no_card_is_no_licence(tmp_path):
    """A directory without a card says nothing."""
    assert licence_of(tmp_path / "README.md") == ""


def run(*arguments) -> int:
    return main(["export", *map(str, arguments), "--from", "en", "--to", "pt"])


def test_the_same_checkpoint_gives_the_same_bytes(t5, tmp_path, capsys):
    """Exported twice, once from a copy elsewhere, every file of the bundle has the same content."""
    elsewhere = shutil.copytree(t5, tmp_path / "somewhere" / "else")

    assert run(t5, "--output", tmp_path / "a", "--precision", "int8", "--json") == 0
    assert run(elsewhere, "--output", tmp_path / "b", "--precision", "int8", "--json") == 0

    one, other = ({f.name: f.read_bytes() for f in (tmp_path / name).iterdir()} for name in "ab")
    assert one == other
    first, second = capsys.readouterr().out.split("\n}\n{")
    assert json.loads(first + "\n}")["digest"] == json.loads("{" + second)["digest"]
    compared = {line["compared"] for line in json.loads(first + "\n}")["parity"]}
    assert any(name.startswith("transformers ") for name in compared)
    assert main(["translate", "--bundle", str(tmp_path / "a"), "acid bread"]) == 0


def test_auto_says_what_it_looks_for(tmp_path, capsys):
    """A folder of no known format is answered with what each format needs."""
    assert run(tmp_path, "--output", tmp_path / "out") == 1

    said = capsys.readouterr().err
    assert "hf looks for a folder with config.json that has a model_type" in said
    assert "marian looks for model*.npz or model*.bin" in said


def test_auto_does_not_choose_between_formats(t5, marian, tmp_path, capsys):
    """A folder that holds models of two formats is refused with both."""
    made = marian()
    made.folder = t5
    made.write()

    assert run(t5, "--output", tmp_path / "out") == 1

    said = capsys.readouterr().err
    assert "Hugging Face model of type 't5' (--format hf) and Marian model" in said
    assert "say which with --format" in said


class Bomb:
    """A call that is made when a pickle is read."""

    def __init__(self, mark) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def spoil_pickle(folder) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"shared.weight": Bomb(folder / "ran")}, folder / "pytorch_model.bin")


def spoil_index(folder) -> None:
    (folder / "model.safetensors").rename(folder.parent / "stolen.safetensors")
    index = {"weight_map": {"shared.weight": "../stolen.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")


def spoil_end(folder) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-9])


SPOILS = {
    "a pickle that runs code": (spoil_pickle, "holds more than tensors and would run code"),
    "a path out of the folder": (spoil_index, "of its own folder"),
    "a file that was cut off": (spoil_end, "damaged or cut off"),
    "a configuration of another size": (lambda f: change(f / "config.json", d_model=32), "config.json calls for"),
    "a model of another type": (lambda f: change(f / "config.json", model_type="whisper"), "model_type must be one"),
}


@pytest.mark.parametrize("spoil", SPOILS)
def test_what_is_refused_leaves_nothing(t5, tmp_path, capsys, spoil):
    """The command ends with 1 and the reason, and neither a bundle nor a part of one is on the disk."""
    act, reason = SPOILS[spoil]
    act(t5)
    out = tmp_path / "new" / "out"

    assert run(t5, "--output", out) == 1

    assert reason in capsys.readouterr().err
    assert not out.parent.exists()
    assert not (t5 / "ran").exists()


def test_graphs_that_differ_from_the_library_are_not_written(t5, tmp_path, monkeypatch, capsys):
    """Where transformers finds other scores, the export fails with how far they are apart, and leaves nothing."""
    honest = hf_oracle.TransformersOracle.log_probabilities

    def shifted(self, sources, read):
        return np.roll(honest(self, sources, read), 1, axis=-1)

    monkeypatch.setattr(hf_oracle.TransformersOracle, "log_probabilities", shifted)

    assert run(t5, "--output", tmp_path / "out", "--precision", "fp32") == 1

    assert "the exported graphs do not compute what transformers" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_library_that_cannot_load_the_model_is_an_error(t5):
    """The message says whose fault it is, and that the comparison can be done without."""
    oracle = read_hf(t5, "en", "pt").oracle
    (t5 / "model.safetensors").write_bytes(b"")

    with pytest.raises(Exception, match=r"transformers .* cannot load .*without transformers the export ends with"):
        oracle.log_probabilities([[3, 0]], np.array([[PAD]]))


def test_a_disk_that_is_too_full_is_told_before_the_work(t5, tmp_path, monkeypatch, capsys):
    """The message says how much is needed and how much there is, and nothing is left."""
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr("dragoman.export.export.shutil.disk_usage", lambda _: usage)

    assert run(t5, "--output", tmp_path / "new" / "out") == 1

    assert "MB are free there: make room" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (MemoryError(), "out of memory while tracing encoder"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "out of memory while tracing encoder"),
    ],
)
def test_a_disk_or_memory_that_runs_out_leaves_nothing(t5, tmp_path, monkeypatch, capsys, error, said):
    """In the middle of the work: the command ends with 1, says what ran out, and removes what it has written."""

    def run_out(*_):
        raise error

    monkeypatch.setattr("dragoman.export.export.trace", run_out)

    assert run(t5, "--output", tmp_path / "new" / "out") == 1

    assert said in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_an_error_of_our_own_is_not_taken_for_lack_of_memory(t5, tmp_path, monkeypatch):
    """Any other failure keeps its trace."""
    monkeypatch.setattr("dragoman.export.export.trace", lambda *_: (_ for _ in ()).throw(RuntimeError("a bug")))

    with pytest.raises(RuntimeError, match="a bug"):
        run(t5, "--output", tmp_path / "out")

"""An export that fails leaves nothing; one that succeeds gives the same bytes each time."""

import errno
import json
import os
import shutil
from types import SimpleNamespace

import pytest
import torch

from dragoman.bundle.manifest import Tokenizer
from dragoman.cli.main import main
from dragoman.export.core.errors import ExportError
from dragoman.export.export import check_tokenizers
from dragoman.export.importers.files.word_tables import replaced, word_table


def change(file, **options) -> None:
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | options), encoding="utf-8")


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


def test_a_tokenizer_that_cannot_be_opened_is_told_before_the_work():
    """Of those that importers make; a file of the source is the source's."""
    words = Tokenizer("tokenizers", "a.json", "a.json", eos_id=1, unk_id=0, start_id=1)
    made = word_table({"<unk>": 0}, "<unk>", "characters", normalizers=(replaced("[^]", ""),))

    with pytest.raises(ExportError, match=r"a\.json, the tokenizer that was made"):
        check_tokenizers(SimpleNamespace(tokenizer=words, tokenizer_files={"a.json": made}))


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

"""How fairseq's files are recognised, and which of them is meant."""

import pytest
import torch

from dragoman.export.core.errors import UnsupportedModel
from dragoman.export.core.reasons import Reasons
from dragoman.export.importers.fairseq.folder import choose_file, recognises

MODEL = {"encoder.embed_tokens.weight": torch.ones(3, 2)}


def told(read, path, *args) -> str:
    reasons = Reasons()
    assert read(path, reasons, *args) is None
    with pytest.raises(UnsupportedModel) as caught:
        reasons.raise_if_any(path)
    return str(caught.value)


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

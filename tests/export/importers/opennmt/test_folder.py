"""What is recognised as OpenNMT-py's."""

import torch

from dragoman.export.importers.formats import FORMATS
from dragoman.export.importers.opennmt.folder import checkpoint_of, recognises


def test_a_checkpoint_is_known_by_what_its_pickle_names(saved):
    """By itself or by its folder, and by no other format."""
    folder = saved()

    assert recognises(folder) == recognises(folder / "model_step_9.pt") == "OpenNMT-py's model_step_9.pt"
    assert [name for name, form in FORMATS.items() if form.recognises(folder)] == ["opennmt"]


def test_others_are_not(saved, tmp_path):
    """Other pickles, other files, and a folder with two of them."""
    folder = saved()
    torch.save({"model": {}, "args": None}, tmp_path / "other.pt")
    (tmp_path / "text.pt").write_text("no archive")

    assert checkpoint_of(folder) == folder / "model_step_9.pt"
    assert [recognises(tmp_path / name) for name in ("other.pt", "text.pt", "words.model")] == [None] * 3
    (tmp_path / "second.pt").write_bytes((folder / "model_step_9.pt").read_bytes())
    assert checkpoint_of(folder) is None

"""What is recognised as a CTranslate2 folder."""

import struct

import pytest

from dragoman.export.importers.ctranslate2.folder import KIND, recognises
from dragoman.export.importers.formats import FORMATS

HEAD = struct.pack("<IH", 6, len(KIND)) + KIND


def test_a_folder_is_known_by_the_kind_that_its_model_names(tmp_path):
    """By itself or by its model, and by no other format."""
    (tmp_path / "model.bin").write_bytes(HEAD + bytes(40))
    (tmp_path / "config.json").write_text("{}")

    assert recognises(tmp_path) == recognises(tmp_path / "model.bin") == "a CTranslate2 model"
    assert recognises(tmp_path / "config.json") is None
    assert [name for name, form in FORMATS.items() if form.recognises(tmp_path)] == ["ctranslate2"]


@pytest.mark.parametrize("content", [b"", b"\6\0", HEAD[:-1], HEAD.replace(b"Spec", b"Spek"), b"\0" * 4 + HEAD[4:]])
def test_others_are_not(tmp_path, content):
    """Models of another kind, or cut off."""
    (tmp_path / "model.bin").write_bytes(content)

    assert recognises(tmp_path) is None

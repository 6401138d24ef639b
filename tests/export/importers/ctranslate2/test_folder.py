"""What is recognised as a CTranslate2 folder."""

import struct
from pathlib import Path

import pytest

from dragoman.export.importers.ctranslate2.folder import kind_of, model_at, package_of, recognises
from dragoman.export.importers.formats import FORMATS

KIND = b"TransformerSpec\0"
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


def test_a_package_stands_for_the_model_in_it(tmp_path, monkeypatch):
    """Argos Translate's, and from inside of it `.` and the file are the folder all the same."""
    model = tmp_path / "model"
    model.mkdir()
    (model / "model.bin").write_bytes(HEAD)
    assert recognises(tmp_path) is None
    (tmp_path / "metadata.json").write_text("{}")
    monkeypatch.chdir(model)

    for path in (tmp_path, model, model / "model.bin", Path(), Path("model.bin")):
        assert recognises(path) == "a CTranslate2 model"
        assert model_at(path) == model.resolve()
        assert package_of(model_at(path)) == tmp_path.resolve()


@pytest.mark.parametrize("kind", [b"WhisperSpec", b"TransformerDecoderSpec", b"Wav2Vec2Spec"])
def test_models_of_other_kinds_are_named(tmp_path, kind):
    """They are CTranslate2's, so no other format is looked for."""
    (tmp_path / "model.bin").write_bytes(struct.pack("<IH", 6, len(kind) + 1) + kind + b"\0\3\0\0\0")

    assert kind_of(tmp_path) == kind.decode()
    assert recognises(tmp_path) == f"a CTranslate2 model, {kind.decode()}"

"""Which files belong to a Marian model, and which languages their names agree on."""

import pytest

from dragoman.bundle.manifest import LanguagePair
from dragoman.export.core.errors import UnsupportedModel
from dragoman.export.importers.marian.folder import recognises
from dragoman.export.importers.marian.importer import read_marian


def reasons_of(folder, source=None, target=None) -> tuple[str, ...]:
    with pytest.raises(UnsupportedModel) as error:
        read_marian(folder, source, target)
    return error.value.reasons


def test_settings_may_not_name_files_elsewhere(marian, tmp_path):
    """A checkpoint's own settings do not choose which files of this machine are read."""
    (tmp_path / "inner").mkdir()
    model = marian()
    model.folder = tmp_path / "inner"
    model.settings = {"vocabs": ["../vocab.ende.spm", str(tmp_path / "vocab.ende.spm")]}

    assert "the vocabulary vocab.ende.spm that the decoding settings name is not in the folder" in reasons_of(
        model.write()
    )


def test_recognises_a_folder_and_a_file(marian, tmp_path):
    """By name and first bytes; what is no model is left for other importers."""
    folder = marian().write()

    assert recognises(folder) == "Marian model model.ende.bin"
    assert recognises(folder / "model.ende.bin") == "Marian model model.ende.bin"
    assert recognises(folder / "vocab.ende.spm") is None
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "model.bin").write_bytes(b"\6\0\0\0something else")
    assert recognises(tmp_path / "other") is None
    assert recognises(tmp_path / "none") is None


def test_a_file_alone_is_read_with_its_neighbours(marian):
    """Naming the model's file is enough where several lie together."""
    model = marian()
    folder = model.write("bin")
    model.write("npz")

    assert read_marian(folder / "model.ende.npz", None, None).source_format == "marian-npz"
    assert reasons_of(folder)[0].startswith(
        "expected one Marian model (model*.bin or model*.npz), found model.ende.bin, model.ende.npz"
    )


def test_the_settings_choose_among_several_models(marian):
    """A folder with the trained and the quantised form is told apart by the settings that lie there."""
    model = marian()
    model.write("npz")
    model.settings = {"beam-size": 1}

    assert read_marian(model.write("bin"), None, None).source_format == "marian-bin"


def test_a_folder_without_a_model_is_refused(tmp_path):
    """Empty, or not there."""
    assert reasons_of(tmp_path)[0].startswith("expected one Marian model")
    assert reasons_of(tmp_path / "none") == ("there is no such file or folder",)


@pytest.mark.parametrize(
    ("name", "source", "target", "expected"),
    [
        ("vocab.spm", "en", "pt-BR", LanguagePair("en", "pt-BR")),
        ("vocab.enpt.spm", None, None, LanguagePair("en", "pt")),
        ("vocab.en-pt.spm", None, None, LanguagePair("en", "pt")),
        ("vocab.enpt.spm", "en", None, LanguagePair("en", "pt")),
    ],
)
def test_languages_come_from_arguments_or_names(marian, name, source, target, expected):
    """Arguments first; names where they are unmistakable."""
    model = marian()
    folder = model.write()
    (folder / "model.ende.bin").rename(folder / "model.tiny.best.bin")
    (folder / "vocab.ende.spm").rename(folder / name)

    assert read_marian(folder, source, target).pairs == (expected,)


@pytest.mark.parametrize(
    ("name", "source"),
    [("vocab.spm", None), ("vocab.tiny.spm", None), ("vocab.enpt.spm", "de"), ("vocab.enpt.ptde.spm", None)],
)
def test_languages_that_are_not_clear_are_asked_for(marian, name, source):
    """No pair, a word that looks like one, one that contradicts the argument, and two."""
    model = marian()
    folder = model.write()
    (folder / "model.ende.bin").rename(folder / "model.bin")
    (folder / "vocab.ende.spm").rename(folder / name)

    assert reasons_of(folder, source) == (
        "the languages are not clear from the names of the files; give both with --from and --to",
    )

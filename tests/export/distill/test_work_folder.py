"""The folder that a distillation goes on in."""

import pytest

from dragoman.export.core.errors import ExportError
from dragoman.export.distill.work_folder import alone, open_work, write_whole

OWN = {"beam_size": None, "max_tokens": 100}


@pytest.fixture
def files(tmp_path):
    model, one, two = (tmp_path / name for name in ("model", "one.en", "two.en"))
    for path in (model, one, two):
        path.write_text(path.name)
    return model, one, two


def test_the_same_command_goes_on(files, tmp_path):
    """Nothing that lies in the folder is touched."""
    model, one, _ = files
    open_work(tmp_path / "work", [model], [one], OWN)
    (tmp_path / "work/labels.jsonl").write_text("kept")

    open_work(tmp_path / "work", [model], [one], OWN)

    assert (tmp_path / "work/labels.jsonl").read_text() == "kept"


@pytest.mark.parametrize(
    ("change", "named"),
    [("teacher", "teacher_sha256"), ("order", "texts_sha256"), ("text", "texts_sha256"), ("beam", "beam_size")],
)
def test_other_work_is_refused_by_what_differs(files, tmp_path, change, named):
    """A model, a text, the order of texts, or how the teacher translates: labels of one are no labels of another."""
    model, one, two = files
    open_work(tmp_path / "work", [model], [one, two], OWN)
    texts, own = [one, two], dict(OWN)
    match change:
        case "teacher":
            model.write_text("other")
        case "order":
            texts = [two, one]
        case "text":
            one.write_text("other")
        case "beam":
            own["beam_size"] = 4

    with pytest.raises(ExportError, match=f"another {named}: name another"):
        open_work(tmp_path / "work", [model], texts, own)


def test_a_folder_with_other_files_is_refused(files, tmp_path):
    """It may be anything."""
    model, one, _ = files

    with pytest.raises(ExportError, match="holds other files"):
        open_work(tmp_path, [model], [one], OWN)


def test_two_do_not_work_in_one_folder(tmp_path):
    """Their lines would mix; after the first, however it ended, the second may."""
    with alone(tmp_path), pytest.raises(ExportError, match="another process works in"), alone(tmp_path):
        pass

    with alone(tmp_path):
        pass


def test_a_file_is_replaced_whole(tmp_path):
    """And nothing is left beside it."""
    path = tmp_path / "file"
    path.write_bytes(b"old and longer")

    write_whole(path, b"new")

    assert path.read_bytes() == b"new"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]

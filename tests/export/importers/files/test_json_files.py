"""JSON files of model folders."""

import pytest

from dragoman.export.core.errors import UnsupportedModel
from dragoman.export.core.reasons import Reasons
from dragoman.export.importers.files import json_files
from dragoman.export.importers.files.json_files import model_folder, read_json, read_json_if_there


def test_an_object_is_read(tmp_path):
    """And one of its files names the folder."""
    file, reasons = tmp_path / "config.json", Reasons()
    file.write_text('{"d_model": 512}')

    assert read_json(file, reasons) == read_json_if_there(file, reasons) == {"d_model": 512}
    assert model_folder(file) == model_folder(tmp_path) == tmp_path
    assert len(reasons) == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "config.json cannot be read: not JSON"),
        ("[]", "config.json does not hold an object"),
        ('{"a": 1, "a": 2}', "keys that come twice"),
        ('{"a": NaN}', "NaN is not a number of JSON"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a": "' + "x" * 90 + '"}', "more than the 64 that are read"),
    ],
)
def test_what_is_no_object_of_json_is_a_reason(tmp_path, monkeypatch, text, said):
    """Where two readers could understand it in two ways, it is refused as well."""
    monkeypatch.setattr(json_files, "LARGEST_JSON", 64 if "x" in text else 1 << 20)
    file, reasons = tmp_path / "config.json", Reasons()
    file.write_text(text)

    assert read_json(file, reasons) == {}

    with pytest.raises(UnsupportedModel, match=said):
        reasons.raise_if_any(tmp_path)


def test_a_file_that_may_be_absent_is_no_reason(tmp_path):
    """One that must be there is."""
    reasons = Reasons()

    assert read_json_if_there(tmp_path / "generation_config.json", reasons) == {}
    assert len(reasons) == 0
    assert read_json(tmp_path / "config.json", reasons) == {}
    assert len(reasons) == 1

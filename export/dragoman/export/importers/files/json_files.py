"""JSON files of model folders: an object, parsed strictly, or a reason against the model."""

from pathlib import Path
from typing import Any

from dragoman.bundle.codec import DecodeError, parse
from dragoman.export.core.reasons import Reasons
from dragoman.export.importers.files.texts import read_text

LARGEST_JSON = 64 << 20
Json = dict[str, Any]


def model_folder(path: Path) -> Path:
    """The directory of a model that is named by itself or by one of its files."""
    return path if path.is_dir() else path.parent


def read_json(file: Path, reasons: Reasons) -> Json:
    """The object in a JSON file; empty, with a reason, where it cannot be read or holds something else."""
    text = read_text(file, reasons, LARGEST_JSON)
    if text is None:
        return {}
    try:
        value = parse(text)
    except DecodeError as error:
        reasons.add(f"{file.name} cannot be read: {error}")
        return {}
    if not isinstance(value, dict):
        reasons.add(f"{file.name} does not hold an object")
        return {}
    return value


def read_json_if_there(file: Path, reasons: Reasons) -> Json:
    """The object in a JSON file that a model may lack; empty where there is no such file."""
    return read_json(file, reasons) if file.is_file() else {}

"""JSON files of model folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dragoman.bundle.codec import DecodeError, parse
from dragoman.export.core.reasons import Reasons

LARGEST_JSON = 64 << 20


Json = dict[str, Any]


def model_folder(path: Path) -> Path:
    """The directory of a model that is named by itself or by one of its files."""
    return path if path.is_dir() else path.parent


def read_json(file: Path, reasons: Reasons) -> Json:
    """The object in a JSON file; empty where there is none, which is then one of the reasons."""
    try:
        if file.stat().st_size > LARGEST_JSON:
            reasons.add(f"{file.name} has {file.stat().st_size} bytes, more than the {LARGEST_JSON} that are read")
            return {}
        value = parse(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, DecodeError) as error:
        reasons.add(f"{file.name} cannot be read: {error}")
        return {}
    if not isinstance(value, dict):
        reasons.add(f"{file.name} does not hold an object")
        return {}
    return value

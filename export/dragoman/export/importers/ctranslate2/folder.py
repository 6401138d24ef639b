"""How a CTranslate2 folder is recognised, and which files it has."""

import re
import struct
from pathlib import Path

from dragoman.export.importers.files.json_files import model_folder

MODEL, CONFIG, PACKAGE = "model.bin", "config.json", "metadata.json"
"""The last is what Argos Translate puts beside the folder of a model, which it calls `model`."""
TRANSFORMER = "TransformerSpec"
HEAD = struct.Struct("<IH")
NAME = re.compile(rb"(\w{1,60}Spec)\0")
NEWEST_NAMED = 255
"""No version is above it; other files begin with such numbers."""


def model_at(path: Path) -> Path:
    """The folder of the model at `path`: itself, that of its model.bin, or the one in Argos Translate's package."""
    folder = model_folder(path).resolve()
    within = folder / "model"
    is_package = path.is_dir() and (folder / PACKAGE).is_file() and not (folder / MODEL).is_file()
    return within if is_package and (within / MODEL).is_file() else folder


def package_of(folder: Path) -> Path | None:
    """The package that a model's folder lies in, as Argos Translate lays it out."""
    return folder.parent if folder.name == "model" else None


def kind_of(path: Path) -> str | None:
    """What CTranslate2 calls the kind of model at `path`; None where there is none of its."""
    file = model_at(path) / MODEL
    if not file.is_file() or (path.is_file() and path.name != MODEL):
        return None
    with file.open("rb") as stream:
        head = stream.read(HEAD.size + 64)
    name = NAME.match(head[HEAD.size :])
    if len(head) < HEAD.size or name is None:
        return None
    version, length = HEAD.unpack_from(head)
    return name[1].decode() if 1 <= version <= NEWEST_NAMED and length == len(name[0]) else None


def recognises(path: Path) -> str | None:
    """What is at `path`, if it is such a folder or its model; None if it is not."""
    kind = kind_of(path)
    return None if kind is None else "a CTranslate2 model" if kind == TRANSFORMER else f"a CTranslate2 model, {kind}"

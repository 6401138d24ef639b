"""How a CTranslate2 folder is recognised, and which files it has."""

import struct
from pathlib import Path

from dragoman.export.importers.files.json_files import model_folder

MODEL, CONFIG = "model.bin", "config.json"
KIND = b"TransformerSpec\0"
HEAD = struct.Struct("<IH")


def recognises(path: Path) -> str | None:
    """What is at `path`, if it is such a folder or its model; None if it is not."""
    file = model_folder(path) / MODEL
    if (path.is_file() and path != file) or not file.is_file():
        return None
    with file.open("rb") as stream:
        head = stream.read(HEAD.size + len(KIND))
    if len(head) < HEAD.size:
        return None
    version, length = HEAD.unpack_from(head)
    return "a CTranslate2 model" if 1 <= version < 256 and head[HEAD.size :] == KIND and length == len(KIND) else None

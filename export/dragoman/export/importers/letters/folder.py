"""How models of letters and sounds are recognised: by what the head of their file names."""

import json
import struct
import zipfile
from pathlib import Path
from typing import Any

from dragoman.export.importers.files.torch_names import UNREADABLE

LARGEST_HEADER = 1 << 20
TABLES = frozenset({"in_table", "out_table", "sos_idx", "eos_idx"})
"""What e2k writes beside its tensors."""
ARRAY = "enc_w_ih.npy"


def recognises(path: Path) -> str | None:
    """What is at `path`, if it is a file of g2p-en or e2k; None if it is not."""
    if path.suffix == ".safetensors" and path.is_file() and metadata(path).keys() >= TABLES:
        return "e2k's model"
    if path.suffix == ".npz" and zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                return "g2p-en's model" if ARRAY in archive.namelist() else None
        except UNREADABLE:
            return None
    return None


def metadata(path: Path) -> dict[str, Any]:
    """What a safetensors file says beside its tensors; nothing where it cannot be read."""
    with path.open("rb") as file:
        head = file.read(8)
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
        try:
            header = json.loads(file.read(length)) if 0 < length <= LARGEST_HEADER else {}
        except (ValueError, RecursionError):
            return {}
    found = header.get("__metadata__") if isinstance(header, dict) else None
    return found if isinstance(found, dict) else {}

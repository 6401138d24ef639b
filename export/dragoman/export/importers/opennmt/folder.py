"""How a checkpoint of OpenNMT-py is recognised: by what its pickle names."""

import zipfile
from pathlib import Path

from dragoman.export.importers.files.torch_names import UNREADABLE, main_pickle

SUFFIX = ".pt"
NAMED = (b"generator", b"vocab", b"decoder_type", b"src_word_vec_size")
"""What it saves, and what options of its are called."""


def checkpoint_of(path: Path) -> Path | None:
    """The checkpoint at `path`: itself, or the only one of a folder."""
    if path.is_dir():
        files = [file for file in sorted(path.glob(f"*{SUFFIX}")) if _is_saved_by_opennmt(file)]
        return files[0] if len(files) == 1 else None
    return path if path.suffix == SUFFIX and _is_saved_by_opennmt(path) else None


def recognises(path: Path) -> str | None:
    """What is at `path`, if it is such a checkpoint or a folder with one; None if it is not."""
    file = checkpoint_of(path)
    return None if file is None else f"OpenNMT-py's {file.name}"


def _is_saved_by_opennmt(path: Path) -> bool:
    """Nothing is loaded for that."""
    try:
        if not zipfile.is_zipfile(path):
            return False
        with zipfile.ZipFile(path) as archive:
            pickled = main_pickle(archive)
    except UNREADABLE:
        return False
    return all(word in pickled for word in NAMED)

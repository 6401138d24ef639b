"""How a folder or file of fairseq's is recognised, and which of several checkpoints is meant."""

import zipfile
from pathlib import Path

from dragoman.export.core.reasons import Reasons
from dragoman.export.importers.fairseq.dictionary import dictionaries
from dragoman.export.importers.files.torch_names import LEGACY_MAGIC, UNREADABLE, main_pickle

SUFFIX = ".pt"
CHECKPOINTS = ("model.pt", "checkpoint_best.pt", "checkpoint_last.pt")
"""What is meant where a folder holds several, and what archives call theirs."""
SAVED_BY_FAIRSEQ = (b"optimizer_history", b"extra_state", b"task_state")
HEAD = 1 << 20


def recognises(path: Path) -> str | None:
    """What is at `path`, if it is a fairseq checkpoint or a folder of one; None if it is not."""
    if path.is_dir():
        files = sorted(path.glob(f"*{SUFFIX}"))
        if not files or not (dictionaries(path) or any(map(_is_saved_by_fairseq, files))):
            return None
        chosen = choose_file(path, Reasons())
        what = chosen.name if chosen is not None else f"{len(files)} checkpoints"
    elif path.suffix == SUFFIX and (dictionaries(path.parent) or _is_saved_by_fairseq(path)):
        what = path.name
    else:
        return None
    beside = ", ".join(file.name for file in dictionaries(path if path.is_dir() else path.parent).values())
    return f"fairseq's {what} with {beside or 'no dictionary'}"


def choose_file(path: Path, reasons: Reasons) -> Path | None:
    """The checkpoint that `path` is, or that the folder holds; None, with a reason, where that is unclear."""
    if path.is_file():
        return path
    names = sorted(file.name for file in path.glob(f"*{SUFFIX}"))
    named = next((name for name in CHECKPOINTS if name in names), None)
    if named is None and len(names) == 1:
        [named] = names
    if named is None:
        several = f"{', '.join(names[:4])}{' and more' if len(names) > 4 else ''}: name the one to export"
        reasons.add(f"the folder holds {several if names else f'no {SUFFIX} file'}")
        return None
    return path / named


def _is_saved_by_fairseq(path: Path) -> bool:
    """Whether the pickle of a file has what fairseq saves beside a model. Nothing is loaded for that."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                pickled = main_pickle(archive)
        else:
            with path.open("rb") as file:
                pickled = file.read(HEAD)
            if not pickled.startswith(LEGACY_MAGIC):
                return False
    except UNREADABLE:
        return False
    return any(word in pickled for word in SAVED_BY_FAIRSEQ)

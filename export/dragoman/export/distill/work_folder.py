"""The folder in which a distillation keeps what it has done, so that the same command goes on where it was stopped.

distill.json      what it is the work of: another model, text or seed needs another folder
teacher/          the teacher as a bundle
labels.jsonl      what the teacher says of each line
ids.npz           pairs that are learnt from, and dropped.json why the others are not
encoded.f16, decoded.f16, states.done
KIND.pt           a decoder's checkpoint
report.json, report.svg
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from dragoman.export.core.errors import ExportError

IDENTITY_FILE, LOCK_FILE = "distill.json", "lock"


@dataclass(frozen=True)
class Identity:
    """What must be the same for work to go on."""

    teacher_sha256: dict[str, str]
    texts_sha256: dict[str, str]
    """In the order in which they were given."""
    beam_size: int | None
    max_tokens: int


def sha256(path: Path) -> str:
    """Of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_work(
    directory: Path, teacher_files: Sequence[Path], texts: Sequence[Path], own: dict[str, int | None]
) -> None:
    """Begin in a folder, or make sure that what lies there is of the same work."""
    digests = ({path.name: sha256(path) for path in paths} for paths in (teacher_files, texts))
    identity = asdict(Identity(*digests, **own))  # type: ignore[arg-type]
    path = directory / IDENTITY_FILE
    if not path.exists():
        if directory.exists() and any(directory.iterdir()):
            raise ExportError(f"{directory} holds other files: name an empty or new folder with --work")
        directory.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(identity, indent=2).encode())
        return
    found = json.loads(path.read_text(encoding="utf-8"))
    other = [name for name in identity if list_of(found.get(name)) != list_of(identity[name])]
    if other:
        raise ExportError(
            f"{directory} holds work with another {' and '.join(other)}: name another folder with --work, or delete it"
        )


@contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Keep others out of a folder for as long as this process works there; a killed one keeps nobody out."""
    with (directory / LOCK_FILE).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ExportError(f"another process works in {directory}: wait for it, or name another --work") from error
        yield


def list_of(value: object) -> object:
    """With the order of a table's entries, which a comparison of tables leaves out."""
    return list(value.items()) if isinstance(value, dict) else value


def write_whole(path: Path, content: bytes) -> None:
    """A file is there with all its content, or as it was."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)

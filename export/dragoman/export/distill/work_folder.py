"""The folder in which a distillation keeps what it has done, so that the same command goes on where it was stopped.

distill.json      what the work is on: another model, text or beam size needs another folder
teacher/          the teacher as a bundle
labels.jsonl      what the teacher says of each line
ids.npz           pairs that are learnt from; dropped.json: why the others are not
encoded.f16, decoded.f16, states.done
                  the teacher's rows, and how many pairs have theirs
KIND.pt           a decoder's checkpoint
report.svg        loss and quality of every training
"""

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from dragoman.export.core.digests import sha256
from dragoman.export.core.errors import ExportError

IDENTITY_FILE, LOCK_FILE = "distill.json", "lock"


@dataclass(frozen=True)
class Identity:
    """What must be the same for a work folder to be used again."""

    teacher_sha256: dict[str, str]
    texts_sha256: dict[str, str]
    """The digests of the texts, in the order in which they were given."""
    beam_size: int | None
    max_tokens: int


def open_work(
    directory: Path, teacher_files: Sequence[Path], texts: Sequence[Path], options: dict[str, int | None]
) -> None:
    """Begin in a folder, or make sure that what lies there belongs to the same work."""
    digests = ({path.name: sha256(path) for path in paths} for paths in (teacher_files, texts))
    identity = asdict(Identity(*digests, **options))  # type: ignore[arg-type]
    path = directory / IDENTITY_FILE
    if not path.exists():
        if directory.exists() and any(directory.iterdir()):
            raise ExportError(f"{directory} holds other files: name an empty or new folder with --work")
        directory.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(identity, indent=2).encode())
        return
    known = json.loads(path.read_text(encoding="utf-8"))
    other = [name for name in identity if list_of(known.get(name)) != list_of(identity[name])]
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
    """A table as a list of its entries, so that a comparison minds their order."""
    return list(value.items()) if isinstance(value, dict) else value


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it has all of its content, or is as it was, whenever the process ends."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)

"""The glossaries of a folder, which requests name: NAME.tsv for all models, MODEL/NAME.tsv for the model of that name.

A glossary of a model's own stands before one for all. Files are read again when they change and lie still: of what
somebody writes at the moment half could be read. One that cannot be read or is no glossary leaves those terms in force
that were read before it.
"""

import logging
import math
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

from dragoman.glossary.terms import GlossaryError, Term, read_terms
from dragoman.server.core import logs
from dragoman.server.core.errors import InvalidRequest, StartError, quoted
from dragoman.server.text.terms import Glossary, TermFinder

_logger = logging.getLogger(__name__)

SUFFIX = ".tsv"
MAX_FILE_BYTES = 64 << 20
MAX_GLOSSARIES = 16
"""A request may name so many."""

STILL_S = 1.0
"""What has not changed for so long is whole."""
LOOKS = 3
"""How often one look waits for files to lie still; the next one is not far."""

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_Stamp = tuple[int, int, int, int]


@dataclass
class _File:
    """A file of the folder: what it was when it was looked at, and the last terms in it that could be read."""

    stamp: _Stamp
    glossary: Glossary | None = None


class Glossaries:
    """Follows a folder, or knows no glossary where there is none. Any thread may use it."""

    def __init__(
        self, folder: str = "", on_read: Callable[[str], None] = lambda _: None, *, still_s: float = STILL_S
    ) -> None:
        """Each file that is read is told to `on_read`: `taken`, or `kept_old`."""
        self._still_s = still_s
        self._turn = threading.Lock()
        self._folder = Path(folder).absolute() if folder else None
        self._on_read = on_read
        self._files: dict[Path, _File] = {}
        self._known: dict[tuple[str, str], Glossary] = {}
        if self._folder is not None:
            if not self._folder.is_dir():
                raise StartError(f"--glossaries {self._folder}: no such directory")
            if problems := list(self._look(self._folder, math.inf)):
                raise StartError("\n".join(problems))

    def __repr__(self) -> str:
        return f"<Glossaries {self._folder or 'none'}, {len(self._known)} known>"

    def of_model(self, model: str) -> list[Glossary]:
        """Those that requests for a model may name, by name."""
        known = self._known
        names = {name for owner, name in known if owner in ("", model)}
        return [known.get((model, name)) or known["", name] for name in sorted(names)]

    def named(self, names: Sequence[str], model: str) -> list[Glossary]:
        """The glossaries that a request names."""
        if len(names) > MAX_GLOSSARIES:
            raise InvalidRequest("glossaries", f"{len(names)} glossaries, the limit is {MAX_GLOSSARIES}")
        known = {glossary.name: glossary for glossary in self.of_model(model)} if names else {}
        for number, name in enumerate(names):
            if name not in known:
                there = f"there are {', '.join(known)}" if known else "the server has none"
                way_out = "name one of them" if known else "send its terms in terms"
                raise InvalidRequest(
                    f"glossaries[{number}]", f"no glossary for {model} is called {quoted(name)}; {there}: {way_out}"
                )
        return [known[name] for name in dict.fromkeys(names)]

    def look(self) -> None:
        """Read what has changed since the last look. Waits a moment for files that change just now."""
        folder = self._folder
        with self._turn:
            for attempt in range(LOOKS if folder is not None else 0):
                assert folder is not None, "there are no looks without a folder"
                if attempt:
                    time.sleep(self._still_s)
                for problem in self._look(folder, time.time() - self._still_s):
                    logs.event(_logger, logging.ERROR, "glossary_not_taken", reason=problem)
                if not self._has_moving:
                    return

    def _look(self, folder: Path, still_since_s: float) -> Iterator[str]:
        """Read what has changed, and lies still since then; says what is wrong with it."""
        found = _files_in(folder)
        self._has_moving = False
        if found is None:  # the whole folder is away, and with it nothing that is in force
            yield f"{folder}: cannot be read"
            return
        for path in self._files.keys() - found.keys():
            del self._files[path]
        for path, stamp in found.items():
            file = self._files.get(path)
            if file is not None and file.stamp == stamp:
                continue
            if stamp[-1] > still_since_s * 1e9:
                self._has_moving = True
                continue
            file = self._files.setdefault(path, _File(stamp))
            file.stamp = stamp
            try:
                file.glossary = Glossary(path.name.removesuffix(SUFFIX), TermFinder(_read(path)))
            except (OSError, ValueError) as error:
                self._on_read("kept_old")
                yield f"{path}: {error}"
            else:
                self._on_read("taken")
                logs.event(_logger, logging.INFO, "glossary_taken", file=str(path), terms=len(file.glossary.finder))
        # As a whole, so that whoever reads on another thread has either all that was or all that is.
        self._known = {
            (path.parent.name if path.parent != folder else "", file.glossary.name): file.glossary
            for path, file in self._files.items()
            if file.glossary is not None
        }


def _read(path: Path) -> tuple[Term, ...]:
    if path.stat().st_size > MAX_FILE_BYTES:
        raise GlossaryError(f"larger than {MAX_FILE_BYTES >> 20} MiB")
    text = path.read_text("utf-8")
    if text and not text.endswith("\n"):
        raise GlossaryError("its last line has no end, so it may be half written")
    return read_terms(text)


def _files_in(folder: Path) -> dict[Path, _Stamp] | None:
    """The files of a folder and of the folders in it, and what changes with each; None where it cannot be read."""
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return None
    found: dict[Path, _Stamp] = {}
    for entry in (file for each in entries for file in (_entries(each) if each.is_dir() else [each])):
        name = entry.name.removesuffix(SUFFIX)
        if not entry.name.endswith(SUFFIX) or entry.name.startswith(".") or not _NAME.fullmatch(name):
            continue
        try:
            status = os.stat(entry)
        except OSError:
            continue  # gone in the meantime
        if S_ISREG(status.st_mode):  # whoever opens a named pipe waits for ever
            found[entry] = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return found


def _entries(folder: Path) -> list[Path]:
    try:
        return [] if folder.name.startswith(".") else sorted(entry for entry in folder.iterdir() if entry.is_file())
    except OSError:
        return []

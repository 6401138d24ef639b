"""What an interrupted run has translated, beside the file that it was to write.

A journal is a file of JSON lines. The first says with which options and by whom its translations were made; those of
others are not taken up. Each further line is a text and its translation, written as soon as it comes. A translation is
found by its text, so what was changed in the document since is translated, and nothing else. The journal goes away with
the run that leaves no text without a translation.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from dragoman.client.documents.document import Markup

Entry = tuple[str, str]
"""A translation, and what a reader must know about it; empty if nothing."""
Key = tuple[Markup, str]
SUFFIX = ".unfinished"


def journal_of(target: Path) -> Path:
    """Where the journal of a file lies."""
    return target.with_name(target.name + SUFFIX)


class Journal:
    """A journal that is being written. A context manager."""

    def __init__(self, path: Path, settings: Mapping[str, Any], *, is_new: bool = False) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        header = json.dumps({"dragoman": 1, **settings}, ensure_ascii=False, default=str, sort_keys=True)
        self._header = header.encode("utf-8", "backslashreplace")
        self._entries: dict[Key, Entry] = {} if is_new else self._read()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()

    def known(self, *, in_place: bool) -> Mapping[Key, Entry]:
        """What an earlier run has left. Where it may have written over its own source, translations are done, too."""
        done = {(markup, text): (text, problem) for (markup, _), (text, problem) in self._entries.items()}
        return {**(done if in_place else {}), **self._entries}

    def add(self, key: Key, entry: Entry) -> None:
        """Keep a translation. It is in the file when this returns."""
        markup, text = key
        translation, problem = entry
        line = {"markup": markup, "text": text, "translation": translation} | ({"problem": problem} if problem else {})
        file = self._file = self._file or self._opened()
        file.write(json.dumps(line).encode() + b"\n")

    def remove(self) -> None:
        """Nothing is missing any more."""
        self.__exit__()
        self._path.unlink(missing_ok=True)

    def _opened(self) -> BinaryIO:
        """The file, from its beginning where nothing in it counts. Not buffered: what was added survives a kill."""
        if not self._entries:
            file = self._path.open("wb", buffering=0)
            file.write(self._header + b"\n")
            return file
        file = self._path.open("ab", buffering=0)
        file.write(b"\n")  # the last line may have been cut off
        return file

    def _read(self) -> dict[Key, Entry]:
        entries: dict[Key, Entry] = {}
        try:
            header, *lines = self._path.read_bytes().split(b"\n")
        except (FileNotFoundError, NotADirectoryError):
            return entries
        if header != self._header:
            return entries
        for line in lines:
            with suppress(ValueError, KeyError, TypeError):  # cut off
                found = json.loads(line)
                key = Markup(found["markup"]), str(found["text"])
                entries[key] = str(found["translation"]), str(found.get("problem", ""))
        return entries

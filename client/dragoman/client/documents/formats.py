"""The formats of documents: by name, by the end of a file's name, and what may be asked of each."""

import importlib
from dataclasses import dataclass
from pathlib import PurePath
from typing import Protocol, cast

from dragoman.client.documents.document import Document, DocumentOptions
from dragoman.client.documents.errors import DocumentError


class Reader(Protocol):
    """What the module of a format offers."""

    def read(self, data: bytes, options: DocumentOptions) -> Document:
        """Read a file. Raises DocumentError where it is not of the format."""


@dataclass(frozen=True)
class Format:
    """A kind of file."""

    name: str
    suffixes: tuple[str, ...]
    module: str
    knows: frozenset[str] = frozenset({"encoding"})
    """Which of the options it has a use for."""


_PACKAGE = "dragoman.client.documents"
FORMATS = (
    Format("txt", (".txt", ".text"), f"{_PACKAGE}.plain_text"),
    Format("md", (".md", ".markdown"), f"{_PACKAGE}.markdown"),
    Format("html", (".html", ".htm"), f"{_PACKAGE}.html_pages"),
    Format("srt", (".srt",), f"{_PACKAGE}.subtitles"),
    Format("vtt", (".vtt",), f"{_PACKAGE}.subtitles"),
    Format("po", (".po", ".pot"), f"{_PACKAGE}.po", frozenset({"encoding", "only_missing"})),
    Format("xliff", (".xlf", ".xliff"), f"{_PACKAGE}.xliff", frozenset({"encoding", "only_missing"})),
    Format("docx", (".docx", ".docm"), f"{_PACKAGE}.docx", frozenset()),
    Format("json", (".json",), f"{_PACKAGE}.json_strings", frozenset({"encoding", "keys"})),
    Format("yaml", (".yaml", ".yml"), f"{_PACKAGE}.yaml_strings", frozenset({"encoding", "keys"})),
)
NAMES = tuple(known.name for known in FORMATS)
_FLAGS = {"encoding": "--encoding", "keys": "--keys", "only_missing": "--only-missing"}


def format_for(path: PurePath | None, name: str | None) -> Format:
    """The format that is named, or else that of the name's end. Raises DocumentError where neither says one."""
    suffix = path.suffix.lower() if path else ""
    for known in FORMATS:
        if name == known.name or (name is None and suffix in known.suffixes):
            return known
    asked = f"{name!r} is no format of documents." if name else "what format is it?"
    raise DocumentError(f"{asked} Name one of {', '.join(NAMES)} (in_format, --in-format)")


def read_document(data: bytes, kind: Format, options: DocumentOptions) -> Document:
    """A document. Raises DocumentError, also for an option that its format has no use for."""
    for name, flag in _FLAGS.items():
        if getattr(options, name) and name not in kind.knows:
            knowing = ", ".join(known.name for known in FORMATS if name in known.knows)
            raise DocumentError(f"{flag} is for {knowing}, this is {kind.name}")
    return _reader(kind).read(data, options)


def _reader(kind: Format) -> Reader:
    try:
        return cast(Reader, importlib.import_module(kind.module))
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "dragoman":
            raise
        raise DocumentError(f"{kind.name} needs {error.name}: pip install 'dragoman[documents]'") from error

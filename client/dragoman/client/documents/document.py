"""A document: units to translate, and where their translations go. No input, no output.

A format reads a file into units and edits. An edit is a stretch of the file, the units whose translations it needs and
a function that writes them as the format wants it. What lies outside of edits is never touched, so it comes back to the
last byte; an edit is made when all of its units have a translation.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import AnyStr, Generic, Protocol

from dragoman.client.documents.errors import Unwritable


class Markup(StrEnum):
    """What else than words a unit's text holds, and who has to keep it in place."""

    NONE = "none"
    HTML = "html"
    XML = "xml"
    MARKDOWN = "markdown"


@dataclass(frozen=True)
class Unit:
    """A text that is translated by itself."""

    text: str
    place: str
    """Where it stands, for messages: "line 3", "menu.title"."""
    markup: Markup = Markup.NONE


@dataclass(frozen=True)
class DocumentOptions:
    """How a document is read and what of it is translated; which of it a format knows is in `formats`."""

    in_format: str | None = None
    """None: that of the name's end."""
    encoding: str | None = None
    """None: what the file says, or else UTF-8."""
    keys: tuple[str, ...] = ()
    """Which strings of JSON and YAML: see `keys`. Empty: all."""
    only_missing: bool = False
    """Leave what has a translation."""
    target_language: str | None = None
    """What the document is to say of its language. None: what the call for translations names."""


@dataclass(frozen=True)
class Written:
    """A document with translations in it."""

    data: bytes
    refused: Mapping[int, str]
    """Units whose translation could not be written, and why."""


class Document(Protocol):
    """A file that was read."""

    @property
    def units(self) -> Sequence[Unit]:
        """In the order of the file."""

    def written(self, translations: Sequence[str | None]) -> Written:
        """The file with translations; where one is None, what stands there stays."""


Render = Callable[[Sequence[str]], AnyStr]
"""Writes the translations of an edit's units. Raises Unwritable for what its place cannot hold."""


@dataclass(frozen=True)
class Edit(Generic[AnyStr]):
    """A stretch of the file that translations replace."""

    start: int
    end: int
    units: tuple[int, ...]
    """Their positions; none: the edit is made where any other is."""
    render: Render[AnyStr]
    holds_source: bool = True
    """Whether the stretch is the units' own text: what translates to itself then stays as it was written."""


def spliced(
    content: AnyStr, edits: Sequence[Edit[AnyStr]], units: Sequence[Unit], translations: Sequence[str | None]
) -> tuple[AnyStr, dict[int, str]]:
    """The content with all edits that can be made, and the units that were refused. Edits lie apart."""
    refused: dict[int, str] = {}
    made: list[tuple[Edit[AnyStr], AnyStr]] = []
    for edit in edits:
        texts = [translation for index in edit.units if (translation := translations[index]) is not None]
        if not edit.units or len(texts) < len(edit.units):
            continue
        if edit.holds_source and all(text == units[index].text for text, index in zip(texts, edit.units, strict=True)):
            continue
        try:
            made.append((edit, edit.render(texts)))
        except Unwritable as error:
            refused |= dict.fromkeys(edit.units, str(error))
    made = [(edit, text) for edit, text in made if refused.keys().isdisjoint(edit.units)]
    if made:
        made += [(edit, edit.render([])) for edit in edits if not edit.units]
    parts = []
    position = 0
    for edit, text in sorted(made, key=lambda pair: (pair[0].start, pair[0].end)):
        assert position <= edit.start <= edit.end, "edits lie apart"
        parts.append(content[position : edit.start])
        parts.append(text)
        position = edit.end
    parts.append(content[position:])
    return content[:0].join(parts), refused

"""Inline elements as plain marks: what a server gets of them, and what comes back of it.

A server knows neither XLIFF nor Word. It gets a text with `<g id="1">` around what an element stands around, and
`<x id="2"/>` for what is no text at all, and the elements take their places again in what comes back.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import unescape

from dragoman.client.documents.errors import Unwritable

_MARK = re.compile(r'<g id="(?P<open>\d+)">|(?P<close></g>)|<x id="(?P<void>\d+)"/>')


@dataclass(frozen=True)
class Inline:
    """What one element is written as: around a text, or with nothing within."""

    before: str
    after: str | None = None
    """None: it has no text within."""


class Marks:
    """A text in the making, with marks for elements."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._inlines: list[Inline] = []

    def text(self, text: str) -> None:
        """Characters."""
        self._parts.append(text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))

    def void(self, written: str) -> None:
        """Something that has no text within."""
        self._inlines.append(Inline(written))
        self._parts.append(f'<x id="{len(self._inlines)}"/>')

    def open(self, before: str, after: str) -> None:
        """The beginning of something that stands around a text."""
        self._inlines.append(Inline(before, after))
        self._parts.append(f'<g id="{len(self._inlines)}">')

    def close(self) -> None:
        """The end of what was opened last."""
        self._parts.append("</g>")

    @property
    def source(self) -> str:
        """What is to be translated."""
        return "".join(self._parts)

    @property
    def inlines(self) -> Sequence[Inline]:
        """The elements, by their marks."""
        return tuple(self._inlines)


@dataclass(frozen=True)
class Place:
    """Where an element begins or ends in a translation, or stands whole."""

    number: int
    """Of the element, from 0."""
    inline: Inline
    is_end: bool = False

    @property
    def written(self) -> str:
        """What stands there."""
        return (self.inline.after or "") if self.is_end else self.inline.before


def parts(translation: str, inlines: Sequence[Inline]) -> Iterator[str | Place]:
    """A translation's texts, as characters, and the places of the elements between them.

    Raises Unwritable unless each mark has come back once and they nest.
    """
    seen = Counter(match["open"] or match["void"] for match in _MARK.finditer(translation) if not match["close"])
    if seen != Counter(str(number) for number in range(1, len(inlines) + 1)):
        raise Unwritable("the translation has lost the place of some mark-up")
    position = 0
    opened: list[tuple[int, Inline]] = []
    for match in _MARK.finditer(translation):
        yield unescape(translation[position : match.start()])
        position = match.end()
        if match["close"]:
            if not opened:
                raise Unwritable("the mark-up of the translation does not nest")
            yield Place(*opened.pop(), is_end=True)
            continue
        number = int(match["open"] or match["void"]) - 1
        inline = inlines[number]
        if (inline.after is None) == (match["void"] is None):
            raise Unwritable("the translation has changed some mark-up")
        if inline.after is not None:
            opened.append((number, inline))
        yield Place(number, inline)
    if opened:
        raise Unwritable("the mark-up of the translation does not nest")
    yield unescape(translation[position:])


def placed(translation: str, inlines: Sequence[Inline], text: Callable[[str], str]) -> str:
    """A translation with the elements in the places of their marks; `text` writes what stands between."""
    return "".join(part.written if isinstance(part, Place) else text(part) for part in parts(translation, inlines))

"""A text with mark-up, taken apart: blocks of plain text, and for everything else where it stands in the source.

Nothing but blocks is ever written anew. What is not text (tags, comments, code) is known by its span alone, and goes
out as the slice of the source that it is.
"""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from dragoman.server.core.spans import Span


class Piece(NamedTuple):
    """A stretch of a block's text and of the source that it was read from. Equal lengths: character by character."""

    at: int
    """Where it begins in the text; it ends where the next one begins."""
    source: Span


class TextMap:
    """Where the characters of a block's text stand in the source."""

    def __init__(self, pieces: tuple[Piece, ...], length: int) -> None:
        self._pieces, self._length = pieces, length
        self._starts = [piece.at for piece in pieces]

    def span(self, span: Span) -> Span:
        """The stretch of the source that a stretch of the text was read from; of an empty one, the place."""
        if span.start >= span.end:
            place = self._side(min(span.start, self._length - 1), is_end=span.start >= self._length)
            return Span(place, place)
        return Span(self._side(span.start, is_end=False), self._side(span.end - 1, is_end=True))

    def _side(self, position: int, *, is_end: bool) -> int:
        index = bisect_right(self._starts, position) - 1
        at, source = self._pieces[index]
        until = self._starts[index + 1] if index + 1 < len(self._starts) else self._length
        if source.end - source.start == until - at:
            return source.start + position - at + is_end
        return source.end if is_end else source.start


class Mark(NamedTuple):
    """What stands around a stretch of a block's text. Where the stretch is empty, all of it is `before`.

    A mark that began in another block has nothing before, one that ends in another block nothing behind.
    """

    start: int
    end: int
    before: Span | None
    after: Span | None

    @property
    def is_void(self) -> bool:
        """Whether it stands at a place and around nothing."""
        return self.start == self.end and self.before is not None and self.after is None


class Atom(NamedTuple):
    """A stretch of a block's text that comes back as the slice of the source that it is, such as inline code."""

    span: Span
    source: Span


class Notation(Protocol):
    """How text is written in a kind of mark-up."""

    def escaped(self, text: str, start: int, end: int, *, strictly: bool) -> str:
        """A stretch of a text; strictly, with every character escaped that could mean something."""
        ...

    def holds(self, source: str, written: str) -> bool:
        """Whether a stretch of mark-up has in it what another one has."""
        ...


class Escaping(NamedTuple):
    """A notation in which no character means more than itself once it is escaped."""

    escape: Callable[[str], str]

    def escaped(self, text: str, start: int, end: int, *, strictly: bool) -> str:  # noqa: ARG002 - it always is
        """A stretch of a text."""
        return self.escape(text[start:end])

    def holds(self, source: str, written: str) -> bool:  # noqa: ARG002 - by construction
        """Always: no text can change what is around it."""
        return True


@dataclass(frozen=True)
class Block:
    """Text that belongs together, such as a paragraph: entities are decoded, white space is what a reader sees."""

    text: str
    map: TextMap
    marks: tuple[Mark, ...]
    """In the order in which they begin; of those that begin together, the outer ones first."""
    atoms: tuple[Atom, ...]
    notation: Notation
    region: Span
    """All of the source that it was read from, perhaps with other blocks beside it."""


@dataclass(frozen=True)
class Document:
    """A text with mark-up: its blocks, in the order of the source, and apart those that are attributes of tags."""

    source: str
    blocks: tuple[Block, ...]
    attributes: tuple[Block, ...] = ()
    edits: tuple[tuple[Span, str], ...] = ()
    """What goes out otherwise than it stands, as the names of links that were called by their text."""

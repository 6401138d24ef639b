"""The way back: a text with mark-up whose passages are translated.

Everything between passages goes out as it stands in the source. A passage is written escaped, with its marks, and with
what comes back as it was; one whose translation is what it was goes out as it stands, too.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from sys import maxsize
from typing import NamedTuple, Protocol

from dragoman.server.core.spans import Span
from dragoman.server.text.markup.document import Piece, TextMap
from dragoman.server.text.markup.passages import Passage
from dragoman.server.text.markup.placing import Insertion


class Replacement(NamedTuple):
    """A stretch of a text in whose place something stands that is not escaped."""

    span: Span
    written: str


@dataclass(frozen=True)
class Translated:
    """What a passage became. What is inserted and what is replaced is in order."""

    text: str
    insertions: Sequence[Insertion] = ()
    replacements: Sequence[Replacement] = ()


class Spans(Protocol):
    """Where stretches of a passage's translation are in what was written."""

    def span(self, span: Span) -> Span:
        """The place of a stretch that is not empty."""
        ...


class WrittenText(NamedTuple):
    """A text with mark-up, and where each passage's translation is in it."""

    text: str
    spans: tuple[Span, ...]
    maps: tuple[Spans, ...]


def write(
    source: str, passages: Sequence[Passage], attributes: Sequence[Passage], translated: Sequence[Translated]
) -> WrittenText:
    """A source whose passages are translated, those of blocks first, then those of attributes."""
    own, values = translated[: len(passages)], translated[len(passages) :]
    writer = _MarkupWriter(source, list(zip(attributes, values, strict=True)))
    places: list[tuple[Span, Spans]] = []
    for passage, text in zip(passages, own, strict=True):
        writer.source_until(passage.source.start)
        places.append(writer.passage(passage, text))
    writer.source_until(len(source))
    places += (writer.values[passage.source] for passage in attributes)
    return WrittenText(writer.text, tuple(span for span, _ in places), tuple(spans for _, spans in places))


class _Unchanged:
    """A passage that goes out as it stands, but for the values of attributes in it."""

    def __init__(self, passage: Passage, slices: Sequence[tuple[int, int]]) -> None:
        """`slices` are where slices of the source begin, and where they were written."""
        self._passage, self._slices = passage, slices

    def span(self, span: Span) -> Span:
        start, end = self._passage.source_of(span)
        return Span(self._moved(start), self._moved(end - 1) + 1)

    def _moved(self, position: int) -> int:
        start, written = self._slices[bisect_right(self._slices, (position, maxsize)) - 1]
        return position - start + written


class _MarkupWriter:
    """Writes from the beginning of the source to its end. Values of attributes are written where their tags are."""

    def __init__(self, source: str, values: list[tuple[Passage, Translated]]) -> None:
        self._source = source
        self._waiting = sorted(values, key=lambda pair: pair[0].source)
        self._starts = [passage.source.start for passage, _ in self._waiting]
        self._parts: list[str] = []
        self._length = self._reached = 0
        self.values: dict[Span, tuple[Span, Spans]] = {}
        """Where the values of attributes were written, by where they were in the source."""

    @property
    def text(self) -> str:
        """All that was written."""
        return "".join(self._parts)

    def source_until(self, end: int) -> None:
        """The source from where it was left, up to a position."""
        self._slice(Span(self._reached, end))
        self._reached = end

    def passage(self, passage: Passage, translated: Translated) -> tuple[Span, Spans]:
        """A passage, at its place. Returns where it and its text are."""
        self._reached = passage.source.end
        return self._passage(passage, translated, self._values_within(passage.source))

    def _passage(self, passage: Passage, translated: Translated, values: range) -> tuple[Span, Spans]:
        start = self._length
        if translated.text == passage.text:
            slices = list(self._slices(passage.source, values))
            return Span(start, self._length), _Unchanged(passage, slices)
        text, position, pieces = translated.text, 0, list[Piece]()
        for at, written, until in _steps(translated):
            self._text(text, position, at, passage.block.escape, pieces)
            begun = self._length
            if isinstance(written, Insertion):
                self._put(written.before)
                self._slice(written.source)
                self._put(written.after)
            else:
                self._put(written)
                pieces.append(Piece(at, Span(begun, self._length)))
            position = until
        self._text(text, position, len(text), passage.block.escape, pieces)
        return Span(start, self._length), TextMap(tuple(pieces), len(text))

    def _slice(self, span: Span) -> None:
        for _ in self._slices(span, self._values_within(span)):
            pass

    def _slices(self, span: Span, values: range) -> Iterator[tuple[int, int]]:
        """Write a slice of the source, with the new values of attributes in it. Yields where each part between these
        begins, and where it is written.
        """
        position = span.start
        for index in values:
            passage, translated = self._waiting[index]
            yield position, self._length
            self._put(self._source[position : passage.source.start])
            self.values[passage.source] = self._passage(passage, translated, range(0))
            position = passage.source.end
        yield position, self._length
        self._put(self._source[position : span.end])

    def _values_within(self, span: Span) -> range:
        return range(bisect_left(self._starts, span.start), bisect_left(self._starts, span.end))

    def _text(self, text: str, start: int, end: int, escape: Callable[[str], str], pieces: list[Piece]) -> None:
        for at, written in _escaped(text, start, end, escape):
            pieces.append(Piece(at, Span(self._length, self._length + len(written))))
            self._put(written)

    def _put(self, written: str) -> None:
        if written:
            self._parts.append(written)
            self._length += len(written)


def _escaped(text: str, start: int, end: int, escape: Callable[[str], str]) -> Iterator[tuple[int, str]]:
    """A stretch of text as it is written: at once where it is written as it is, else character by character."""
    stretch = text[start:end]
    written = escape(stretch)
    one_by_one = [stretch] if written == stretch else list(map(escape, stretch))
    if "".join(one_by_one) != written:  # what is escaped depends on what is beside it
        one_by_one = [written]
    for position, character in enumerate(one_by_one, start):
        if character:
            yield position, character


def _steps(translated: Translated) -> Iterator[tuple[int, Insertion | str, int]]:
    """What is written besides the text: from where, what, and to where it stands for the text."""
    waiting = list(reversed(translated.replacements))
    reached = 0
    for insertion in translated.insertions:
        while waiting and waiting[-1].span.start < insertion.at:
            span, written = waiting.pop()
            yield span.start, written, span.end
            reached = span.end
        at = max(insertion.at, reached)
        yield at, insertion, at
    for span, written in reversed(waiting):
        yield span.start, written, span.end

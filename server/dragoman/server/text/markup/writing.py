"""The way back: a text with mark-up whose passages are translated.

Everything between passages goes out as it stands in the source. A passage is written escaped, with its marks, and with
what comes back as it was; one whose translation is what it was goes out as it stands, too.
"""

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from sys import maxsize
from typing import NamedTuple, Protocol

from dragoman.server.core.spans import Span
from dragoman.server.text.markup.document import Document, Notation, Piece, TextMap
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


@dataclass(frozen=True)
class WrittenText:
    """A text with mark-up, and where each passage's translation is in it."""

    text: str
    spans: tuple[Span, ...]
    maps: tuple[Spans, ...]
    slices: Sequence[tuple[int, int]]
    """Where slices of the source begin, in order, and where they were written."""
    unwritten: frozenset[int]
    """The passages whose translations would have meant more than they say: they are as they were."""

    def outside(self, span: Span) -> Span:
        """Where a stretch of the source is that is in no passage."""
        start, written = self.slices[bisect_right(self.slices, (span.start, maxsize)) - 1]
        return Span(span.start - start + written, span.end - start + written)


def write(
    document: Document, passages: Sequence[Passage], attributes: Sequence[Passage], translated: Sequence[Translated]
) -> WrittenText:
    """A document whose passages are translated, those of blocks first, then those of attributes.

    A region in which a text would mean more than it says is written strictly; if that does not help, it stays as it is.
    """
    own, values = translated[: len(passages)], translated[len(passages) :]
    writer = _MarkupWriter(document, list(zip(attributes, values, strict=True)))
    places: list[tuple[Span, Spans]] = []
    unwritten: set[int] = set()
    waiting = iter(zip(passages, own, strict=True))
    for _, group in itertools.groupby(waiting, key=lambda pair: pair[0].block.region):
        pairs = list(group)
        is_written, written = writer.region(pairs)
        unwritten |= set() if is_written else set(range(len(places), len(places) + len(pairs)))
        places += written
    writer.source_until(len(document.source))
    places += (writer.values[passage.source] for passage in attributes)
    spans, maps = tuple(span for span, _ in places), tuple(spans for _, spans in places)
    return WrittenText(writer.text, spans, maps, sorted(writer.slices), frozenset(unwritten))


class _Unchanged:
    """A passage that goes out as it stands, but for what is new within its tags."""

    def __init__(self, passage: Passage, slices: Sequence[tuple[int, int]]) -> None:
        """`slices` are where slices of the source begin, and where they were written."""
        self._passage, self._slices = passage, slices

    def span(self, span: Span) -> Span:
        start, end = self._passage.source_of(span)
        return Span(self._moved(start), self._moved(end - 1) + 1 if start < end else self._moved(start))

    def _moved(self, position: int) -> int:
        start, written = self._slices[bisect_right(self._slices, (position, maxsize)) - 1]
        return position - start + written


class _MarkupWriter:
    """Writes from the beginning of the source to its end. What is new within tags is written where they are."""

    def __init__(self, document: Document, values: list[tuple[Passage, Translated]]) -> None:
        self._source = document.source
        edits: list[tuple[Span, tuple[Passage, Translated] | str]] = list(document.edits)
        edits += ((value[0].source, value) for value in values)
        self._edits = sorted(edits, key=lambda edit: edit[0])
        self._starts = [span.start for span, _ in self._edits]
        self._parts: list[str] = []
        self._length = self._reached = 0
        self.slices: list[tuple[int, int]] = []
        """Where slices of the source begin, and where they were written."""
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

    def region(self, pairs: Sequence[tuple[Passage, Translated]]) -> tuple[bool, list[tuple[Span, Spans]]]:
        """The passages of a region, at their places. Returns whether they could be written, and where they and their
        texts are.
        """
        block = pairs[0][0].block
        start, end = block.region
        if self._reached < start:
            self.source_until(start)
        begun = len(self._parts), self._length, self._reached, len(self.slices)
        as_it_was = [(passage, Translated(passage.text)) for passage, _ in pairs]
        for attempt, strictly in ((pairs, False), (pairs, True), (as_it_was, True)):
            del self._parts[begun[0] :], self.slices[begun[3] :]
            _, self._length, self._reached, _ = begun
            places = [self._passage(passage, text, strictly=strictly) for passage, text in attempt]
            if attempt is as_it_was:
                return False, places
            if self._reached < end:
                self.source_until(end)
            if block.notation.holds(self._source[start:end], "".join(self._parts[begun[0] :])):
                break
        return True, places

    def _passage(self, passage: Passage, translated: Translated, *, strictly: bool) -> tuple[Span, Spans]:
        self.source_until(passage.source.start)
        self._reached = passage.source.end
        return self._written(passage, translated, self._within(passage.source), strictly=strictly)

    def _written(self, passage: Passage, translated: Translated, edits: range, *, strictly: bool) -> tuple[Span, Spans]:
        if translated.text == passage.text:
            start = self._length
            slices = list(self._slices(passage.source, edits))
            return Span(start, self._length), _Unchanged(passage, slices)
        for span in passage.head:
            self._slice(span)
        start, text, position, pieces = self._length, translated.text, 0, list[Piece]()
        for at, written, until in _steps(translated):
            self._text(translated, position, at, passage.block.notation, pieces, strictly=strictly)
            begun = self._length
            if isinstance(written, Insertion):
                self._put(written.before)
                self._slice(written.source)
                self._put(written.after)
            else:
                self._put(written)
                pieces.append(Piece(at, Span(begun, self._length)))
            position = until
        self._text(translated, position, len(text), passage.block.notation, pieces, strictly=strictly)
        place = Span(start, self._length)
        for span in passage.tail:
            self._slice(span)
        return place, TextMap(tuple(pieces), len(text))

    def _slice(self, span: Span) -> None:
        for _ in self._slices(span, self._within(span)):
            pass

    def _slices(self, span: Span, edits: range) -> Iterator[tuple[int, int]]:
        """Write a slice of the source, with what is new in it. Yields where each part between that begins, and where it
        is written.
        """
        position = span.start
        for place, new in self._edits[edits.start : edits.stop]:
            self.slices.append((position, self._length))
            yield position, self._length
            self._put(self._source[position : place.start])
            if isinstance(new, str):
                self._put(new)
            else:
                self.values[place] = self._written(*new, range(0), strictly=True)
            position = place.end
        self.slices.append((position, self._length))
        yield position, self._length
        self._put(self._source[position : span.end])

    def _within(self, span: Span) -> range:
        return range(bisect_left(self._starts, span.start), bisect_left(self._starts, span.end))

    def _text(
        self, translated: Translated, start: int, end: int, notation: Notation, pieces: list[Piece], *, strictly: bool
    ) -> None:
        for at, written in _escaped(translated.text, start, end, notation, strictly=strictly):
            pieces.append(Piece(at, Span(self._length, self._length + len(written))))
            self._put(written)

    def _put(self, written: str) -> None:
        if written:
            self._parts.append(written)
            self._length += len(written)


def _escaped(text: str, start: int, end: int, notation: Notation, *, strictly: bool) -> Iterator[tuple[int, str]]:
    """A stretch of text as it is written: at once where it is written as it is, else character by character."""
    written = notation.escaped(text, start, end, strictly=strictly)
    one_by_one = [written]
    if written != text[start:end]:
        one_by_one = [notation.escaped(text, at, at + 1, strictly=strictly) for at in range(start, end)]
    if "".join(one_by_one) != written:  # what is escaped depends on where a stretch begins
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

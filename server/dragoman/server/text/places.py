"""Where stretches of a text's segments are in the text as it was sent, and in its translation.

Of a plain text, segments are stretches of both. Of one with mark-up they are not: what a segment was read from has
entities, tags and white space in it, and what it is written as has them again.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Protocol

from dragoman.server.core.spans import Span
from dragoman.server.core.translations import SpanPair
from dragoman.server.text.markup.placing import Insertion
from dragoman.server.text.markup.writing import Replacement, Translated, WrittenText
from dragoman.server.text.preparing import PreparedText


class Places(Protocol):
    """A text's translation, and where everything is in it. Offsets are code points."""

    @property
    def text(self) -> str:
        """The translation."""
        ...

    @property
    def segments(self) -> Sequence[SpanPair]:
        """Each segment, and what it became."""
        ...

    @property
    def unwritten(self) -> frozenset[int]:
        """The segments whose translations cannot be written: they are as they were."""
        ...

    def pair(self, index: int, source: Span, target: Span) -> SpanPair:
        """A stretch of a segment and one of its translation, neither of them empty, in the whole texts."""
        ...

    def outside(self, span: Span) -> SpanPair:
        """A stretch of the text that is in no segment, and where it came to be."""
        ...

    def source(self, span: Span) -> Span:
        """Where a stretch of what was cut into segments is in the text as it was sent."""
        ...


class PlainPlaces:
    """The places in a plain text with other segments in place of its own."""

    unwritten: frozenset[int] = frozenset()

    def __init__(self, text: PreparedText, segments: Sequence[str], *, is_alone: bool = False) -> None:
        """`is_alone`: what stands around the segments is left out of the translation."""
        source = text.layout
        self._layout = replace(source, gaps=("",) * len(source.gaps)) if is_alone else source
        self.text = self._layout.join(segments)
        self._sources, self._translated = source.spans, segments

    @cached_property
    def segments(self) -> Sequence[SpanPair]:
        """Each segment, and what it became."""
        targets = self._layout.spans_of(self._translated)
        return [SpanPair(*pair) for pair in zip(self._sources, targets, strict=True)]

    def pair(self, index: int, source: Span, target: Span) -> SpanPair:
        """A stretch of a segment and one of its translation."""
        segment = self.segments[index]
        return SpanPair(_moved(source, segment.source.start), _moved(target, segment.target.start))

    def outside(self, span: Span) -> SpanPair:
        """A stretch of the text that is in no segment."""
        gap = bisect_right(self.segments, span.start, key=lambda pair: pair.source.end) - 1
        by = self.segments[gap].target.end - self.segments[gap].source.end if gap >= 0 else 0
        return SpanPair(span, _moved(span, by))

    def source(self, span: Span) -> Span:
        """The stretch itself."""
        return span


class MarkedPlaces:
    """The places in a text with mark-up."""

    def __init__(
        self,
        text: PreparedText,
        segments: Sequence[str],
        insertions: Mapping[int, Sequence[Insertion]],
        kept: Mapping[int, Sequence[tuple[Span, Span]]],
        layouts: Mapping[int, Sequence[tuple[Span, str]]],
    ) -> None:
        """`insertions` are the marks of segments, `kept` what of a segment came where in its translation unchanged, and
        `layouts` what white space stands where in a translation, apart from that.
        """
        assert text.marked is not None, "a text with mark-up"
        self._text, self._marked = text, text.marked
        translated = [
            Translated(
                segment,
                insertions.get(index, ()),
                self._replacements(index, kept.get(index, ()), layouts.get(index, ())),
            )
            for index, segment in enumerate(segments)
        ]
        self._written: WrittenText = text.marked.write(text.passages, translated)
        self.text = self._written.text
        sources = (passage.source for passage in text.passages)
        self.segments = [SpanPair(*pair) for pair in zip(sources, self._written.spans, strict=True)]

    @property
    def unwritten(self) -> frozenset[int]:
        """The segments whose translations cannot be written: they are as they were."""
        return self._written.unwritten

    def pair(self, index: int, source: Span, target: Span) -> SpanPair:
        """A stretch of a segment and one of its translation."""
        return SpanPair(self._text.passages[index].source_of(source), self._written.maps[index].span(target))

    def outside(self, span: Span) -> SpanPair:
        """A stretch of the text that is in no segment."""
        source = self.source(span)
        return SpanPair(source, self._written.outside(source))

    def source(self, span: Span) -> Span:
        """Where a stretch of the plain text is in the text with its mark-up."""
        return self._marked.source(span)

    def _replacements(
        self, index: int, kept: Sequence[tuple[Span, Span]], layout: Sequence[tuple[Span, str]]
    ) -> list[Replacement]:
        """What came through unchanged is written as the source has it, where no mark begins or ends in it; so is white
        space.
        """
        passage = self._text.passages[index]
        edges = {edge for mark in passage.marks for edge in (mark.start, mark.end)}
        replacements = [Replacement(*run) for run in layout]
        for source, target in sorted(kept, key=lambda pair: pair[1]):
            if source.start < source.end and not any(source.start < edge < source.end for edge in edges):
                atom = next((atom.source for atom in passage.atoms if atom.span == source), None)
                place = atom or passage.source_of(source)
                replacements.append(Replacement(target, self._marked.document.source[slice(*place)]))
        return sorted(replacements)


def _moved(span: Span, by: int) -> Span:
    return Span(span.start + by, span.end + by)

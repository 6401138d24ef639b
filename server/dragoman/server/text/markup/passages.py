"""Sentences of a block, each with the marks that are its own.

A mark is a sentence's own if it begins or ends strictly within it. What stands around whole sentences, or between two,
is never moved: it belongs to the gap. Of a mark that spans several sentences the beginning stays in the first one,
where it lasts to the end, and the end in the last one, which it is around from the beginning.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from dragoman.server.core.spans import Span
from dragoman.server.text.breaks import Break
from dragoman.server.text.markup.document import Atom, Block, Escaping, Mark

_LAYOUT = re.compile(r"\s\s|[\t\n\r\f]")
_WHITE = re.compile(r"\s+")


@dataclass(frozen=True)
class Passage:
    """A stretch of a block, and all that is its own."""

    text: str
    source: Span
    """Where it and its marks stand in the source."""
    block: Block
    at: int
    """Where it begins in the block."""
    marks: tuple[Mark, ...]
    """Outer ones first; positions are those in the passage."""
    atoms: tuple[Atom, ...]
    head: tuple[Span, ...] = ()
    """What else stands in the source before the text, among the marks: white space."""
    tail: tuple[Span, ...] = ()
    """And behind it."""

    def source_of(self, span: Span) -> Span:
        """The stretch of the source that a stretch of the passage was read from."""
        return self.block.map.span(Span(self.at + span.start, self.at + span.end))

    def breaks(self, source: str) -> list[Break]:
        """Its white space that is more than a space in the source, where that means no more than a space."""
        if not isinstance(self.block.notation, Escaping) or _LAYOUT.search(source, *self.source) is None:
            return []
        spaces = (Span(*match.span()) for match in _WHITE.finditer(self.text))
        read = ((span, source[slice(*self.source_of(span))]) for span in spaces)
        return [Break(span, written) for span, written in read if written != " " and written.isspace()]


def passages(block: Block, spans: Sequence[Span]) -> list[Passage]:
    """The passages of a block at these spans of its text, which are in order and apart."""
    own = _own_marks(block, spans)
    sources = [_source(block, span, marks) for span, marks in zip(spans, own, strict=True)]
    for mark in block.marks:
        if mark.is_void:
            _add_void(mark, spans, sources, own)
    atoms = _atoms(block, spans)
    found = []
    for span, source, marks, inner in zip(spans, sources, own, atoms, strict=True):
        text, read, in_order = block.text[span.start : span.end], block.map.span(span), tuple(sorted(marks, key=_order))
        head, tail = (_beside(part, marks) for part in (Span(source.start, read.start), Span(read.end, source.end)))
        found.append(Passage(text, source, block, span.start, in_order, inner, head, tail))
    return found


def _own_marks(block: Block, spans: Sequence[Span]) -> list[list[Mark]]:
    """For each span the marks that begin or end strictly within it."""
    own: list[list[Mark]] = [[] for _ in spans]
    ends = [span.end for span in spans]

    def within(position: int) -> int | None:
        """The span that has this position strictly within it."""
        index = bisect_left(ends, position)
        return index if index < len(spans) and spans[index].start < position < ends[index] else None

    for mark in block.marks:
        if mark.is_void:
            if (index := within(mark.start)) is not None:
                own[index].append(_within(mark, spans[index]))
            continue
        first = within(mark.start) if mark.before is not None else None
        last = within(mark.end) if mark.after is not None else None
        if first is not None and (last == first or (last is None and _ends_behind(mark, spans, first))):
            own[first].append(_within(mark, spans[first]))
            continue
        if first is not None:
            own[first].append(_within(mark._replace(after=None), spans[first]))
        if last is not None:
            is_whole = first is None and mark.before is not None and (not last or mark.start >= ends[last - 1])
            own[last].append(_within(mark if is_whole else mark._replace(before=None), spans[last]))
    return own


def _ends_behind(mark: Mark, spans: Sequence[Span], index: int) -> bool:
    """Whether a mark ends between a span and the next one."""
    return mark.after is not None and (index + 1 == len(spans) or mark.end <= spans[index + 1].start)


def _source(block: Block, span: Span, marks: Sequence[Mark]) -> Span:
    """All that a span of a block and its marks were read from."""
    sides = [side for mark in marks for side in (mark.before, mark.after) if side is not None]
    sides.append(block.map.span(span))
    return Span(min(side.start for side in sides), max(side.end for side in sides))


def _add_void(mark: Mark, spans: Sequence[Span], sources: Sequence[Span], own: Sequence[list[Mark]]) -> None:
    """Give a mark around nothing to a passage that it stands at the edge of, behind a tag that is the passage's."""
    assert mark.before is not None, "where it stands"
    index = bisect_right(sources, mark.before) - 1
    if index < 0 or mark.before.end > sources[index].end:
        return
    if not spans[index].start < mark.start < spans[index].end:
        own[index].append(_within(mark, spans[index]))


def _beside(part: Span, marks: Sequence[Mark]) -> tuple[Span, ...]:
    """What of a part of the source is in no mark."""
    between, reached = list[Span](), part.start
    for start, end in sorted(side for mark in marks for side in (mark.before, mark.after) if side is not None):
        if part.start <= start and end <= part.end:
            between.append(Span(reached, start))
            reached = end
    return tuple(span for span in (*between, Span(reached, part.end)) if span.start < span.end)


def _atoms(block: Block, spans: Sequence[Span]) -> list[tuple[Atom, ...]]:
    """The atoms of each span."""
    starts = [atom.span.start for atom in block.atoms]
    return [
        tuple(
            Atom(Span(atom.span.start - start, atom.span.end - start), atom.source)
            for atom in block.atoms[bisect_left(starts, start) : bisect_left(starts, end)]
        )
        for start, end in spans
    ]


def _within(mark: Mark, span: Span) -> Mark:
    """A mark as seen from a span."""
    start, end = (min(max(position, span.start), span.end) - span.start for position in (mark.start, mark.end))
    return Mark(start, end, mark.before, mark.after)


def _order(mark: Mark) -> tuple[bool, int]:
    """Marks that began before the passage come first, the one that ends last before the others."""
    if mark.before is None:
        assert mark.after is not None, "a mark has a side at least"
        return (False, -mark.after.start)
    return (True, mark.before.start)

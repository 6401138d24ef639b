"""Splitting a text: which stretches are translated, and what lies between them.

A text is gap, segment, gap, segment, ..., gap: one gap more than segments, each possibly empty. Segments neither begin
nor end with white space, so everything that is layout (line ends, indentation, blank lines, double spaces between
sentences) is in the gaps, and joining translated segments with the same gaps gives the layout back. Always true:
joining the segments themselves gives the text, character for character.

Only positions are computed here; no rule ever builds a segment from anything but a slice of the text.
"""

import itertools
import re
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import sentencex

from dragoman.server.core.protection import ProtectedSpan
from dragoman.server.core.requests import Splitting
from dragoman.server.core.spans import Span

Fits = Callable[[str], bool]

CLAUSE_ENDS = frozenset(
    ",;:.!?)]}\u2013\u2014\u2026\u060c\u061b\u061f\u0964\u3001\u3002\uff0c\uff0e\uff1a\uff1b\uff01\uff1f"
)
WIDE_CLAUSE_ENDS = frozenset("\u3001\u3002\uff0c\uff0e\uff1a\uff1b\uff01\uff1f")
"""After these no space is needed: scripts that write them do not put one."""

_WINDOW = 4096
"""Characters that the splitter is shown at a time."""
_LOOKAHEAD = 256
"""Characters behind the beginning of a sentence that may say that it is none."""
_WIDE_SPACE = re.compile(r"[^\S\x00-\x7f]")
_JOINERS = frozenset("\u200d\ufe0e\ufe0f")


@dataclass(frozen=True)
class TextLayout:
    """A text taken apart."""

    gaps: tuple[str, ...]
    """One more than segments."""
    segments: tuple[str, ...]

    @classmethod
    def of(cls, text: str, spans: Iterable[Span]) -> "TextLayout":
        """Segments where the spans are, which must be in order and apart; gaps everywhere else."""
        gaps, segments, position = [], [], 0
        for start, end in spans:
            assert position <= start < end <= len(text), "spans are in order, apart and not empty"
            gaps.append(text[position:start])
            segments.append(text[start:end])
            position = end
        return cls((*gaps, text[position:]), tuple(segments))

    @property
    def spans(self) -> tuple[Span, ...]:
        """Where the segments are."""
        return self.spans_of(self.segments)

    def spans_of(self, segments: Sequence[str]) -> tuple[Span, ...]:
        """Where other segments are once they stand in place of its own."""
        spans, position = [], 0
        for gap, segment in zip(self.gaps, segments, strict=False):
            start = position + len(gap)
            position = start + len(segment)
            spans.append(Span(start, position))
        return tuple(spans)

    def join(self, segments: Sequence[str]) -> str:
        """The text with other segments in place of its own."""
        woven = [part for pair in zip(self.gaps, segments, strict=False) for part in pair]
        assert len(segments) == len(self.segments), "one new segment for each"
        return "".join((*woven, self.gaps[-1]))


def split(text: str, splitting: Splitting, language: str) -> Iterator[Span]:
    """Spans of the segments of `text`, in order: sentences by the rules of `language`, lines, or the whole text.

    Sentences and lines end at tabs.
    """
    match splitting:
        case Splitting.NONE:
            yield from _trimmed(text, 0, len(text))
        case Splitting.LINES:
            for line in _lines(text):
                yield from _trimmed(text, *line)
        case Splitting.SENTENCES:
            for line in _lines(text):
                for sentence in _sentences(text, line, language):
                    yield from _trimmed(text, *sentence)


def joined(segments: Iterable[Span], protected: Sequence[ProtectedSpan]) -> Iterator[tuple[Span, list[ProtectedSpan]]]:
    """Segments that part no protected span, each with those in it: what a protected span lies across is one segment.

    Both are in order and apart. Protected spans between two segments are in neither.
    """
    number = 0
    waiting: Span | None = None
    inner: list[ProtectedSpan] = []
    for segment in segments:
        if waiting is not None and segment.start < waiting.end:
            waiting = Span(waiting.start, max(waiting.end, segment.end))
        elif waiting is not None:
            yield waiting, inner
            waiting, inner = segment, []
        else:
            waiting = segment
        while number < len(protected) and protected[number].span.start < waiting.end:
            start, end = protected[number].span
            if end > waiting.start:
                waiting = Span(min(start, waiting.start), max(end, waiting.end))
                inner.append(protected[number])
            number += 1
    if waiting is not None:
        yield waiting, inner


def fit(text: str, span: Span, fits: Fits, whole: Sequence[Span] = ()) -> Iterator[Span]:
    """Cut a span into spans that fit: after clause punctuation, else at white space, else inside a word; not within one
    of those that are to stay `whole`, which are in order.

    Nothing is lost but the white space at the cuts, which becomes gaps. Raises ValueError where a single character
    does not fit.
    """
    start, end = span
    while True:
        length = _longest_prefix(text, start, end, fits)
        if start + length == end:
            yield Span(start, end)
            return
        cut = _outside(_boundary(text, start, start + length), start, whole)
        # A prefix of a text that fits has seldom more tokens than that text; then a shorter one is taken.
        while cut > start + 1 and not fits(text[start:cut]):
            shorter = _outside(start + (cut - start) // 2, start, whole)
            if shorter >= cut:
                raise ValueError(f"{text[start:cut]!r} alone is more than the model can read")
            cut = shorter
        yield from _trimmed(text, start, cut)
        start = cut
        while text[start].isspace():  # the span ends with no white space, so this ends before it
            start += 1


def _trimmed(text: str, start: int, end: int) -> Iterator[Span]:
    """The span without white space at its ends; nothing where only white space is in it."""
    stretch = text[start:end]
    stripped = stretch.lstrip()
    if stripped:
        yield Span(end - len(stripped), start + len(stretch.rstrip()))


def _lines(text: str) -> Iterator[Span]:
    """Lines, and of a line with tabs what stands between them: cells of a table, or what is indented."""
    position = 0
    for line in text.splitlines(keepends=True):
        for cell in line.split("\t"):
            yield Span(position, position + len(cell))
            position += len(cell) + 1
        position -= 1


def _sentences(text: str, line: Span, language: str) -> Iterator[Span]:
    """Sentences of one line. Only the starts that the splitter names are used, so that the spans always cover it."""
    content = text[line.start : line.end]
    primary = language.partition("-")[0].lower() or "en"
    # The splitter panics where it looks for an abbreviation behind white space of several bytes ("a\u00a0.").
    plain = _WIDE_SPACE.sub(" ", content)
    cuts = sorted({0, len(content)} | {start for start in _starts(primary, plain) if 0 < start < len(content)})
    for start, end in itertools.pairwise(cuts):
        yield Span(line.start + start, line.start + end)


def _starts(language: str, line: str) -> Iterator[int]:
    """Where sentences of a line may begin. The splitter pairs quotation marks in time that is the square of their
    number, so of a long line it is shown a window, and from the last sentence on that begins well within it the next.
    """
    position = 0
    while len(line) - position > _WINDOW:
        window = line[position : position + _WINDOW]
        known = [start for start in _named(language, window) if 0 < start <= _WINDOW - _LOOKAHEAD]
        yield from (position + start for start in known)
        last = max(known, default=0)
        position += last or max(window.rfind(" ") + 1, _WINDOW // 2)
    yield from (position + start for start in _named(language, line[position:]) if start)


def _named(language: str, text: str) -> Iterator[int]:
    return (boundary["start_index"] for boundary in sentencex.get_sentence_boundaries(language, text))


def _longest_prefix(text: str, start: int, end: int, fits: Fits) -> int:
    """Characters of a longest prefix that fits. Measures short prefixes first, so that the cost follows the answer."""
    total = end - start
    good, size = 0, min(256, total)
    while fits(text[start : start + size]):
        if size == total:
            return total
        good, size = size, min(2 * size, total)
    bad = size
    while bad - good > 1:
        middle = (good + bad) // 2
        if fits(text[start : start + middle]):
            good = middle
        else:
            bad = middle
    if good == 0:
        raise ValueError(f"the character U+{ord(text[start]):04X} alone is more than the model can read")
    return good


def _boundary(text: str, start: int, end: int) -> int:
    """The best place to cut in (start, end]: the last clause end of the second half, the last space, or `end`."""
    middle = start + (end - start) // 2
    for position in range(end, middle, -1):
        before, after = text[position - 1], text[position : position + 1]
        if before in WIDE_CLAUSE_ENDS or (before in CLAUSE_ENDS and after.isspace()):
            return position
    for position in range(end, start, -1):
        if text[position : position + 1].isspace():
            return position
    return _whole_character(text, start, end)


def _outside(cut: int, start: int, whole: Sequence[Span]) -> int:
    """A cut, moved to the beginning of what it would part, or to its end where nothing stands before it."""
    number = bisect_left(whole, cut, key=lambda span: span.start) - 1
    if number < 0 or whole[number].end <= cut:
        return cut
    return whole[number].start if whole[number].start > start else whole[number].end


def _whole_character(text: str, start: int, end: int) -> int:
    """The last position in (start, end] that does not part a letter from its marks or a joined emoji."""
    for position in range(end, start, -1):
        if not is_joined(text, position):
            return position
    return end


def is_joined(text: str, position: int) -> bool:
    """Whether a cut here would part a letter from its marks, or a joined emoji."""
    after = text[position]
    return after in _JOINERS or unicodedata.combining(after) != 0 or text[position - 1] == "\u200d"

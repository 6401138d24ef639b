"""What of a text must not change, for one request and one model."""

from collections.abc import Iterable, Iterator

from dragoman.server.core.protection import ProtectedSpan, Protection, SpanKind
from dragoman.server.core.spans import Span
from dragoman.server.text.recognition.patterns import Patterns
from dragoman.server.text.recognition.readable import Readable
from dragoman.server.text.recognition.shapes import shape_spans

Found = tuple[Span, SpanKind]


class Recogniser:
    """Finds protected spans. Made for each request; `readable` is its bundle's."""

    def __init__(self, protection: Protection, readable: Readable, field: str = "protection.patterns") -> None:
        self._kinds, self._readable = protection.kinds, readable
        self._patterns = Patterns(protection.patterns, field) if protection.patterns else None

    def find(self, text: str) -> tuple[ProtectedSpan, ...]:
        """The protected spans of a text, in order and apart. What overlaps or touches is one span."""
        found = [*self._found(text)]
        if not found:
            return ()
        return tuple(ProtectedSpan(span, kind) for span, kind in _joined(text, found))

    def _found(self, text: str) -> Iterator[Found]:
        if self._patterns is not None:
            yield from ((span, SpanKind.PATTERN) for span in self._patterns.spans(text))
        known: list[Found] = []
        if self._kinds:
            known += shape_spans(text, self._kinds)
            yield from known
        for found in self._readable.spans(text, [span for span, _ in known]):
            if found[1] in self._kinds:
                yield found


def _joined(text: str, found: Iterable[Found]) -> Iterator[Found]:
    """Spans in order, those joined that overlap, touch, or have between them what belongs to both."""
    (start, end), kind = (0, 0), None
    for (begin, until), following in sorted(found, key=lambda item: (item[0].start, -item[0].end)):
        if kind is None:
            start, end, kind = begin, until, following
        elif begin <= end or _belong_together(text[end:begin], kind, following):
            end = max(end, until)
            kind = following if kind is SpanKind.UNREADABLE else kind
        else:
            yield Span(start, end), kind
            start, end, kind = begin, until, following
    assert kind is not None, "there is something to join"
    yield Span(start, end), kind


def _belong_together(gap: str, kind: SpanKind, following: SpanKind) -> bool:
    """Whether two spans with a gap between are one: `%d:%d`, `{a}/{b}`, two words or two pictures with a space."""
    if kind in _WRITTEN and following in _WRITTEN:
        return len(gap) == 1 and gap in _GLUE
    if kind is following and kind in (SpanKind.UNREADABLE, SpanKind.SYMBOL):
        return len(gap) <= _MOST_BETWEEN and (gap == " " or not any(char.isalnum() or char in "\r\n" for char in gap))
    return False


_WRITTEN = frozenset({SpanKind.PLACEHOLDER, SpanKind.CODE, SpanKind.URL, SpanKind.PATH})
_GLUE = frozenset("-/:=.|_+*&?#~^")
_MOST_BETWEEN = 3

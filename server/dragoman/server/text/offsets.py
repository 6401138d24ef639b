"""Offsets into a text, in the unit that a caller's language counts in."""

from itertools import accumulate

from dragoman.server.core.requests import OffsetUnit
from dragoman.server.core.spans import Span


class Offsets:
    """Turns offsets in code points into those of another unit, for one text."""

    def __init__(self, text: str, unit: OffsetUnit) -> None:
        self._starts: list[int] | None = None
        if unit is OffsetUnit.UTF8_BYTE and not text.isascii():
            self._starts = list(accumulate((len(char.encode()) for char in text), initial=0))
        elif unit is OffsetUnit.UTF16 and text and max(text) > "\uffff":
            self._starts = list(accumulate((1 + (char > "\uffff") for char in text), initial=0))

    def of(self, span: Span) -> Span:
        """The same stretch, counted in the unit."""
        return span if self._starts is None else Span(self._starts[span.start], self._starts[span.end])

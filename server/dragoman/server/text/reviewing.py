"""The last look at the translation of a segment: a number that slipped is mended, and what a reader should look at is
said. Protected spans are neither numbers nor language: they are what they were.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from dragoman.bundle.manifest import LanguagePair
from dragoman.server.core.protection import SpanKind, TextWarning, WarningKind
from dragoman.server.core.segments import FinishReason
from dragoman.server.core.spans import Span
from dragoman.server.core.translations import Alignment
from dragoman.server.text.forms import ShownText
from dragoman.server.text.numbers import Change, changes, mend
from dragoman.server.text.quality import number_warnings, quality_warnings
from dragoman.server.text.restoring import Edit, Restored, restored

MANY_UNREAD = 0.5
"""The share of a segment's letters that the model cannot read from which the segment is not translated."""


@dataclass(frozen=True)
class Reviewed:
    """A segment, and its translation."""

    source: str
    shown: ShownText | None
    """What the model has read, of a segment with protected spans."""
    target: Restored
    pair: LanguagePair

    def mended(self, links: Callable[[], Sequence[Alignment]]) -> "Reviewed":
        """With the right number in place of one that slipped. `links` are asked for where there is one."""
        if not self._changes:
            return self
        edit = mend(self._changes, self.pair, links())
        if edit is None:
            return self
        span, put = edit
        made = restored(self.target.surfaces, [Edit(span, put)])
        by = len(put) - (span.end - span.start)
        places = [
            (stand_in, Span(place.start + by, place.end + by) if place.start >= span.end else place, keeping)
            for stand_in, place, keeping in self.target.places
        ]
        return replace(self, target=replace(made, places=places))

    def warnings(self, reason: FinishReason) -> list[TextWarning]:
        """What a reader should look at; places are counted from the beginnings of the segment and its translation."""
        found = quality_warnings(self.source, self.target.text, self.pair, reason, self._apart)
        if (
            self.shown is not None
            and self._is_unread(self.shown)
            and not any(each.kind is WarningKind.UNTRANSLATED for each in found)
        ):
            places = Span(0, len(self.source)), Span(0, len(self.target.text))
            found.append(TextWarning(WarningKind.UNTRANSLATED, *places, "most of it is nothing that the model reads"))
        return [*found, *number_warnings(self.source, self.target.text, self._changes)]

    @cached_property
    def _changes(self) -> list[Change]:
        return changes(self.source, self.target.text, self.pair, *self._apart)

    @cached_property
    def _apart(self) -> tuple[list[Span], list[Span]]:
        """The protected spans of both texts, in order."""
        if self.shown is None:
            return [], []
        return [stand_in.span for stand_in in self.shown.stand_ins], sorted(place for _, place, _ in self.target.places)

    def _is_unread(self, shown: ShownText) -> bool:
        """Whether most letters are in words that the model cannot read."""
        spans = (each for stand_in in shown.stand_ins for each in stand_in.spans)
        unread = (self.source[each.span.start : each.span.end] for each in spans if each.kind is SpanKind.UNREADABLE)
        letters = sum(map(_num_letters, unread))
        return letters > 0 and letters >= MANY_UNREAD * _num_letters(self.source)


def _num_letters(text: str) -> int:
    return sum(map(str.isalpha, text))

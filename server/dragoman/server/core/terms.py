"""Terms that are looked for, and what becomes of them in a translation."""

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from dragoman.glossary.terms import Term
from dragoman.server.core.spans import Span


@dataclass(frozen=True)
class KnownTerm:
    """A term, and whose it is."""

    term: Term
    index: int
    """Its number in the request or the glossary."""
    glossary: str = ""
    """Empty where it is the request's own."""


class TermUse(enum.Enum):
    """How a term came into a translation, or why it did not."""

    ALREADY_THERE = "already_there"
    """The model translated it so by itself."""
    APPLIED = "applied"
    """It was put in."""
    APPENDED = "appended"
    """It was put in, at the end of its sentence: nothing said where it belongs."""
    PROTECTED = "protected"
    """It was missed: it lies in something that is kept as it is."""


@dataclass(frozen=True)
class TermOccurrence:
    """A place of a text where a term occurs."""

    source: Span
    target: Span | None
    """Where its translation is; None where it was missed."""
    use: TermUse


@dataclass(frozen=True)
class TermOutcome:
    """What became of a term in a text."""

    glossary: str
    term_index: int
    source: str
    occurrences: int
    applied: int
    """How many of them have the translation."""
    already_there: int
    """How many of those the model translated so by itself."""
    appended: int
    """How many of them stand at the end of their sentence."""
    found: tuple[TermOccurrence, ...] = ()
    """Only where they were asked for."""

    @property
    def uses(self) -> dict[TermUse, int]:
        """How many of them became what."""
        return {
            TermUse.ALREADY_THERE: self.already_there,
            TermUse.APPLIED: self.applied - self.already_there - self.appended,
            TermUse.APPENDED: self.appended,
            TermUse.PROTECTED: self.occurrences - self.applied,
        }

    @classmethod
    def of(cls, found: Iterable[tuple[KnownTerm, TermOccurrence]], *, with_places: bool) -> tuple["TermOutcome", ...]:
        """The outcome of each term that occurs, in the order in which they do."""
        by_term: dict[tuple[str, int], list[TermOccurrence]] = {}
        sources: dict[tuple[str, int], str] = {}
        for known, occurrence in found:
            key = known.glossary, known.index
            by_term.setdefault(key, []).append(occurrence)
            sources[key] = known.term.source
        return tuple(
            cls(
                *key,
                sources[key],
                len(places),
                sum(each.target is not None for each in places),
                sum(each.use is TermUse.ALREADY_THERE for each in places),
                sum(each.use is TermUse.APPENDED for each in places),
                tuple(places) if with_places else (),
            )
            for key, places in by_term.items()
        )

"""What is said of terms."""

from dragoman.glossary.terms import Term
from dragoman.server.core.spans import Span
from dragoman.server.core.terms import KnownTerm, TermOccurrence, TermOutcome, TermUse


def occurrence(start: int, use: TermUse) -> TermOccurrence:
    return TermOccurrence(Span(start, start + 1), None if use is TermUse.PROTECTED else Span(start, start + 1), use)


def test_each_term_has_one_outcome() -> None:
    """In the order in which terms occur, those of different glossaries apart; places only where they are asked for."""
    own, listed = KnownTerm(Term("a", "b"), 0), KnownTerm(Term("c", "d"), 0, "ui")
    found = [(listed if number == 1 else own, occurrence(number, use)) for number, use in enumerate(TermUse)]

    first, second = TermOutcome.of(found, with_places=True)

    assert (first.source, first.glossary, first.term_index, first.occurrences) == ("a", "", 0, 3)
    assert (first.applied, first.already_there, first.appended) == (2, 1, 1)
    assert [each.use for each in first.found] == [TermUse.ALREADY_THERE, TermUse.APPENDED, TermUse.PROTECTED]
    assert (second.source, second.glossary, second.found) == ("c", "ui", (occurrence(1, TermUse.APPLIED),))
    assert [outcome.found for outcome in TermOutcome.of(found, with_places=False)] == [(), ()]


def test_uses_are_all_occurrences() -> None:
    """Each of them became one thing."""
    own = KnownTerm(Term("a", "b"), 0)
    uses = [*TermUse, TermUse.APPLIED]

    [outcome] = TermOutcome.of([(own, occurrence(n, use)) for n, use in enumerate(uses)], with_places=False)

    assert outcome.uses == {use: uses.count(use) for use in TermUse}
    assert sum(outcome.uses.values()) == outcome.occurrences

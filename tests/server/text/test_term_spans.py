"""Terms beside what else is protected."""

import pytest

from dragoman.glossary.terms import Term
from dragoman.server.core.protection import ProtectedSpan, SpanKind
from dragoman.server.core.spans import Span
from dragoman.server.core.terms import KnownTerm
from dragoman.server.text.term_spans import no_terms, term_spans, with_terms
from dragoman.server.text.terms import Glossary, TermFinder

KINDS = {
    "t": SpanKind.TERM,
    "u": SpanKind.URL,
    "p": SpanKind.PLACEHOLDER,
    "s": SpanKind.SYMBOL,
    "x": SpanKind.UNREADABLE,
}
"""By a letter, as the cases below write them: `u0-9` is a URL from 0 to 9."""


def spans(written: str) -> list[ProtectedSpan]:
    """Protected spans from how they are written."""
    found = []
    for word in written.split():
        start, end = map(int, word[1:].split("-"))
        found.append(ProtectedSpan(Span(start, end), KINDS[word[0]]))
    return found


def written(found: tuple[ProtectedSpan, ...]) -> str:
    letters = {kind: letter for letter, kind in KINDS.items()}
    return " ".join(f"{letters[each.kind]}{each.span.start}-{each.span.end}" for each in found)


@pytest.mark.parametrize(
    ("protected", "terms", "together", "missed"),
    [
        ("", "t0-3 t5-6", "t0-3 t5-6", ""),
        ("u0-3 p5-6", "", "u0-3 p5-6", ""),
        ("u0-3 p8-9", "t4-6", "u0-3 t4-6 p8-9", ""),
        ("u0-9", "t2-4", "u0-9", "t2-4"),
        ("u0-9", "t2-4 t5-7 t10-12", "u0-9 t10-12", "t2-4 t5-7"),
        ("u0-9", "t0-9", "t0-9", ""),
        ("p2-4 s5-6", "t0-9", "t0-9", ""),
        ("u5-9", "t3-7", "u5-9", "t3-7"),
        ("x0-9", "t2-4", "x0-2 t2-4 x4-9", ""),
        ("x0-9", "t2-4 t6-9", "x0-2 t2-4 x4-6 t6-9", ""),
        ("x0-3 s3-5 x5-9", "t2-6", "x0-2 t2-6 x6-9", ""),
        ("x0-3 u3-5", "t2-4", "x0-3 u3-5", "t2-4"),
        ("u0-3 u3-5", "t3-5", "u0-3 t3-5", ""),
    ],
)
def test_a_term_takes_what_lies_in_it_and_is_missed_in_what_is_larger(
    protected: str, terms: str, together: str, missed: str
) -> None:
    """Runs of characters give it what it needs; all that is kept is in order and apart."""
    kept, left = with_terms(spans(protected), spans(terms))

    assert (written(kept), written(left)) == (together, missed)


def test_terms_of_glossaries_are_spans_that_know_them() -> None:
    """Those of a request stand before those of a glossary."""
    own, listed = Term("a", "b"), Term("a c", "d")
    glossaries = [Glossary("", TermFinder([own])), Glossary("ui", TermFinder([Term("a", "x"), listed]))]

    assert list(term_spans("a, a c", glossaries)) == [
        ProtectedSpan(Span(0, 1), SpanKind.TERM, "b", KnownTerm(own, 0)),
        ProtectedSpan(Span(3, 6), SpanKind.TERM, "d", KnownTerm(listed, 1, "ui")),
    ]
    assert no_terms("a") == ()

"""Terms as protected spans of a text, beside what else is protected in it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from dragoman.server.core.protection import ProtectedSpan, SpanKind
from dragoman.server.core.spans import Span
from dragoman.server.core.terms import KnownTerm
from dragoman.server.text.terms import Glossary, find

FindTerms = Callable[[str], Sequence[ProtectedSpan]]
"""Finds terms in a text, in order and apart."""

_LOOSE = frozenset({SpanKind.UNREADABLE, SpanKind.SYMBOL})
"""Runs of characters, of which a term may take some."""


def no_terms(text: str) -> Sequence[ProtectedSpan]:  # noqa: ARG001 - whatever it is
    """There are none."""
    return ()


def term_spans(text: str, glossaries: Sequence[Glossary]) -> Iterator[ProtectedSpan]:
    """Where the terms of glossaries are in a text, and what stands for each of them in the translation."""
    for match in find(text, [glossary.finder for glossary in glossaries]):
        glossary = glossaries[match.finder]
        known = KnownTerm(glossary.finder.terms[match.term], match.term, glossary.name)
        yield ProtectedSpan(match.span, SpanKind.TERM, match.put, known)


def with_terms(
    protected: Sequence[ProtectedSpan], terms: Sequence[ProtectedSpan]
) -> tuple[tuple[ProtectedSpan, ...], tuple[ProtectedSpan, ...]]:
    """What is protected, the terms among it, and the terms that are missed as they lie in something that is.

    A term takes the place of what lies in it, and of symbols and unreadable characters what it needs of a run.
    """
    kept, missed, others = list[ProtectedSpan](), list[ProtectedSpan](), list(reversed(protected))
    for term in terms:
        start, end = term.span
        while others and others[-1].span.end <= start:
            kept.append(others.pop())
        touched: list[ProtectedSpan] = []
        while others and others[-1].span.start < end:
            touched.append(others.pop())
        if any(each.kind not in _LOOSE and not _within(each.span, term.span) for each in touched):
            missed.append(term)
            others += reversed(touched)
            continue
        if touched and touched[0].span.start < start:
            kept.append(replace(touched[0], span=Span(touched[0].span.start, start)))
        if touched and touched[-1].span.end > end:
            others.append(replace(touched[-1], span=Span(end, touched[-1].span.end)))
        kept.append(term)
    return (*kept, *reversed(others)), tuple(missed)


def _within(inner: Span, outer: Span) -> bool:
    return outer.start <= inner.start and inner.end <= outer.end

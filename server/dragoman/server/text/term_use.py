"""What a model has said of terms: their translations, by itself, or the terms as they are, whose place the translation
can take.

A translation that stands in what the model said need not be the term's: another word may have the same. Where attention
is known, a place counts if a word of it attended to the term. Where it is not, each place counts for one term.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from dragoman.glossary.terms import Term, TermForm
from dragoman.server.core.spans import Span
from dragoman.server.text.terms import TermFinder, find, like, same_writing

ATTENDED_SHARE = 0.25
"""The least share of a word's attention that makes it the translation of what it attended to. Of 700 words that
translated a term all gave it 0.34 or more, and of others with the same translation none more than 0.21."""

Share = Callable[[Span, Span], float]
"""How much of its attention a stretch of what the model said gave to one of what it read: the most that a word did."""


@dataclass(frozen=True)
class WantedTerm:
    """A term of a segment."""

    term: Term
    put: str
    """Its translation where it stands."""
    shown: Span
    """Where it, or what stands for it, is in what the model read."""
    read: str
    """What the model read there."""


def said(wanted: Sequence[WantedTerm], text: str, share: Share | None) -> list[Span | None]:
    """Where in what the model said the translation of each term is; None where it is not."""
    return _places(wanted, text, share, [_spoken(each) for each in wanted], is_translation)


def copied(wanted: Sequence[WantedTerm], text: str, share: Share | None, taken: Sequence[Span]) -> list[Span | None]:
    """Where in what the model said each term is as it was read, apart from what is taken; None where it is not."""
    read = [Term(each.read, do_not_translate=True) for each in wanted]
    return _places(wanted, text, share, read, _is_copy, taken)


def translation(wanted: WantedTerm, found: str) -> str:
    """The translation of a term that is written so: what stands for the form of it that was read."""
    if wanted.term.case_sensitive:
        return wanted.put
    forms = wanted.term.all_forms
    return next(
        (like(found, f.source, f.target) for f in forms if like(wanted.read, f.source, f.target) == wanted.put),
        wanted.put,
    )


def _places(
    wanted: Sequence[WantedTerm],
    text: str,
    share: Share | None,
    looked_for: Sequence[Term],
    fits: Callable[[WantedTerm, str], bool],
    taken: Sequence[Span] = (),
) -> list[Span | None]:
    """One place of a text for each term; None for those for which there is none left."""
    finder = TermFinder(list(dict.fromkeys(looked_for)))
    places = [match.span for match in find(text, [finder]) if not any(_overlap(match.span, each) for each in taken)]
    pairs = [
        (share(place, each.shown) if share is not None else 1.0, index, number)
        for number, place in enumerate(places)
        for index, each in enumerate(wanted)
        if fits(each, text[place.start : place.end])
    ]
    # The surest first; among equal ones in the order of the text.
    pairs.sort(key=lambda pair: (-pair[0], abs(pair[1] - pair[2]), pair[1:]))
    found: list[Span | None] = [None] * len(wanted)
    given: set[int] = set()
    for weight, index, number in pairs:
        if weight >= ATTENDED_SHARE and found[index] is None and number not in given:
            found[index] = places[number]
            given.add(number)
    return found


def _overlap(one: Span, other: Span) -> bool:
    return one.start < other.end and other.start < one.end


def _is_copy(wanted: WantedTerm, spoken: str) -> bool:
    return same_writing(spoken.casefold(), wanted.read.casefold())


def is_translation(wanted: WantedTerm, spoken: str) -> bool:
    """Whether this way of writing is the term's translation: that of any of its forms, or its plural where the term is
    inflected; with a capital where the model begins with it, in capitals where the term stands so.
    """
    term = wanted.term
    if same_writing(spoken, wanted.put):
        return True
    if term.do_not_translate:
        return False
    targets = [form.target for form in term.all_forms]
    if term.inflected:
        targets += [target + ending for target in targets for ending in ("s", "es")]
        targets += [f"{target[:-1]}ies" for target in targets if target[-1] in "yY"]
    if not term.case_sensitive:
        targets += [target[:1].upper() + target[1:] for target in targets]
        targets += [target.upper() for target in targets if wanted.put.isupper()]
    return any(same_writing(spoken, target) for target in targets)


def _spoken(wanted: WantedTerm) -> Term:
    """What to look for in what the model said: more than `is_translation` takes."""
    term = replace(wanted.term, case_sensitive=False, do_not_translate=True, source=wanted.put, target="", forms=())
    if wanted.term.do_not_translate:
        return term
    others = {form.target for form in wanted.term.all_forms} - {wanted.put}
    return replace(term, forms=tuple(TermForm(target, "") for target in sorted(others)))

"""The way back of protected spans: in what a model said, forms become the spans that they stand for.

A hypothesis holds its spans if the form of each is in it exactly once, and so is the translation of each term that the
model is to say. Of one that does not, a lenient reading takes the first of several, puts a span whose form is missing
where the model's attention says, and as the last resort at the end.
"""

import itertools
import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dragoman.glossary.terms import Term
from dragoman.server.core.protection import Keeping
from dragoman.server.core.spans import Span
from dragoman.server.text.alignment import Word
from dragoman.server.text.forms import Attempt, ShownText, StandIn
from dragoman.server.text.recognition.ordered import takes_next
from dragoman.server.text.spaces import with_wide
from dragoman.server.text.term_use import WantedTerm, copied, translation
from dragoman.server.text.term_use import said as said_terms

PLACED_WEIGHT = 0.3
"""The share of a word's attention from which a form counts as what it stands for."""

_OPENING = "([{\"'\u201c\u2018\u00ab\u00bf\u00a1"
_CLOSING = " \t.!?:;,\u2026\u3002\uff01\uff1f)]\"'\u201d\u2019\u00bb"

_TAG_BEGINS, _TAG_ENDS = frozenset("<[&\\]})"), frozenset(">];{[(")


@dataclass(frozen=True)
class Edit:
    """A stretch of what the model said, and what stands there instead."""

    said: Span
    put: str
    stand_in: StandIn | None = None
    """None of a form too many, which is taken out."""
    keeping: Keeping = Keeping.FORM
    at: int = 0
    """Where in `put` that begins which the form stands for."""

    @property
    def changes(self) -> bool:
        """Whether it is no translation of a term, which the model has said."""
        return self.stand_in is None or not self.stand_in.is_said


@dataclass(frozen=True)
class Attended:
    """How much the words of a hypothesis attended to the tokens of its source."""

    words: Sequence[Word]
    token_spans: Sequence[Span | None]
    """What each source token stands for in what the model read."""
    attention: npt.NDArray[np.float32]

    def strongest(self, shown: Span) -> Word | None:
        """The word that attended most to a stretch of what the model read, where it did so at all."""
        places = [i for i, s in enumerate(self.token_spans) if s and s.start < shown.end and shown.start < s.end]
        if not places or not self.words:
            return None
        weights = [float(self.attention[list(word.tokens)][:, places].sum(axis=1).mean()) for word in self.words]
        best = int(np.argmax(weights))
        return self.words[best] if weights[best] >= PLACED_WEIGHT else None

    def share(self, said: Span, shown: Span) -> float:
        """How much of its attention a stretch of the hypothesis gave to a stretch of what the model read: the most that
        a word of it did.
        """
        places = [i for i, s in enumerate(self.token_spans) if s and s.start < shown.end and shown.start < s.end]
        words = [word for word in self.words if word.span.start < said.end and said.start < word.span.end]
        shares = (float(self.attention[list(word.tokens)][:, places].sum(axis=1).mean()) for word in words if places)
        return max(shares, default=0.0)


@dataclass(frozen=True)
class Restored:
    """What a model said of a segment, with its spans."""

    text: str
    surfaces: Sequence[str]
    """What each token adds to it. The first one of a form adds what that stands for."""
    places: Sequence[tuple[StandIn, Span, Keeping]] = ()

    def with_wide_spaces(self, source: str) -> "Restored":
        """With spaces that are no plain ones where the source has them, but in its spans."""
        text = with_wide(source, self.text, sorted(place for _, place, _ in self.places))
        starts = itertools.accumulate(map(len, self.surfaces), initial=0)
        surfaces = [text[start : start + len(each)] for start, each in zip(starts, self.surfaces, strict=False)]
        return replace(self, text=text, surfaces=surfaces)

    def with_runs(self, runs: Sequence[tuple[Span, str]]) -> "Restored":
        """With these in place of stretches between its spans, in order."""
        edits = [Edit(*run) for run in runs]
        [text] = _edited([self.text], edits)  # which a hypothesis without tokens may have as well
        surfaces = _edited(self.surfaces, edits)
        ends = [run.end for run, _ in runs]
        grown = [0, *itertools.accumulate(len(put) - (run.end - run.start) for run, put in runs)]
        places = []
        for stand_in, place, keeping in self.places:
            by = grown[bisect_right(ends, place.start)]
            places.append((stand_in, Span(place.start + by, place.end + by), keeping))
        return Restored(text, surfaces, places)


def _unattended() -> Attended | None:
    return None


def strict_edits(
    shown: ShownText, said: str, attended: Callable[[], Attended | None] = _unattended
) -> list[Edit] | None:
    """What makes spans of the forms, in order; None where one of them is not there exactly once, the model has not said
    the translation of a term, or placeholders that take their values in order have another one.
    """
    places = _places(shown, said)
    if any(len(found) != 1 for found in places.values()):
        return None
    edits = [_edit(stand_in, said, places[stand_in.form][0]) for stand_in in shown.forms]
    if shown.said:
        of_terms, left = _term_edits(shown, said, attended())
        if left:
            return None
        edits += of_terms
    ordered = _in_order(edits)
    return ordered if _values_in_order(ordered) else None


def _term_edits(shown: ShownText, said: str, present: Attended | None) -> tuple[list[Edit], list[StandIn]]:
    """What makes a text hold the translations of those terms that the model is to say: nothing where it has, and in
    place of a term that it left as it is, the translation. Beside it the terms of which it has done neither.
    """
    share = present.share if present is not None else None
    wanted = [WantedTerm(_term(each), each.put, each.shown, each.form) for each in shown.said]
    places = said_terms(wanted, said, share)
    edits = [_said(each, said, place) for each, place in zip(shown.said, places, strict=True) if place is not None]
    others = [(each, term) for each, term, place in zip(shown.said, wanted, places, strict=True) if place is None]
    copies = copied([term for _, term in others], said, share, [edit.said for edit in edits])
    left: list[StandIn] = []
    for (stand_in, term), place in zip(others, copies, strict=True):
        if place is None:
            left.append(replace(stand_in, is_said=False))
        else:
            put = translation(term, said[place.start : place.end])
            edits.append(Edit(place, put, _with_put(stand_in, put, is_said=False)))
    return edits, left


def lenient_edits(shown: ShownText, said: str, attended: Callable[[], Attended | None]) -> list[Edit] | None:
    """What makes `said` hold all spans; None where a form is missing and nothing says where its span belongs, or where
    values would be exchanged.
    """
    places, edits, missing = _places(shown, said), list[Edit](), list[StandIn]()
    if shown.said:
        of_terms, missing = _term_edits(shown, said, attended())
        edits += of_terms
    for stand_in in shown.forms:
        if not places[stand_in.form]:
            missing.append(stand_in)
            continue
        first, *others = places[stand_in.form]
        edits.append(_edit(stand_in, said, first))
        edits += (Edit(_with_space(said, other), "") for other in others)
    present = attended() if missing else None
    for stand_in in missing:
        edit = _placed(stand_in, said, present, edits)
        if edit is None and shown.attempt is Attempt.ANYWHERE:
            edit = _appended(stand_in, said)
        if edit is None:
            return None
        edits.append(edit)
    ordered = _in_order(edits)
    if _values_in_order(ordered):
        return ordered
    return _exchanged(ordered) if shown.attempt is Attempt.ANYWHERE else None


def restored(surfaces: Sequence[str], edits: Sequence[Edit]) -> Restored:
    """The edits, which are in order and apart, made in a text that these surfaces are together.

    White space that is left at the ends goes: what stands around the segment has its own.
    """
    said = "".join(surfaces)
    woven, places, reached, length = list[str](), list[tuple[StandIn, Span, Keeping]](), 0, 0
    for edit in edits:
        length += edit.said.start - reached
        if edit.stand_in is not None:
            start = length + edit.at
            places.append((edit.stand_in, Span(start, start + len(edit.stand_in.put)), edit.keeping))
        woven += said[reached : edit.said.start], edit.put
        length += len(edit.put)
        reached = edit.said.end
    text = "".join((*woven, said[reached:]))
    changes = [edit for edit in edits if edit.changes]
    edited = [text] if len(surfaces) == 1 else _edited(surfaces, changes)
    first = min((place.start for _, place, _ in places), default=len(text))
    last = max((place.end for _, place, _ in places), default=0)
    start, end = first - len(text[:first].lstrip()), last + len(text[last:].rstrip())
    if start or end < len(text):
        places = [(stand_in, Span(place.start - start, place.end - start), how) for stand_in, place, how in places]
        text, edited = text[start:end], _within(edited, start, end)
    return Restored(text, edited, places)


def _places(shown: ShownText, said: str) -> dict[str, list[Span]]:
    """Where each form is in what the model said, in whatever case."""
    names = {stand_in.form.lower(): stand_in.form for stand_in in shown.forms}
    if not names:
        return {}
    places: dict[str, list[Span]] = {name: [] for name in names.values()}
    for match in _pattern(tuple(names)).finditer(said):
        if (name := names.get(match.group().lower())) is not None:
            places[name].append(Span(*match.span()))
    return places


def _pattern(names: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted(names, key=len, reverse=True)
    return re.compile(rf"(?<![0-9A-Za-z])(?:{'|'.join(map(re.escape, longest_first))})(?![0-9A-Za-z])", re.IGNORECASE)


def _edit(stand_in: StandIn, said: str, place: Span) -> Edit:
    """A form becomes its span again. The space that was put beside it goes, unless another word stands there now; and
    even then beside a tag, which has a word beside it, whichever that is.
    """
    start, end = place
    put, before, after = stand_in.put, said[:start].rstrip(), said[end:].lstrip()
    touches = stand_in.before and (_same(before[-len(stand_in.before) :], stand_in.before) or put[0] in _TAG_BEGINS)
    if touches or put[:1].isspace():
        start = len(before)
    touches = stand_in.after and (_same(after[: len(stand_in.after)], stand_in.after) or _ends_tag(put))
    if touches or put[-1:].isspace():
        end = len(said) - len(after)
    return Edit(Span(start, end), put, stand_in)


def _ends_tag(put: str) -> bool:
    """Whether it ends with a tag, an entity, a bracket or an escaped character: `<b>`, `&nbsp;`, `{`, `\\n`."""
    return put[-1] in _TAG_ENDS or put[-2:-1] == "\\"


def _said(stand_in: StandIn, said: str, place: Span) -> Edit:
    """The translation of a term, which stays as the model has written it."""
    put = said[place.start : place.end]
    return Edit(place, put, _with_put(stand_in, put, is_said=True))


def _with_put(stand_in: StandIn, put: str, *, is_said: bool) -> StandIn:
    spans = tuple(replace(each, put=put) for each in stand_in.spans)
    return replace(stand_in, put=put, spans=spans, is_said=is_said)


def _term(stand_in: StandIn) -> Term:
    [span] = stand_in.spans
    assert span.term is not None, "only of a term the model says the translation itself"
    return span.term.term


def _same(word: str, other: str) -> bool:
    return word.casefold() == other.casefold()


def _with_space(said: str, place: Span) -> Span:
    """A place with the white space before it, or else behind it."""
    start = len(said[: place.start].rstrip())
    if start < place.start:
        return Span(start, place.end)
    return Span(place.start, len(said) - len(said[place.end :].lstrip()))


def _placed(stand_in: StandIn, said: str, attended: Attended | None, edits: Sequence[Edit]) -> Edit | None:
    """A span in place of what is left of its form, or before the word that attended to it: a word of its own, but that
    no space stands before a mark which ends a clause.
    """
    word = attended.strongest(stand_in.shown) if attended is not None else None
    if word is None:
        return None
    start, end = word.span
    around = next((edit.said for edit in edits if edit.said.start < end and start < edit.said.end), None)
    if around is not None:
        start = min(start, around.start)
    elif _is_left_of(stand_in.form.lower(), said[start:end].lower()):
        return Edit(Span(start, end), stand_in.put, stand_in, Keeping.ALIGNMENT)
    space_before = "" if not start or said[start - 1].isspace() or said[start - 1] in _OPENING else " "
    space_after = "" if said[start] in _CLOSING else " "
    put = f"{space_before}{stand_in.put}{space_after}"
    return Edit(Span(start, start), put, stand_in, Keeping.ALIGNMENT, len(space_before))


def _is_left_of(form: str, word: str) -> bool:
    """Whether a word is what may be left of a form; a mark alone is one of the sentence."""
    return set(word) <= {*form, *" -.,'"} and not set(word).isdisjoint(form)


def _appended(stand_in: StandIn, said: str) -> Edit:
    """A span at the end, before the marks that close the sentence."""
    end = len(said.rstrip(_CLOSING))
    space = " " if end else ""
    return Edit(Span(end, end), f"{space}{stand_in.put}", stand_in, Keeping.APPENDED, len(space))


def _in_order(edits: list[Edit]) -> list[Edit]:
    """The edits in order and apart: what two of them want to take out, the first one does."""
    ordered: list[Edit] = []
    reached = 0
    for edit in sorted(edits, key=lambda edit: edit.said):
        start = max(reached, edit.said.start)
        reached = max(start, edit.said.end)
        apart = Span(start, reached)
        ordered.append(edit if edit.said == apart else replace(edit, said=apart))
    return ordered


def _taking_next(edits: Sequence[Edit]) -> list[tuple[int, StandIn]]:
    """Those edits that put in what takes the next value of a program."""
    pairs = ((number, edit.stand_in) for number, edit in enumerate(edits) if edit.stand_in is not None)
    return [(number, stand_in) for number, stand_in in pairs if takes_next(stand_in.put)]


def _values_in_order(edits: Sequence[Edit]) -> bool:
    """Whether what takes values in order has the order of the source."""
    if len(edits) < 2:
        return True
    starts = [stand_in.span.start for _, stand_in in _taking_next(edits)]
    return starts == sorted(starts)


def _exchanged(edits: list[Edit]) -> list[Edit]:
    """The edits, in which what takes values in order has the order of the source."""
    taking = _taking_next(edits)
    in_order = sorted((stand_in for _, stand_in in taking), key=lambda stand_in: stand_in.span)
    made = list(edits)
    for (number, old), new in zip(taking, in_order, strict=True):
        edit = made[number]
        before, after = edit.put[: edit.at], edit.put[edit.at + len(old.put) :]
        made[number] = replace(edit, put=f"{before}{new.put}{after}", stand_in=new)
    return made


def _within(surfaces: Sequence[str], start: int, end: int) -> list[str]:
    """What of each surface is within a stretch of the text that they are."""
    position, results = 0, list[str]()
    for surface in surfaces:
        results.append(surface[max(0, start - position) : max(0, end - position)])
        position += len(surface)
    return results


def _edited(surfaces: Sequence[str], edits: Sequence[Edit]) -> list[str]:
    """The surfaces after the edits: what is put in belongs to the token in which its edit begins."""
    results: list[str] = []
    position, number = 0, 0
    last = max((index for index, surface in enumerate(surfaces) if surface), default=-1)
    for index, surface in enumerate(surfaces):
        end = position + len(surface)
        result, reached = list[str](), position
        # An edit that an earlier token began may reach into this one.
        if number and edits[number - 1].said.end > reached:
            reached = min(end, edits[number - 1].said.end)
        while number < len(edits) and surface and (edits[number].said.start < end or index == last):
            edit = edits[number]
            result += surface[reached - position : edit.said.start - position], edit.put
            reached = min(end, edit.said.end)
            number += 1
        results.append("".join((*result, surface[reached - position :])))
        position = end
    return results

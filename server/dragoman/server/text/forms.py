"""Forms: what stands for a protected span while the model works.

A model copies what looks like a name or a number: `X1` comes back where `{count}` would not. What a program puts a
number in place of is a number to the model, too, so that `messages` is a plural behind it. Only of a term a model may
say the translation itself, be it that it reads the term as it is written or its translation in place of it; then that
stands for it. Neighbours without anything between them share a form. Where a form would touch a word, a space is put
between the two, which is taken out again on the way back. A form that the segment itself has is not used, so what comes
back of a form was put in.
"""

import enum
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from dragoman.bundle.manifest import Form
from dragoman.server.core.protection import Keeping, ProtectedSpan, SpanKind
from dragoman.server.core.spans import Span
from dragoman.server.text.recognition.numeric import takes_number


class Forms(NamedTuple):
    """The forms of a model."""

    first: str
    second: str
    """What stands for spans when those of the first attempt have not come back."""
    number: str
    """What stands for a number at the first attempt."""


FORMS = Forms("X{n}", "Foo{n}", "X{n}")
"""Those of a model of which it is not known what it copies best."""

_MOST_GROUPED = 15
"""Digits of a number that is written in groups of three."""
_BEFORE, _AFTER = frozenset(".,;:!?)]}%"), frozenset("([{")


def forms_of(probed: Sequence[Form]) -> Forms:
    """The forms of a model, by what its export found out. A number stands for numbers, where a form is one."""
    names = [form.form for form in probed]
    first, second, *_ = (*names, *(form for form in FORMS[:2] if form not in names))
    numbers = [first] if _is_number(first) else [name for name in names if _is_number(name)]
    return Forms(first, second, numbers[-1] if numbers else first)


class Attempt(enum.IntEnum):
    """How a segment is made to hold its spans, from what translates best to what always holds them."""

    AS_WRITTEN = 0
    """The model reads terms as they are written."""
    IN_PLACE = 1
    """It reads the translations of terms in their place."""
    FORMS = 2
    """All forms must come back."""
    OTHER_FORMS = 3
    """Those of the second kind; what does not come back is placed by attention, where that says where."""
    ANYWHERE = 4
    """What is not placed by now stands at the end."""


@dataclass(frozen=True)
class StandIn:
    """A form, and what it stands for."""

    form: str
    shown: Span
    """Where the form is in what the model reads."""
    span: Span
    """What it stands for in the segment."""
    spans: tuple[ProtectedSpan, ...]
    """The protected spans in there, counted from the beginning of the segment."""
    put: str
    """What stands for it in the translation."""
    before: str = ""
    """The word of the segment that it touches, where a space was put between the two."""
    after: str = ""
    is_said: bool = False
    """Whether the model is to say the translation of a term itself, and the form is no more than what it reads."""

    def parts(self, start: int) -> Iterator[tuple[ProtectedSpan, Span]]:
        """Each of its spans, and where that is in the translation once `put` begins at `start`."""
        reached, position = self.span.start, start
        for each in self.spans:
            length = len(each.put) if each.put is not None else each.span.end - each.span.start
            position += each.span.start - reached
            yield each, Span(position, position + length)
            reached, position = each.span.end, position + length


@dataclass(frozen=True)
class ShownText:
    """A segment with protected spans, and what the model reads of it."""

    text: str
    """With forms."""
    segment: str
    """Without."""
    stand_ins: tuple[StandIn, ...]
    attempt: Attempt = Attempt.FORMS
    keeping: Keeping | None = None
    """How its spans are kept, of a segment that is not decoded."""

    def source(self, span: Span) -> Span:
        """What a stretch of what the model reads stands for in the segment."""
        return Span(self._position(span.start, is_end=False), self._position(span.end, is_end=True))

    def part(self, span: Span) -> "ShownText":
        """A stretch of it that parts no form, as a segment of its own."""
        inner = self.source(span)
        first = bisect_left(self.stand_ins, span.start, key=_shown_start)
        last = bisect_left(self.stand_ins, span.end, key=_shown_start)
        stand_ins = tuple(
            replace(
                stand_in,
                shown=_moved(stand_in.shown, -span.start),
                span=_moved(stand_in.span, -inner.start),
                spans=tuple(moved(each, -inner.start) for each in stand_in.spans),
            )
            for stand_in in self.stand_ins[first:last]
        )
        text, segment = self.text[span.start : span.end], self.segment[inner.start : inner.end]
        return replace(self, text=text, segment=segment, stand_ins=stand_ins)

    def prefix(self, text: str) -> str:
        """The beginning of a translation as the model is to write it: with the forms of the spans that are in it."""
        for stand_in in self.forms:
            before, is_there, after = text.partition(stand_in.put)
            if is_there:
                space = " " if before[-1:].isalnum() else ""
                text = f"{before}{space}{stand_in.form}{' ' if after[:1].isalnum() else ''}{after}"
        return text

    @property
    def forms(self) -> Iterator[StandIn]:
        """Those stand-ins that must come back."""
        return (stand_in for stand_in in self.stand_ins if not stand_in.is_said)

    @property
    def said(self) -> list[StandIn]:
        """Those of terms whose translation the model is to say."""
        return [stand_in for stand_in in self.stand_ins if stand_in.is_said]

    @property
    def spans(self) -> list[ProtectedSpan]:
        """Its protected spans."""
        return [each for stand_in in self.stand_ins for each in stand_in.spans]

    @property
    def has_words(self) -> bool:
        """Whether anything besides its spans is to be translated."""
        reached = 0
        for stand_in in self.forms:
            if any(map(str.isalnum, self.segment[reached : stand_in.span.start])):
                return True
            reached = stand_in.span.end
        return any(map(str.isalnum, self.segment[reached:]))

    @property
    def as_it_was(self) -> tuple[str, list[tuple[StandIn, Span]]]:
        """The segment with what stands for each span in the translation, and where that is."""
        woven, places, reached, length = list[str](), list[tuple[StandIn, Span]](), 0, 0
        for stand_in in self.stand_ins:
            between = self.segment[reached : stand_in.span.start]
            length += len(between)
            places.append((stand_in, Span(length, length + len(stand_in.put))))
            length += len(stand_in.put)
            woven += between, stand_in.put
            reached = stand_in.span.end
        return "".join((*woven, self.segment[reached:])), places

    def _position(self, position: int, *, is_end: bool) -> int:
        """A position of what the model reads as one of the segment; within a form, the end that it belongs to."""
        number = bisect_left(self.stand_ins, position, key=_shown_start)
        least, behind, most = 0, 0, len(self.segment)
        if number:
            stand_in = self.stand_ins[number - 1]
            if position < stand_in.shown.end:
                return stand_in.span.end if is_end else stand_in.span.start
            least, behind = stand_in.span.end, stand_in.span.end - stand_in.shown.end - bool(stand_in.after)
        if number < len(self.stand_ins):
            most = self.stand_ins[number].span.start
        return max(least, min(most, position + behind))


def _shown_start(stand_in: StandIn) -> int:
    return stand_in.shown.start


def moved(span: ProtectedSpan, by: int) -> ProtectedSpan:
    """A protected span, counted from elsewhere."""
    return ProtectedSpan(_moved(span.span, by), span.kind, span.put, span.term)  # `replace` takes three times as long


def show(
    segment: str,
    spans: Sequence[ProtectedSpan],
    form: str,
    *,
    number: str = "",
    attempt: Attempt = Attempt.FORMS,
    keeping: Keeping | None = None,
    beside: str = "",
) -> ShownText:
    """What the model reads of a segment with these spans, which are in order and apart. `number` is the form of numbers
    where that is another one. A form that `beside` has is not used either.
    """
    number = number or form
    puts = (each.put for each in spans if each.put is not None)
    text = "\n".join((segment, beside, *puts))
    unused = {each: _unused(text, each) for each in (form, number)}
    woven, stand_ins, reached, length = list[str](), list[StandIn](), 0, 0
    for unit in _neighbours(spans, attempt):
        start, end = unit[0].span.start, unit[-1].span.end
        between = segment[reached:start]
        put = "".join(segment[s.span.start : s.span.end] if s.put is None else s.put for s in unit)
        is_said = _is_said(unit[0], attempt)
        if is_said:
            before = after = ""
            name = put if attempt is Attempt.IN_PLACE else segment[start:end]
        else:
            before, after = _touching_before(segment, start), _touching_after(segment, end)
            kind = number if number != form and _takes_number(segment, unit) else form
            name = kind.format(n=next(unused[kind]))
        length += len(between) + bool(before)
        shown = Span(length, length + len(name))
        stand_ins.append(StandIn(name, shown, Span(start, end), unit, put, before, after, is_said))
        woven += between, " " if before else "", name, " " if after else ""
        length += len(name) + bool(after)
        reached = end
    return ShownText("".join((*woven, segment[reached:])), segment, tuple(stand_ins), attempt, keeping)


def _moved(span: Span, by: int) -> Span:
    return Span(span.start + by, span.end + by)


def _neighbours(spans: Sequence[ProtectedSpan], attempt: Attempt) -> Iterator[tuple[ProtectedSpan, ...]]:
    """Runs of spans between which there is nothing; what the model is to say is a run of its own."""
    run: list[ProtectedSpan] = []
    for each in spans:
        if run and (run[-1].span.end != each.span.start or _is_said(run[-1], attempt) or _is_said(each, attempt)):
            yield tuple(run)
            run = []
        run.append(each)
    if run:
        yield tuple(run)


def _is_said(span: ProtectedSpan, attempt: Attempt) -> bool:
    """Whether the model may say what stands for it."""
    return span.term is not None and attempt < Attempt.FORMS


def _takes_number(segment: str, unit: Sequence[ProtectedSpan]) -> bool:
    """Whether a program puts a number in place of these spans."""
    [*others, span] = unit
    is_alone = not others and span.kind is SpanKind.PLACEHOLDER and span.put is None
    return is_alone and takes_number(segment[span.span.start : span.span.end])


def _is_number(form: str) -> bool:
    return form.format(n=1).isdigit()


def _unused(segment: str, form: str) -> Iterator[int]:
    """Numbers from 1, without those with which the form is in the segment, in whatever case."""
    start, end = map(re.escape, form.casefold().split("{n}"))
    if _is_number(form):
        pattern = re.compile(rf"{start}([0-9]{{1,9}}){end}")
        used = {int(match[1]) for number in _numbers(segment) if (match := pattern.fullmatch(number))}
    else:
        used = {int(number) for number in re.findall(rf"{start}0*([0-9]{{1,9}}){end}", segment.casefold())}
    number = 0
    while True:
        number += 1
        if number not in used:
            yield number


def _numbers(text: str) -> Iterator[str]:
    """The runs of digits in a text, and the groups of three that a translation may write one in: 100000 as 100.000."""
    for run in re.findall(r"[0-9]+", text):
        yield run
        if len(run) <= _MOST_GROUPED:
            first = len(run) % 3
            yield from (run[max(0, start) : start + 3] for start in range(first - 3, len(run), 3))


def _touching_before(segment: str, position: int) -> str:
    """The word that ends here, or the mark after which a space is usual; empty where nothing keeps a form apart."""
    if not position or not (segment[position - 1].isalnum() or segment[position - 1] in _BEFORE):
        return ""
    start = position - 1
    while start and segment[start - 1].isalnum() and segment[start].isalnum():
        start -= 1
    return segment[start:position]


def _touching_after(segment: str, position: int) -> str:
    if position == len(segment) or not (segment[position].isalnum() or segment[position] in _AFTER):
        return ""
    end = position + 1
    while end < len(segment) and segment[end].isalnum() and segment[end - 1].isalnum():
        end += 1
    return segment[position:end]

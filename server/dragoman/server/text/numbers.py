"""Numbers of a text and of its translation: which are in one and not in the other, however the languages write them.

A number is a run of digits with what groups them and one decimal mark. Which of `.` and `,` that is depends on the
language, and on the writer: a number has all the values that it can be read as, and two are the same where they share
one. Dates, times and ranges are several numbers, whose order may change. What a language writes in another way (3 pm
and 15h, 10,000 and 10 mil, 2 and two, the 20th and the XXth century) counts as the same: a warning that is wrong is
worse than none. Digits of a name (A4, Linux2) are no number of their own, but may be what a number has become.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from dragoman.bundle.manifest import LanguagePair
from dragoman.server.core.spans import Span
from dragoman.server.core.translations import Alignment
from dragoman.server.text.number_words import CURRENCIES, SCALES, WORDS, marks

_DIGITS = re.compile(r"\d+")
_NUMBER = re.compile(r"\d+(?:[.,'\u2019\u066b\u066c]\d+|[ \u00a0\u2009\u202f]\d{3}(?!\d))*")
_WORD = re.compile(r"[^\W\d_]+")
_NEXT_WORD = re.compile(r"[ \u00a0\u202f-]?([^\W\d_]+)")
_AFTERNOON = re.compile(r"(?:[:.h]\d\d)?[ \u00a0]?p\.?m\b", re.IGNORECASE)
_MORNING = re.compile(r"(?:[:.h]\d\d)?[ \u00a0]?a\.?m\b", re.IGNORECASE)
_DECADE = re.compile(r"['\u2019]?s\b")
_DIMENSION = re.compile(r"[dD]\b")
_BEFORE_MONEY = re.compile(r"(?:(?<![A-Za-z])[A-Z]{0,3}[$\u20ac\u00a3\u00a5\u20b9]|\b[A-Z]{3})[ \u00a0]?$")
_BEHIND_MONEY = re.compile(r"[ \u00a0]?([$\u20ac\u00a3\u00a5\u20b9]|[^\W\d_]+)")
_MONEY = re.compile(r"[$\u20ac\u00a3\u00a5\u20b9]|\b(?:USD|EUR|GBP|JPY|BRL|INR)\b")
_NEGATIVE = re.compile(r"(?:^|[\s(\[])[-\u2212]$")
_DASHES = "-\u2010\u2011\u2012\u2013\u2212"
_MINUS = re.compile(r"\b(?:minus|menos|moins|meno|negativ\w*|n\u00e9gati\w*|below|abaixo|unter|sous)\b", re.IGNORECASE)
_FRACTIONS = {"\u00bd": "12", "\u00bc": "14", "\u00be": "34", "\u2153": "13", "\u2154": "23"}
_ROMAN = ((50, "L"), (40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I"))
_LARGEST_WORD, _LARGEST_ROMAN = 12, 89
_NEAR = 24
"""Characters around a number that are looked at."""


@dataclass(frozen=True)
class Number:
    """A number, where it stands in a text."""

    text: str
    span: Span

    @property
    def written(self) -> str:
        """It, as it stands."""
        return self.text[self.span.start : self.span.end]

    @property
    def before(self) -> str:
        """What stands before it."""
        return self.text[max(0, self.span.start - _NEAR) : self.span.start]

    @property
    def behind(self) -> str:
        """What stands behind it."""
        return self.text[self.span.end : self.span.end + _NEAR]

    @cached_property
    def is_name(self) -> bool:
        """Whether it belongs to a word, as in A4 and 3D."""
        last = self.text[self.span.start - 1 : self.span.start]
        return last.isalpha() or last == "_" or _DIMENSION.match(self.behind) is not None

    @property
    def digits(self) -> str:
        """Its digits, as they stand."""
        return "".join(_DIGITS.findall(self.written))

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """Its runs of digits, as values."""
        return tuple(map(_whole, _DIGITS.findall(self.written)))

    @cached_property
    def values(self) -> frozenset[str]:
        """All that it may be read as."""
        return frozenset(_readings(self.written))

    @cached_property
    def equals(self) -> frozenset[str]:
        """Its values, and those that others may write in its place."""
        return self.values | frozenset(_equals(self))

    @cached_property
    def money(self) -> str | None:
        """Which money it is an amount of, where that is said."""
        before, behind = _BEFORE_MONEY.search(self.before), _BEHIND_MONEY.match(self.behind)
        known = CURRENCIES.get(before.group().strip().lower()) if before else None
        return known or (CURRENCIES.get(behind.group(1).lower()) if behind else None)


@dataclass(frozen=True)
class Change:
    """A number that only one of two texts has, or what it has become in the other one."""

    source: Number | None
    target: Number | None

    @property
    def detail(self) -> str:
        """What has changed, in words."""
        if self.target is None:
            return f"{_shown(self.source)} is missing"
        if self.source is None:
            return f"{_shown(self.target)} is new"
        return f"{_shown(self.source)} has become {_shown(self.target)}"


def numbers(text: str, apart: Sequence[Span] = ()) -> list[Number]:
    """The numbers of a text, in order, but for those that touch the stretches `apart`, which are in order, too."""
    found, at = list[Number](), 0
    for match in _NUMBER.finditer(text):
        start, end = match.span()
        while at < len(apart) and apart[at].end <= start:
            at += 1
        if at == len(apart) or apart[at].start >= end:
            found += _split(Number(text, Span(start, end)))
    return found


def changes(
    source: str, target: str, pair: LanguagePair, source_apart: Sequence[Span] = (), target_apart: Sequence[Span] = ()
) -> list[Change]:
    """Which numbers of a text are other ones in its translation. What stands `apart` in either is no number."""
    ours, theirs = numbers(source, source_apart), numbers(target, target_apart)
    if not (ours or theirs):
        return []
    missing, extra = _unpaired(ours, theirs, lambda number: (number.written,))
    if missing or extra:
        missing, extra = _unpaired(missing, extra, lambda number: number.values)
    if missing or extra:
        missing, extra = _unpaired(missing, extra, lambda number: number.equals)
        extra = _rejoined(missing, extra)
        missing, extra = _without_lists(missing, extra)
        extra, missing = _without_lists(extra, missing)
        missing = _unsaid(missing, target, pair.target)
        extra = _unsaid(extra, source, pair.source)
    if missing or extra:
        return _changes(missing, extra)
    return [*_other_money(ours, theirs), *_other_signs(ours, theirs)]


def mend(changed: Sequence[Change], pair: LanguagePair, links: Sequence[Alignment] = ()) -> tuple[Span, str] | None:
    """The stretch of the translation where another number must stand, and that number; None where that is not sure.

    It is where a single number has become another one, and the links between the words say so, too. Without links it is
    where the new number looks like a slip: it begins, or begins and ends, as the old one.
    """
    if len(changed) != 1:
        return None
    source, target = changed[0].source, changed[0].target
    if source is None or target is None or source.values & target.values:
        return None
    own = [link for link in links if _touch(link.target, target.span)]
    if own:
        is_sure = _touch(max(own, key=lambda link: link.weight).source, source.span)
    else:
        is_sure = not links and _is_slip(source.digits, target.digits)
    return (target.span, localised(source.written, pair)) if is_sure else None


def localised(written: str, pair: LanguagePair) -> str:
    """A number as the target language writes it; as it is where its source's language would not write it so."""
    group, mark = marks(pair.source)
    whole, point, decimals = written.partition(mark)
    groups = whole.split(group)
    is_grouped = len(groups) > 1 and len(groups[0]) <= 3 and all(len(part) == 3 for part in groups[1:])
    if not all(part.isdigit() for part in (*groups, decimals or "0")) or not (is_grouped or len(groups) == 1):
        return written
    other_group, other_mark = marks(pair.target)
    return other_group.join(groups) + (other_mark + decimals if point else "")


def _shown(number: Number | None) -> str:
    """A number with its sign and its money, for a reader."""
    if number is None:
        return ""
    sign = "-" if _NEGATIVE.search(number.before) else ""
    return f"{sign}{number.written[:_NEAR]}{f' ({number.money})' if number.money else ''}"


def _is_slip(old: str, new: str) -> bool:
    """Whether digits look like others that were written down badly."""
    shorter, longer = sorted((old, new), key=len)
    ahead = _agreement(old, new)
    behind = _agreement(old[ahead:][::-1], new[ahead:][::-1])
    return ahead == len(shorter) or ahead + behind >= max(2, len(longer) // 2)


def _agreement(one: str, other: str) -> int:
    """How many characters two texts have in common before they part."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((position for position, (a, b) in pairs if a != b), min(len(one), len(other)))


def _touch(one: Span, other: Span) -> bool:
    return one.start < other.end and other.start < one.end


def _split(number: Number) -> Iterator[Number]:
    """A number, or those of a list without spaces: 1.2.3 is none by itself."""
    if len(number.written) == len(_DIGITS.match(number.written).group()) or number.values:  # type: ignore[union-attr]
        yield number
        return
    for match in _DIGITS.finditer(number.written):
        yield Number(number.text, Span(number.span.start + match.start(), number.span.start + match.end()))


def _whole(digits: str) -> str:
    """The value of a run of digits of any script; whatever its length."""
    if not digits.isascii():
        digits = "".join(str(int(digit)) for digit in digits)
    return digits.lstrip("0") or "0"


def _decimal(whole: str, decimals: str) -> str:
    decimals = "".join(map(str, map(int, decimals))).rstrip("0")
    return f"{whole}.{decimals}" if decimals else whole


def _readings(written: str) -> Iterator[str]:
    """All values that a run of digits and marks may have; none of what is no single number."""
    runs, between = _DIGITS.findall(written), _DIGITS.split(written)[1:-1]
    groups = len(runs[0]) <= 3 and all(len(run) == 3 for run in runs[1:])
    kinds = set(between)
    if len(kinds) <= 1 and groups:
        yield _whole("".join(runs))
    if not between:
        if not groups:
            yield _whole(runs[0])
    elif len(between) == 1 and between[0] in ".,\u066b":
        yield _decimal(_whole(runs[0]), runs[1])
    elif len(kinds) == 2 and between[-1] in ".,\u066b" and between[-1] not in between[:-1]:
        is_grouped = len(runs[0]) <= 3 and all(len(run) in (2, 3) for run in runs[1:-1])  # those of two are Indian
        if is_grouped:
            yield _decimal(_whole("".join(runs[:-1])), runs[-1])


def _equals(number: Number) -> Iterator[str]:
    """What another language may write for a number, by what stands around it."""
    behind = number.behind
    for value in number.values:
        if not value.isdigit():
            continue
        if len(value) <= 2 and _AFTERNOON.match(behind):
            yield str(int(value) % 12 + 12)
        if value == "12" and _MORNING.match(behind):
            yield "0"
        if len(value) == 4 and _DECADE.match(behind):
            yield value[2:]
        if len(value) <= 2 and number.before[-1:] in "/.-'\u2019" and number.before:
            yield from (f"19{value:0>2}", f"20{value:0>2}")
        if len(value) <= 2 and _DECADE.match(behind):
            yield f"19{value:0>2}"
        if len(value) == 4 and number.before[-1:] in "/.-" and number.before:
            yield _whole(value[2:])
    word = _NEXT_WORD.match(behind)
    for power in SCALES.get(word.group(1).lower(), ()) if word else ():
        yield from (_shifted(value, power) for value in number.values)


def _shifted(value: str, power: int) -> str:
    """A value times a power of ten."""
    whole, _, decimals = value.partition(".")
    decimals = decimals.ljust(power, "0")
    rest = decimals[power:].rstrip("0")
    return ((whole + decimals[:power]).lstrip("0") or "0") + (f".{rest}" if rest else "")


def _unpaired(
    source: Iterable[Number], target: Sequence[Number], keys: Callable[[Number], Iterable[str]]
) -> tuple[list[Number], list[Number]]:
    """Those of two texts that share no key with one of the other text, each of which pairs with one."""
    waiting, paired, missing = defaultdict[str, list[int]](list), set[int](), list[Number]()
    for index in range(len(target) - 1, -1, -1):
        for key in keys(target[index]):
            waiting[key].append(index)
    for number in source:
        for key in keys(number):
            while waiting[key] and waiting[key][-1] in paired:
                waiting[key].pop()
            if waiting[key]:
                paired.add(waiting[key].pop())
                break
        else:
            missing.append(number)
    return missing, [number for index, number in enumerate(target) if index not in paired]


def _rejoined(missing: Sequence[Number], extra: list[Number]) -> list[Number]:
    """What was parted like a list without spaces as one number, where a number with the same digits is missing that is
    no list, as it has both marks: 1,234,56 of 1,234.56.
    """
    if len(missing) != 1 or len({*_DIGITS.split(missing[0].written)[1:-1]}) < 2 or len(extra) < 2:
        return extra
    is_run = all(one.span.end + 1 == other.span.start for one, other in pairwise(extra))
    if not is_run or "".join(number.digits for number in extra) != missing[0].digits:
        return extra
    return [Number(extra[0].text, Span(extra[0].span.start, extra[-1].span.end))]


def _without_lists(lists: Sequence[Number], others: Sequence[Number]) -> tuple[list[Number], list[Number]]:
    """Without those that are several numbers in the other text: 24.12 is 24/12 there, and 1,2 is 1 and 2."""
    waiting = defaultdict[str, list[Number]](list)
    for number in reversed(others):
        if len(number.parts) == 1:
            waiting[number.parts[0]].append(number)
    left, taken = list[Number](), list[Number]()
    for number in lists:
        wanted = Counter(number.parts)
        if len(number.parts) > 1 and all(len(waiting[part]) >= count for part, count in wanted.items()):
            taken += (waiting[part].pop() for part in number.parts)
        else:
            left.append(number)
    gone = {number.span for number in taken}
    return left, [number for number in others if number.span not in gone]


def _unsaid(left: Sequence[Number], other: str, language: str) -> list[Number]:
    """Those that the other text, in this language, does not say in words either, without the digits of names."""
    left = [number for number in left if not number.is_name]
    if not left:
        return []
    said = _WORD.findall(other)
    words = {*said, *(word.lower() for word in said)}
    known = WORDS.get(language.lower().partition("-")[0])
    halves = {digit for char, digits in _FRACTIONS.items() if char in other for digit in digits}
    return [number for number in left if not any(_is_said(value, words, known, halves) for value in number.values)]


def _is_said(value: str, words: set[str], known: Mapping[str, frozenset[str]] | None, halves: set[str]) -> bool:
    """Whether words say a number; `known` are those of the language, None of one that nobody has written down."""
    if not value.isdigit() or len(value) > len("1000"):
        return False
    number = int(value)
    if value in halves or (number <= _LARGEST_ROMAN and _roman(number) in words):
        return True
    if known is None:
        return number <= _LARGEST_WORD
    if not words.isdisjoint(known.get(value, ())):
        return True
    tens, ones = str(number // 10 * 10), str(number % 10)
    return number > 20 and not (words.isdisjoint(known.get(tens, ())) or words.isdisjoint(known.get(ones, ())))


def _roman(number: int) -> str:
    """A number in Roman letters."""
    letters = ""
    for value, sign in _ROMAN:
        letters += sign * (number // value)
        number %= value
    return letters


def _changes(missing: Sequence[Number], extra: Sequence[Number]) -> list[Change]:
    """What became of what, as far as that is clear."""
    if len(missing) == len(extra):
        return [Change(one, other) for one, other in zip(missing, extra, strict=True)]
    return [*(Change(number, None) for number in missing), *(Change(None, number) for number in extra)]


def _other_money(source: Sequence[Number], target: Sequence[Number]) -> list[Change]:
    """Amounts that have become others of another money."""
    if not (source and target and _MONEY.search(source[0].text) and _MONEY.search(target[0].text)):
        return []
    ours, theirs = ({number.money for number in numbers} for numbers in (source, target))
    lost = [number for number in source if number.money and number.money not in theirs]
    new = [number for number in target if number.money and number.money not in ours]
    return [Change(one, other) for one, other in zip(lost, new, strict=False) if one.values & other.values]


def _other_signs(source: Sequence[Number], target: Sequence[Number]) -> list[Change]:
    """Numbers below zero that stand without a sign in the translation."""
    below = [number for number in source if _NEGATIVE.search(number.before)]
    if not (below and target) or _MINUS.search(target[0].text):
        return []
    unsigned, signed = dict[str, Number](), set[str]()
    for number in target:
        has_sign = number.before.rstrip()[-1:] in tuple(_DASHES)
        for value in number.values:
            if has_sign:
                signed.add(value)
            else:
                unsigned.setdefault(value, number)
    lost = [number for number in below if not number.values & signed]
    return [Change(number, unsigned[value]) for number in lost for value in number.values if value in unsigned]

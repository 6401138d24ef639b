"""Spaces within a sentence that are no plain ones, as those that do not break: models read and write plain ones.

Where the words beside such a space stand beside a plain one in the translation, the space is put there; else where the
word behind it does, or the one before it, if the translation has that word once.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from dragoman.server.core.spans import Span

LAYOUT = frozenset("\t\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029")
"""What is no space of a sentence, but ends a line or a cell."""
_WIDE = re.compile(r"[^\S\x00-\x7f\u3000\x85\u2028\u2029]")
_WORD = re.compile(r"\S+")
_MARKS = ".,;:!?()[]\"'\u201c\u201d\u2018\u2019\u00ab\u00bb\u00a1\u00bf\u2026"


class _Gap(NamedTuple):
    """What stands between two words."""

    span: Span
    before: str
    after: str


def has_wide(text: str) -> bool:
    """Whether some of its spaces are no plain ones. That of ideographs is one in their scripts alone."""
    return not text.isascii() and _WIDE.search(text) is not None


def with_wide(source: str, target: str, fixed: Sequence[Span] = ()) -> str:
    """A translation with such spaces where the source has them: of the same length, and as it was where it is `fixed`,
    in stretches that are in order.
    """
    gaps = list(_free(target, fixed))
    pairs, behind, ahead = (defaultdict[object, list[int]](list) for _ in range(3))
    for gap in gaps:
        for index, words in ((pairs, (gap.before, gap.after)), (behind, gap.after), (ahead, gap.before)):
            index[words].append(gap.span.start)
    written = list(target)
    for gap in _gaps(source):
        wide = _WIDE.search(source, *gap.span)
        if wide is None or not LAYOUT.isdisjoint(source[slice(*gap.span)]):
            continue
        likely = (*pairs[gap.before, gap.after], *_only(behind[gap.after]), *_only(ahead[gap.before]))
        place = next((place for place in likely if written[place] == " "), None)
        if place is not None:
            written[place] = wide[0]
    return "".join(written)


def _only(places: list[int]) -> list[int]:
    """The places, where they are one."""
    return places if len(places) == 1 else []


def _free(text: str, fixed: Sequence[Span]) -> Iterator[_Gap]:
    """The gaps of a single plain space that are not in what is fixed."""
    number = 0
    for gap in _gaps(text):
        start, end = gap.span
        while number < len(fixed) and fixed[number].end <= start:
            number += 1
        if text[start:end] == " " and (number == len(fixed) or start < fixed[number].start):
            yield gap


def _gaps(text: str) -> Iterator[_Gap]:
    for before, after in pairwise(_WORD.finditer(text)):
        yield _Gap(Span(before.end(), after.start()), _plain(before[0]), _plain(after[0]))


def _plain(word: str) -> str:
    """A word without the marks around it; marks alone are themselves."""
    return word.strip(_MARKS).casefold() or word

"""Line ends within a segment come back where they belong."""

import itertools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from properties import examples

from dragoman.server.core.spans import Span
from dragoman.server.core.translations import Alignment
from dragoman.server.text.breaks import _in_order, line_breaks, placed


def written(source: str, target: str, *pairs: tuple[str, str], fixed: str = "") -> str:
    """A translation with the line ends of its source. Pairs are words that attend to each other."""
    links = [Alignment(place(source, one), place(target, other), 1.0) for one, other in pairs]
    spans = [Span(*match.span()) for match in re.finditer(re.escape(fixed), target)] if fixed else []
    for span, run in reversed(placed(line_breaks(source), source, target, links, spans)):
        target = target[: span.start] + run + target[span.end :]
    return target


def place(text: str, word: str) -> Span:
    [match] = re.finditer(rf"\b{word}\b", text)
    return Span(*match.span())


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("One.\nTwo.", "Um. Dois.", "Um.\nDois."),
        ("A long line.\r\n\r\n  It ends.", "É uma linha longa. Acaba.", "É uma linha longa.\r\n\r\n  Acaba."),
        ("a\tb\tc", "a b c", "a\tb\tc"),
        ("a\nb\nc", "abc d", "abc\nd\n"),
        ("a\nb", "ab", "ab\n"),
        ("一行\n二行", "第一。第二", "第一。\n第二"),
        ("a\u2028b", "a b", "a\u2028b"),
        ("a  b", "a b", "a b"),
        ("", "", ""),
        ("a\nb", "", "\n"),
    ],
)
def test_where_nothing_is_attended_to_position_and_marks_say_where(source: str, target: str, expected: str) -> None:
    """Each run whole, in order; what finds no space stands at the end."""
    assert written(source, target) == expected


def test_a_line_ends_between_the_words_that_attend_to_those_around() -> None:
    """Wherever that is."""
    source, target = "one two three\nfour", "um dois tres e mais quatro"
    pairs = [("one", "um"), ("two", "dois"), ("three", "mais"), ("four", "quatro")]

    assert written(source, target, *pairs) == "um dois tres e mais\nquatro"
    assert written(source, target, ("three", "um"), ("four", "dois")) == "um\ndois tres e mais quatro"


def test_what_is_fixed_is_not_parted() -> None:
    """Neither in the source nor in the translation."""
    assert written("a\nb c", "x y z", fixed="x y") == "x y\nz"
    assert line_breaks("a\nb {c\nd}", [Span(4, 9)]) == [(Span(1, 2), "\n")]


@settings(max_examples=examples(100), deadline=None)
@given(st.integers(1, 4), st.integers(0, 3), st.data())
def test_places_are_the_best_ones_in_order(rows: int, more: int, data: st.DataObject) -> None:
    """As trying all of them says."""
    numbers = st.lists(st.integers(0, 9), min_size=rows * (rows + more), max_size=rows * (rows + more))
    gains = np.array(data.draw(numbers), dtype=np.float64).reshape(rows, rows + more)

    chosen = _in_order(gains)

    def gain(columns: tuple[int, ...]) -> float:
        return float(sum(gains[row, column] for row, column in enumerate(columns)))

    assert all(one < other for one, other in itertools.pairwise(chosen))
    assert gain(tuple(chosen)) == max(map(gain, itertools.combinations(range(rows + more), rows)))

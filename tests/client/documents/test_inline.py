"""Inline elements as marks."""

import pytest

from dragoman.client.documents.errors import Unwritable
from dragoman.client.documents.inline import Inline, Marks, placed


def marks() -> Marks:
    """Of a text with something around a word, and something behind it."""
    marks = Marks()
    marks.text("a < ")
    marks.open("<b>", "</b>")
    marks.text("b")
    marks.void("<br>")
    marks.close()
    return marks


def test_a_text_has_marks_for_elements() -> None:
    """And its own signs escaped."""
    assert marks().source == 'a &lt; <g id="1">b<x id="2"/></g>'
    assert marks().inlines == (Inline("<b>", "</b>"), Inline("<br>"))


def test_elements_go_where_their_marks_are() -> None:
    """The texts between are written as the caller says."""
    assert placed('<x id="2"/><g id="1">B &amp;</g> A', marks().inlines, str.lower) == "<br><b>b &</b> a"


@pytest.mark.parametrize(
    "translation",
    [
        'A <g id="1">B</g>',
        'A <g id="1">B<x id="2"/><x id="2"/></g>',
        'A <g id="1">B<x id="2"/>',
        'A </g><g id="1">B<x id="2"/>',
        'A <g id="2">B<x id="1"/></g>',
        'A <g id="1">B<x id="2"/></g><x id="3"/>',
        "A B",
    ],
)
def test_marks_that_came_back_otherwise_are_refused(translation: str) -> None:
    """Lost, doubled, without an end, of another kind."""
    with pytest.raises(Unwritable, match="mark-up"):
        placed(translation, marks().inlines, str)

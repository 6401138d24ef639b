"""Which strings hold mark-up."""

import pytest

from dragoman.client.documents.document import Markup
from dragoman.client.documents.markup import markup_of


@pytest.mark.parametrize(
    "text", ["a <b>c</b>", "<br>", "<br/>", "</p>", "a&nbsp;b", "&#8230;", "&#x2026;", "<a\nhref='x'>"]
)
def test_tags_and_entities_are_mark_up(text: str) -> None:
    """Whatever the language of the mark-up is."""
    assert markup_of(text) is Markup.HTML


@pytest.mark.parametrize("text", ["a < b > c", "a<3", "AT&T", "Q&A; x", "<<>>", "x &amp", "<-", "a <b", ""])
def test_signs_are_none(text: str) -> None:
    """What only looks like it goes as plain text, in which nothing is escaped."""
    assert markup_of(text) is Markup.NONE

"""Which strings hold mark-up."""

import pytest

from dragoman.client.documents.document import Markup
from dragoman.client.documents.markup import markup_of, written_like


@pytest.mark.parametrize(
    "text",
    ["a <b>c</b>", "<br>", "<br/>", "</p>", "a&nbsp;b", "&#8230;", "&#x2026;", "<a\nhref='x'>", "<x:g id='1'/>", "<B>"],
)
def test_tags_and_entities_are_mark_up(text: str) -> None:
    """Whatever the language of the mark-up is."""
    assert markup_of(text) is Markup.HTML


@pytest.mark.parametrize(
    "text", ["a < b > c", "a<3", "AT&T", "Q&A; x", "<<>>", "x &amp", "<-", "a <b", "", "in <FILE>s", "<path to it>"]
)
def test_signs_are_none(text: str) -> None:
    """What only looks like it goes as plain text, in which nothing is escaped."""
    assert markup_of(text) is Markup.NONE


@pytest.mark.parametrize(
    ("source", "answer", "written"),
    [
        ("<b>a</b> & b", "<b>A</b> &amp; B", "<b>A</b> & B"),
        ("<b>a</b> &amp; b", "<b>A</b> &amp; B", "<b>A</b> &amp; B"),
        ("<b>a</b> > b", "<b>A</b> &gt; B", "<b>A</b> > B"),
        ("<b>a</b> < 3", "3 &lt; <b>A</b>", "3 < <b>A</b>"),
        ("<b>a</b> < b", "B &lt;<b>A</b>", "B <<b>A</b>"),
        ("<b>a</b>", "&lt;b>", "&lt;b>"),
        ("<b>a</b>", "&amp;lt;", "&amp;lt;"),
        ("<b>a</b>\u00a0b", "<b>A</b>&nbsp;B", "<b>A</b>\u00a0B"),
        ("&quot;a", "&quot;A", "&quot;A"),
    ],
)
def test_signs_are_bare_where_the_source_has_them_bare(source: str, answer: str, written: str) -> None:
    """But where they would mean something else."""
    assert written_like(source, answer) == written

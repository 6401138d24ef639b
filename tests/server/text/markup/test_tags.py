"""What stands in HTML, as a browser reads it."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from marked_up import EXAMPLES, broken_html, html_fragments, tokens

from dragoman.server.text.markup.tags import Kind, stretches


def read(source: str) -> list[tuple[str, str]]:
    return [(stretch.kind.value, source[stretch.start : stretch.end]) for stretch in stretches(source)]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a <b>c</b>", [("text", "a "), ("open", "<b>"), ("text", "c"), ("close", "</b>")]),
        ("<a href='x>y' b=\"<i>\" c=d/e>f", [("open", "<a href='x>y' b=\"<i>\" c=d/e>"), ("text", "f")]),
        ('<a "b>c', [("open", '<a "b>'), ("text", "c")]),  # a quotation mark that is not behind a sign is a name
        ("a < b <3 <> c", [("text", "a < b <3 <> c")]),
        ("a <b and c", [("text", "a <b and c")]),  # nothing ends the tag: it is none
        ("<a b='c>d", [("raw", "<a b='c>d")]),
        ("<!-- > --><!-->b", [("raw", "<!-- > -->"), ("raw", "<!-->"), ("text", "b")]),
        ("<!-- a --!>b", [("raw", "<!-- a --!>"), ("text", "b")]),
        ("<!DOCTYPE html></ x>y", [("raw", "<!DOCTYPE html>"), ("raw", "</ x>"), ("text", "y")]),
        ("<?php x ?>y", [("raw", "<?php x ?>"), ("text", "y")]),
        ("<script>a</b></SCRIPT >c", [("open", "<script>"), ("raw", "a</b>"), ("close", "</SCRIPT >"), ("text", "c")]),
        ("<title>a<b></title>", [("open", "<title>"), ("escapable", "a<b>"), ("close", "</title>")]),
        ("<style>a", [("open", "<style>"), ("raw", "a")]),
        ("<plaintext></plaintext>", [("open", "<plaintext>"), ("raw", "</plaintext>")]),
    ],
)  # fmt: skip
def test_stretches(source: str, expected: list[tuple[str, str]]) -> None:
    """Tags end where a browser has them end, and what is no tag is text."""
    assert read(source) == expected


def test_attributes_have_places() -> None:
    """Names in lower case, values without their quotation marks, none where there is none."""
    source = "<img ALT='a b' title = c hidden src=\"\">"
    [tag] = stretches(source)

    found = [(a.name, source[slice(*a.value)] if a.value else None, a.quote) for a in tag.attributes]

    assert found == [("alt", "a b", "'"), ("title", "c", ""), ("hidden", None, ""), ("src", "", '"')]


SCRIPTS = st.lists(
    st.sampled_from(["<!--", "-->", "<!-->", "<script>", "</script>", "<SCRIPT ", "</Script/", "-", "a", "<scripts>"]),
    max_size=9,
).map(lambda parts: "<script>" + "".join(parts))
"""Scripts that hide scripts."""


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.one_of(broken_html, html_fragments, st.text("<>/ab='\"!- ", max_size=40)))
def test_nothing_is_lost(source: str) -> None:
    """Stretches are next to each other, from the beginning to the end."""
    assert "".join(text for _, text in read(source)) == source


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.one_of(broken_html, html_fragments, SCRIPTS, st.text("<>/ab='\"!- ", max_size=40)))
@example("<script><!--<script></script>")
def test_tags_are_those_of_a_browser(source: str) -> None:
    """Each with its name, in any disorder; html5lib reads as browsers do."""
    source = source.replace("svg", "p") + ">"
    found = [(s.kind is Kind.OPEN, s.name) for s in stretches(source) if s.kind in (Kind.OPEN, Kind.CLOSE)]

    expected = [(token[0] != "EndTag", token[1]) for token in tokens(source).elements() if token[0] != "Doctype"]

    assert sorted(found) == sorted(expected)

"""Character references, read and written."""

import html

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from properties import examples

from dragoman.server.text.markup.references import (
    double_quoted,
    html_references,
    html_text,
    single_quoted,
    unquoted,
    xml_references,
    xml_text,
)


def read(source: str, *, in_attribute: bool = False) -> str:
    parts, position = [], 0
    for start, end, character in html_references(source, 0, len(source), in_attribute=in_attribute):
        parts += (source[position:start], character)
        position = end
    return "".join((*parts, source[position:]))


@settings(max_examples=examples(100), deadline=None)
@given(
    st.lists(st.sampled_from(("&", "amp", "lt;", "not", "notit;", "#65;", "#x41", "#0;", ";", "a", "&eacute;", " ")))
)
def test_references_are_read_as_python_reads_them(parts: list[str]) -> None:
    """With and without a semicolon, and the longest name that there is."""
    source = "".join(parts)

    assert read(source) == html.unescape(source)


def test_the_ampersands_of_an_address_are_no_references() -> None:
    """In an attribute, a name without a semicolon before a letter or a sign is text, as in a browser."""
    source = "?a=1&copy=2&amp;lt&lt"

    assert read(source, in_attribute=True) == "?a=1&copy=2&lt<"


@settings(max_examples=examples(100), deadline=None)
@given(st.text("a&<>\"' \u00a0é;"))
def test_what_is_written_is_read_again(text: str) -> None:
    """Between tags and in each kind of attribute."""
    assert html.unescape(html_text(text)) == text
    assert html.unescape(xml_text(text)) == text
    assert html.unescape(double_quoted(text)) == text
    assert html.unescape(single_quoted(text)) == text
    assert html.unescape(unquoted(text)[1:-1]) == text


def test_writing_ends_nothing() -> None:
    """Neither a tag nor an attribute."""
    assert (
        not {"<", ">"} & set(html_text("<a>")) | {'"', "<"} & set(double_quoted('"<')) | {"'"} & set(single_quoted("'"))
    )


@pytest.mark.parametrize(("source", "expected"), [("&amp;lt;", "&lt;"), ("&#xe9;&#233;", "éé"), ("&apos;", "'")])
def test_xml_has_five_names(source: str, expected: str) -> None:
    """And numbers."""
    references = list(xml_references(source, 0, len(source)))
    text = source
    for start, end, character in reversed(references):
        text = text[:start] + character + text[end:]

    assert text == expected

"""Texts with mark-up as plain text, and back."""

import re
from collections.abc import Sequence

import pytest

from dragoman.server.core.protection import ProtectedSpan, SpanKind
from dragoman.server.core.requests import InputFormat, Splitting
from dragoman.server.core.spans import Span
from dragoman.server.text.markup.marked import PARSERS, MarkedText
from dragoman.server.text.markup.writing import Translated

SOURCE = "<p title='one two'>Look here. Then <code>{x}</code> c {y} {z</p><p>d} e</p>"


def marked(source: str, form: InputFormat = InputFormat.HTML) -> MarkedText:
    return MarkedText.of(source, form, attributes=True)


def braces(text: str) -> Sequence[ProtectedSpan]:
    return [ProtectedSpan(Span(*match.span()), SpanKind.PLACEHOLDER) for match in re.finditer(r"\{[^}]*\}", text)]


def test_every_format_but_plain_text_has_a_parser() -> None:
    """A format is read, or it is not offered."""
    assert set(PARSERS) == set(InputFormat) - {InputFormat.PLAIN}


def test_the_plain_text_is_all_blocks() -> None:
    """Each on a line of its own, attributes last."""
    text = marked(SOURCE)

    assert text.plain == "Look here. Then {x} c {y} {z\nd} e\none two"
    assert [text.plain[slice(*span)] for span in text.split(Splitting.SENTENCES, "en")] == [
        "Look here.",
        "Then {x} c {y} {z",
        "d} e",
        "one two",
    ]
    assert len(list(text.split(Splitting.NONE, "en"))) == 3


def test_protected_spans_lie_in_one_block_each() -> None:
    """What looks like one across two is none; code is protected whatever is in it."""
    text = marked(SOURCE)

    found = [(text.plain[slice(*each.span)], each.kind) for each in text.protected(braces)[0]]

    assert found == [("{x}", SpanKind.CODE), ("{y}", SpanKind.PLACEHOLDER)]


def test_segments_are_found_in_the_source() -> None:
    """With their marks, and what is in no segment as well."""
    text = marked("<p>A <b>b</b>. C</p><p>d</p>")

    passages = text.passages([Span(0, 4), Span(7, 8)])

    assert [text.document.source[slice(*passage.source)] for passage in passages] == ["A <b>b</b>.", "d"]
    assert text.document.source[slice(*text.source(Span(5, 6)))] == "C"
    assert text.write(passages, [Translated("x."), Translated("y")]).text == "<p>x. C</p><p>y</p>"


def test_a_text_that_is_not_in_its_format_is_an_error() -> None:
    """Of XML; there is no HTML and no Markdown that is none."""
    with pytest.raises(ValueError, match="not well-formed XML"):
        marked("<a>", InputFormat.XML)
    assert marked("<a>").plain == ""
    assert marked("", InputFormat.MARKDOWN).blocks == ()


def test_no_term_takes_the_place_of_code() -> None:
    """Its tags would go with it; a term that lies in it or around it is missed."""
    text = marked("<p>A <code>big dog</code> and a big dog.</p>")

    def dogs(plain: str) -> list[ProtectedSpan]:
        return [ProtectedSpan(Span(*match.span()), SpanKind.TERM, "gato") for match in re.finditer("dog", plain)]

    protected, missed = text.protected(lambda plain: [], dogs)

    assert [(each.span, each.kind) for each in protected] == [((2, 9), SpanKind.CODE), ((20, 23), SpanKind.TERM)]
    assert [each.span for each in missed] == [(6, 9)]

"""In what a model said, forms become spans again."""

import re

import numpy as np
import pytest

from dragoman.server.core.protection import Keeping, ProtectedSpan, SpanKind
from dragoman.server.core.spans import Span
from dragoman.server.text.alignment import words
from dragoman.server.text.forms import Attempt, ShownText, show
from dragoman.server.text.restoring import Attended, lenient_edits, restored, strict_edits


def shown(text: str, attempt: Attempt = Attempt.OTHER_FORMS) -> ShownText:
    found = re.finditer(r"\{\w*\}|%\w|\t\w|</?\w+>|\[/?b\]|&\w+;|\\n", text)
    spans = [ProtectedSpan(Span(*match.span()), SpanKind.PLACEHOLDER) for match in found]
    return show(text, spans, "X{n}", attempt=attempt)


@pytest.mark.parametrize(
    ("text", "said", "text_back"),
    [
        ("Hello {name}, {n} new.", "Olá X1, X2 novas.", "Olá {name}, {n} novas."),
        ("Hello {name}, {n} new.", "X2 novas, x1!", "{n} novas, {name}!"),
        ("{n}px wide", "X1 px de largura", "{n}px de largura"),
        ("{n}px wide", "largura de X1 pixels", "largura de {n} pixels"),  # another word does not take its place
        ("Name:%s", "Nome: X1", "Nome:%s"),
        ("a\tb c", "X1 c", "\tb c"),
        ("a\tb c", "a X1 c", "a\tb c"),
        ("{a} and {b}", "请X1和X2", "请{a}和{b}"),
        ("Click <b>here</b> now.", "Clique X1 aqui X2 agora.", "Clique <b>aqui</b> agora."),
        ("Click <b>here</b>.", "X1 Aqui X2, clique.", "<b>Aqui</b>, clique."),
        ("one<br>two", "um X1 dois", "um<br>dois"),
        ("[b]one[/b] two", "X1 um X2 dois", "[b]um[/b] dois"),
        ("5&nbsp;GB", "5 X1 gigas", "5&nbsp;gigas"),
        ("One\\nTwo", "Um X1 Dois", "Um\\nDois"),
        ("a <b> c", "um X1 c", "um <b> c"),  # no word was beside it
        ("a {see} b", "um X1 b", "um {see} b"),
    ],
)
def test_forms_become_spans(text: str, said: str, text_back: str) -> None:
    """In whatever order and case, with the space that the source had beside them."""
    read = shown(text)
    edits = strict_edits(read, said)
    assert edits is not None

    result = restored([said], edits)

    assert (result.text, list(result.surfaces)) == (text_back, [text_back])
    for stand_in, place, keeping in result.places:
        assert (result.text[slice(*place)], keeping) == (stand_in.put, Keeping.FORM)


@pytest.mark.parametrize("said", ["Olá X1", "X1 X2 X2", "X12 X1", "X1 e X2a", "aX1 X2", ""])
def test_each_form_must_come_once(said: str) -> None:
    """Not as a part of something else."""
    assert strict_edits(shown("{a} and {b}"), said) is None


def test_a_double_is_taken_out() -> None:
    """With its space; the first stays."""
    read = shown("Mail {a} and {b}.")
    said = "Mande X1 e X1, e X2 X2."

    edits = lenient_edits(read, said, lambda: None)

    assert edits is not None
    assert restored([said], edits).text == "Mande {a} e, e {b}."


def attended(read: ShownText, said: str, *pairs: tuple[str, str]) -> Attended:
    """Words of what was said, each a token, that attend to words of what was read."""
    source = [Span(*match.span()) for match in re.finditer(r"\S+", read.text)]
    target = [Span(*match.span()) for match in re.finditer(r"\S+", said)]
    attention = np.zeros((len(target) + 1, len(source) + 1), np.float32)
    for said_word, read_word in pairs:
        position = next(n for n, span in enumerate(target) if said[slice(*span)] == said_word)
        attention[position, next(n for n, span in enumerate(source) if read.text[slice(*span)] == read_word)] = 0.9
    return Attended(words(said, target), source, attention)


@pytest.mark.parametrize(
    ("said", "word", "text_back"),
    [
        ("Olá x senhor", "x", "Olá {a} senhor"),  # what is left of the form
        ("Olá 1 senhor", "1", "Olá {a} senhor"),
        ("Olá senhor", "senhor", "Olá {a} senhor"),
    ],
)
def test_a_missing_span_is_placed_by_attention(said: str, word: str, text_back: str) -> None:
    """In place of what is left of its form, else before the word that attended to it."""
    read = shown("Hello {a} sir")
    edits = lenient_edits(read, said, lambda: attended(read, said, (word, "X1")))
    assert edits is not None

    result = restored([said], edits)

    assert result.text == text_back
    [(_, place, keeping)] = result.places
    assert (result.text[slice(*place)], keeping) == ("{a}", Keeping.ALIGNMENT)


@pytest.mark.parametrize(
    ("said", "word", "text_back"),
    [
        ("Olá senhor .", ".", "Olá senhor {a}."),
        ("Olá , senhor", ",", "Olá {a}, senhor"),
        ("( senhor )", "senhor", "( {a} senhor )"),
        ("Olá (senhor)", "(senhor)", "Olá {a} (senhor)"),
    ],
)
def test_no_space_is_put_before_what_ends_a_clause(said: str, word: str, text_back: str) -> None:
    """Where that is what attended to it; and all other words are kept apart from it."""
    read = shown("Hello {a} sir")
    edits = lenient_edits(read, said, lambda: attended(read, said, (word, "X1")))
    assert edits is not None

    result = restored([said], edits)

    assert result.text == text_back
    [(_, place, _)] = result.places
    assert result.text[slice(*place)] == "{a}"


def test_without_attention_to_it_a_span_is_not_placed() -> None:
    """Neither where no word attended to its form, nor where none is known to have attended to anything."""
    read = shown("Hello {a} sir")

    assert lenient_edits(read, "Olá senhor", lambda: attended(read, "Olá senhor", ("Olá", "Hello"))) is None
    assert lenient_edits(read, "Olá senhor", lambda: None) is None


@pytest.mark.parametrize(
    ("said", "text_back"), [("Olá senhor.", "Olá senhor {a} {b}."), ("", "{a}{b}"), ("!", "{a}{b}!")]
)
def test_at_the_last_attempt_it_stands_at_the_end(said: str, text_back: str) -> None:
    """Before the marks that close the sentence."""
    read = shown("Hello {a} sir {b}", Attempt.ANYWHERE)
    edits = lenient_edits(read, said, lambda: None)
    assert edits is not None

    result = restored([said], edits)

    assert result.text == text_back
    assert [(result.text[slice(*place)], keeping) for _, place, keeping in result.places] == [
        ("{a}", Keeping.APPENDED),
        ("{b}", Keeping.APPENDED),
    ]


@pytest.mark.parametrize(
    ("surfaces", "edited"),
    [
        (["Olá", " X", "1", ",", " X", "2", "!"], ["Olá", " {a}", "", ",", " {b}px", "", "!"]),
        (["Olá X1, X", "2!"], ["Olá {a}, {b}px", "!"]),
        (["", "Olá", " X1", ",", " ", "X2", "", "!"], ["", "Olá", " {a}", ",", " ", "{b}px", "", "!"]),
    ],
)
def test_the_first_token_of_a_form_is_all_of_its_span(surfaces: list[str], edited: list[str]) -> None:
    """Joined, the tokens are the text."""
    read = show(
        "{a} {b}px", [ProtectedSpan(Span(0, 3), SpanKind.CODE), ProtectedSpan(Span(4, 9), SpanKind.CODE)], "X{n}"
    )
    edits = strict_edits(read, "".join(surfaces))
    assert edits is not None

    result = restored(surfaces, edits)

    assert list(result.surfaces) == edited
    assert result.text == "".join(edited)


@pytest.mark.parametrize("surfaces", [[" X1 and X2  "], [" X", "1", " and", " ", "X2", " ", " "]])
def test_no_white_space_is_left_at_the_ends(surfaces: list[str]) -> None:
    """But what is a span's own."""
    spans = [ProtectedSpan(Span(0, 3), SpanKind.CODE), ProtectedSpan(Span(8, 12), SpanKind.PATTERN)]
    edits = strict_edits(show("{a} and {b}\t", spans, "X{n}"), "".join(surfaces))
    assert edits is not None

    result = restored(surfaces, edits)

    assert result.text == "".join(result.surfaces) == "{a} and {b}\t"
    assert [result.text[slice(*place)] for _, place, _ in result.places] == ["{a}", "{b}\t"]

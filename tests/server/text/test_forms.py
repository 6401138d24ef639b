"""Forms that stand for protected spans while a model works."""

import re

import pytest

from dragoman.bundle.manifest import Form
from dragoman.server.core.protection import ProtectedSpan, SpanKind
from dragoman.server.core.spans import Span
from dragoman.server.text.forms import FORMS, ShownText, forms_of, show


def spans(text: str, pattern: str = r"\{\w*\}|%\w") -> list[ProtectedSpan]:
    return [ProtectedSpan(Span(*match.span()), SpanKind.PLACEHOLDER) for match in re.finditer(pattern, text)]


def shown(text: str, form: str = "X{n}") -> ShownText:
    return show(text, spans(text), form)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("Hello {name}, {n} new.", "Hello X1, X2 new."),
        ("{a}{b} and %s", "X1 and X2"),  # neighbours share a form
        ("%dpx of {n}th", "X1 px of X2 th"),  # a form touches no word
        ("file%d.txt (%s)", "file X1.txt (X2)"),
        ("Name:%s", "Name: X1"),
        ("X1 and x2 are {a} and {b}", "X1 and x2 are X3 and X4"),  # in whatever case
        ("X01 is {a}", "X01 is X2"),
        ("MAX1 is {a}", "MAX1 is X2"),
        ("{a}", "X1"),
    ],
)
def test_a_form_stands_for_a_span(text: str, read: str) -> None:
    """Numbered from 1, apart from words, and none that the text has itself."""
    assert shown(text).text == read


def test_a_model_has_two_forms_and_one_for_numbers() -> None:
    """Those that its export found out, and for what is lacking the usual ones."""
    assert forms_of([Form("N{n}", 1.0), Form("R{n}", 0.9), Form("Z{n}", 0.8)]) == ("N{n}", "R{n}", "N{n}")
    assert forms_of([Form("N{n}", 1.0), Form("100{n}", 0.9), Form("{n}00", 0.8)]) == ("N{n}", "100{n}", "{n}00")
    assert forms_of([Form("Foo{n}", 1.0)]) == ("Foo{n}", "X{n}", "Foo{n}")
    assert forms_of([]) == FORMS


def test_a_first_form_that_is_a_number_stands_for_numbers_too() -> None:
    """Two forms of digits alone could be the same number."""
    assert forms_of([Form("1{n}", 1.0), Form("X{n}", 1.0), Form("{n}1", 1.0)]) == ("1{n}", "X{n}", "1{n}")


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("%s has %d of {max}", "N1 has 100 of 200"),  # each kind is counted by itself
        ("%d{a} and %d", "N1 and 100"),  # a form of neighbours is none of a number alone
        ("100 of %d", "100 of 200"),
        ("100,000 of %d in 200100", "100,000 of 300 in 200100"),  # as a translation may group it
        ("100000 of %d", "100000 of 200"),
        ("1000 of %d", "1000 of 100"),
        ("N1 %s %d", "N1 N2 100"),
        ("100% of %d%%", "100% of 200%%"),
    ],
)
def test_a_number_stands_for_a_number(text: str, read: str) -> None:
    """One that is not in the text."""
    assert show(text, spans(text), "N{n}", number="{n}00").text == read


def test_only_placeholders_are_numbers() -> None:
    """What a request's pattern finds, or a term, may be anything."""
    for each in (ProtectedSpan(Span(0, 2), SpanKind.PATTERN), ProtectedSpan(Span(0, 2), SpanKind.PLACEHOLDER, "x")):
        assert show("%d days", [each], "N{n}", number="{n}00").text == "N1 days"


def test_hundreds_of_thousands_of_digits_are_looked_at_once() -> None:
    """In whatever form: time grows with the text."""
    for digits in ("0" * 250_000, "7" * 250_000, "7 " * 125_000, "1000000 " * 32_000):
        for form in ("{n}00", "2{n}", "100{n}"):
            assert len(show(f"{digits} %d", spans(f"{digits} %d"), "N{n}", number=form).stand_ins) == 1


def test_a_form_that_stands_beside_the_text_is_not_used() -> None:
    """A prefix that says X1 means it."""
    assert show("to {a}", spans("to {a}"), "X{n}", beside="Para x1").text == "to X2"


@pytest.mark.parametrize(
    ("word", "stands_for"),
    [("Hello", "Hello"), ("X1", "{a}{b}"), ("px", "px"), ("X2", "{c}"), ("end", "end"), ("X1 px", "{a}{b}px")],
)
def test_places_of_what_the_model_reads_are_places_of_the_segment(word: str, stands_for: str) -> None:
    """A form's is all of its span; behind it the spaces that were put in are counted out."""
    text = "Hello {a}{b}px the{c} end"
    read = shown(text)
    start = read.text.index(word)

    source = read.source(Span(start, start + len(word)))

    assert text[slice(*source)] == stands_for


def test_a_part_is_a_segment_of_its_own() -> None:
    """With the forms that it had, counted from its beginning."""
    read = shown("Hello {a}, is{b} here, and {c}")
    stretch = Span(read.text.index("is"), read.text.index(", and"))

    part = read.part(stretch)

    assert (part.text, part.segment) == ("is X2 here", "is{b} here")
    assert [(part.text[slice(*one.shown)], part.segment[slice(*one.span)]) for one in part.stand_ins] == [("X2", "{b}")]


def test_what_is_put_for_a_span_may_be_another_text() -> None:
    """A term's translation; each of the neighbours that share a form has its place."""
    text = "the {a}{b} dog"
    first, second = spans(text)
    read = show(text, [ProtectedSpan(first.span, SpanKind.TERM, "gato"), second], "X{n}")

    kept, [(stand_in, place)] = read.as_it_was

    assert kept == "the gato{b} dog"
    assert kept[slice(*place)] == "gato{b}"
    assert [kept[slice(*part)] for _, part in stand_in.parts(place.start)] == ["gato", "{b}"]


@pytest.mark.parametrize(
    ("text", "has_words"),
    [("{a}", False), ("{a} / {b}!", False), ("{a} 5", True), ("to {a}", True), ("{a}: é", True), ("...", False)],
)
def test_a_segment_has_words_or_nothing_to_translate(text: str, has_words: bool) -> None:
    """Marks alone are none."""
    assert shown(text).has_words is has_words


@pytest.mark.parametrize(
    ("prefix", "read"),
    [
        ("Olá {a}", "Olá X1"),
        ("{b}5 de{a}s", "X2 5 de X1 s"),
        ("{a} {a}", "X1 {a}"),  # once for each span
        ("Olá", "Olá"),
    ],
)
def test_a_prefix_has_the_forms_of_its_spans(prefix: str, read: str) -> None:
    """So that the model continues what it reads."""
    assert shown("From {a} to {b}").prefix(prefix) == read

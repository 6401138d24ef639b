"""Quotation marks around protected spans."""

import re

import pytest

from dragoman.bundle.manifest import LanguagePair
from dragoman.server.core.protection import ProtectedSpan, SpanKind
from dragoman.server.core.spans import Span
from dragoman.server.text.forms import Attempt, ShownText, show
from dragoman.server.text.quotes import lost_quote_edits, quote_edits
from dragoman.server.text.restoring import lenient_edits, restored


def shown_of(segment: str) -> ShownText:
    spans = [ProtectedSpan(Span(*match.span()), SpanKind.PLACEHOLDER) for match in re.finditer(r"\{\w*\}", segment)]
    return show(segment, spans, "N{n}", attempt=Attempt.ANYWHERE)


def translated(segment: str, said: str, target: str = "pt") -> str:
    """A segment's translation, of which the model said this."""
    shown = shown_of(segment)
    edits = lenient_edits(shown, said, lambda: None)
    assert edits is not None
    quotes = quote_edits(shown, said, edits, LanguagePair("en", target))
    every = sorted((*edits, *quotes), key=lambda edit: edit.said)
    by_token = restored([*said], every)
    assert "".join(by_token.surfaces) == by_token.text
    assert all(by_token.text[slice(*place)] == stand_in.put for stand_in, place, _ in by_token.places)
    return by_token.text


@pytest.mark.parametrize(
    ("segment", "said", "translation"),
    [
        ("The \u201c{a}\u201d file", 'O arquivo "N1"', "O arquivo \u201c{a}\u201d"),
        ("The \u2018{a}\u2019 file", "O arquivo 'N1'", "O arquivo \u2018{a}\u2019"),
        ("Deleted \u201c{a}.\u201d", 'Exclu\u00eddo "N1".', "Exclu\u00eddo \u201c{a}\u201d."),
        ("\u201c{a} of {b}\u201d", '"N1 de N2"', "\u201c{a} de {b}\u201d"),
        ("\u201c{a}\u201d, \u201c{b}\u201d", '"N2", "N1"', "\u201c{b}\u201d, \u201c{a}\u201d"),
        # What is not quoted in both, and what the model quotes otherwise
        ('"{a}" and \u201cit\u201d', '"N1" e "isso"', '"{a}" e "isso"'),
        ("\u201c{a}\u201d is", "N1 \u00e9", "{a} \u00e9"),
        ("\u201c{a}\u201d is", '"N1 \u00e9', '"{a} \u00e9'),
        ("\u201c{a} is", '"N1" \u00e9', '"{a}" \u00e9'),
        ("\u201c{a}\u201d is", "\u00abN1\u00bb \u00e9", "\u00ab{a}\u00bb \u00e9"),
        ("\u2018{a} isn\u2019t", "'N1 n\u00e3o' \u00e9", "'{a} n\u00e3o' \u00e9"),
        ("{a} \u201cit\u201d", '"N1" isso', '"{a}" isso'),
        # Marks that are no pairs, and a form too many or none
        ("\u201c{a}\u201d \u201c{b}\u201d", '"N1 "N2"', '"{a} "{b}"'),
        ("\u201c{a}\u201d", '"N1 N1"', "\u201c{a}\u201d"),
        ("\u201c{a}\u201d x", "x", "x {a}"),
    ],
)
def test_quotes_around_a_span_stay_curly(segment: str, said: str, translation: str) -> None:
    """Where the model wrote plain ones in their place."""
    assert translated(segment, said) == translation


@pytest.mark.parametrize(("target", "quoted"), [("pt-BR", "\u201c{a}\u201d"), ("de", '"{a}"'), ("fr", '"{a}"')])
def test_only_where_quotes_look_so(target: str, quoted: str) -> None:
    """German has others, and plain ones are nobody's."""
    assert translated("\u201c{a}\u201d", '"N1"', target) == quoted


@pytest.mark.parametrize(
    ("segment", "said", "translation"),
    [
        ("The slug '{a}' is in use", "O slug 'N1 já está em uso", "O slug '{a}' já está em uso"),
        ('"{a}" is', 'N1" é', '"{a}" é'),
        ("It doesn't have '{a}'", "Não tem N1'", "Não tem '{a}'"),
        ("'{a}' and '{b}'", "'N1 e N2'", "'{a}' e '{b}'"),
        # The other one stands elsewhere, or none was written
        ('The "{a}" file', 'O "N1 arquivo"', 'O "{a} arquivo"'),
        ("It doesn't '{a}'", "Não 'N1 assim'", "Não '{a} assim'"),
        ("'{a}' is", "N1 é", "{a} é"),
        ("'{a}' is", "'N1' é", "'{a}' é"),
        ("'{a} is", "'N1 é", "'{a} é"),
    ],
)
def test_the_second_of_two_quotes_comes_back(segment: str, said: str, translation: str) -> None:
    """Where the model wrote the first alone, and no other stands for it."""
    shown = shown_of(segment)
    edits = lenient_edits(shown, said, lambda: None)
    assert edits is not None

    quotes = lost_quote_edits(shown, said, edits)

    made = restored([*said], sorted((*edits, *quotes), key=lambda edit: edit.said))
    assert made.text == "".join(made.surfaces) == translation
    assert all(made.text[slice(*place)] == stand_in.put for stand_in, place, _ in made.places)

"""What a model has said of terms."""
# ruff: noqa: RUF001 - the apostrophes are the point.

import pytest

from dragoman.glossary.terms import Term, TermForm
from dragoman.server.core.spans import Span
from dragoman.server.text.term_use import WantedTerm, copied, is_translation, said, translation

PLUGIN = Term("plugin", "extensão", forms=(TermForm("plugins", "extensões"),))
BOX = Term("box", "caixa", inflected=True)


def wanted(term: Term, put: str = "", start: int = 0, read: str = "") -> WantedTerm:
    """A term that stands somewhere in what the model read."""
    return WantedTerm(
        term, put or term.target or term.source, Span(start, start + len(term.source)), read or term.source
    )


def places(text: str, *terms: WantedTerm) -> list[str | None]:
    """What is found without attention."""
    return [span and text[span.start : span.end] for span in said(terms, text, None)]


@pytest.mark.parametrize(
    ("term", "put", "spoken"),
    [
        (PLUGIN, "extensão", "extensões"),
        (PLUGIN, "extensões", "Extensão"),
        (PLUGIN, "EXTENSÃO", "EXTENSÕES"),
        (BOX, "caixa", "caixas"),
        (Term("iPhone", "maçãFone", case_sensitive=True), "maçãFone", "maçãFone"),
        (Term("don't", do_not_translate=True), "don't", "don’t"),
        (Term("a b", do_not_translate=True), "a  b", "a\u00a0b"),
    ],
)
def test_a_form_a_plural_and_a_capital_are_translations(term: Term, put: str, spoken: str) -> None:
    """Whatever the model may write where the term's translation belongs."""
    assert is_translation(wanted(term, put), spoken)
    assert places(f"xx {spoken} xx", wanted(term, put)) == [spoken]


@pytest.mark.parametrize(
    ("term", "put", "spoken"),
    [
        (PLUGIN, "extensão", "EXTENSÃO"),
        (PLUGIN, "extensão", "extensãos"),
        (Term("a", "Caixa"), "Caixa", "caixa"),
        (Term("iPhone", "maçãFone"), "maçãFone", "maçãfone"),
        (Term("iPhone", "maçãFone", case_sensitive=True), "maçãFone", "MaçãFone"),
        (Term("Zelmar", do_not_translate=True), "Zelmar", "zelmar"),
        (Term("Box", do_not_translate=True, inflected=True), "Box", "Boxes"),
    ],
)
def test_another_way_of_writing_is_none(term: Term, put: str, spoken: str) -> None:
    """A brand in other letters is not the brand, and what is kept is kept to the letter."""
    assert not is_translation(wanted(term, put), spoken)
    assert places(f"xx {spoken} xx", wanted(term, put)) == [None]


def test_each_place_counts_once() -> None:
    """Two terms need two places, though they have the same translation; a longer one is not two shorter ones."""
    app, application = wanted(Term("app", "aplicação")), wanted(Term("application", "aplicação"))
    desktop, area = wanted(Term("desktop", "área de trabalho")), wanted(Term("area", "área"))

    assert places("a aplicação", app, application) == ["aplicação", None]
    assert places("a aplicação e a Aplicação", app, application) == ["aplicação", "Aplicação"]
    assert places("a área de trabalho", desktop, area) == ["área de trabalho", None]


def test_attention_says_whose_a_place_is() -> None:
    """What came from another word is not the term's; of two places each goes to the term that it attended to."""
    text = "Esta extensão carrega uma extensão"
    first, second = Span(5, 13), Span(26, 34)
    one, two = wanted(PLUGIN, start=0), wanted(PLUGIN, start=20)

    assert said([one], text, lambda _, __: 0.2) == [None]
    assert said([one], text, lambda place, _: 0.9 if place == second else 0.1) == [second]
    crossed = {(first, two.shown): 0.9, (second, one.shown): 0.8, (first, one.shown): 0.85}
    assert said([one, two], text, lambda place, shown: crossed.get((place, shown), 0.0)) == [second, first]


def test_nothing_said_has_nothing() -> None:
    """Nor has a segment without terms."""
    assert said([wanted(BOX)], "", None) == [None]
    assert said([], "caixa", None) == []


def test_a_term_that_was_left_as_it_is_is_found() -> None:
    """In whatever case, where it attended to the term, and apart from what is another term's translation."""
    text = "o Plugin e o plugin"
    term = wanted(PLUGIN, start=3)

    assert copied([term], text, None, []) == [Span(2, 8)]
    assert copied([term], text, None, [Span(2, 8)]) == [Span(13, 19)]
    assert copied([term], text, lambda place, _: 0.5 if place.start == 13 else 0.1, []) == [Span(13, 19)]
    assert copied([term], "as extensões", None, []) == [None]


@pytest.mark.parametrize(
    ("read", "put", "found", "becomes"),
    [
        ("plugin", "extensão", "Plugin", "Extensão"),
        ("Plugins", "Extensões", "plugins", "extensões"),
        ("PLUGIN", "EXTENSÃO", "PLUGIN", "EXTENSÃO"),
        ("plugins", "extensões", "PLUGINS", "EXTENSÕES"),
    ],
)
def test_the_translation_is_written_as_what_it_stands_for(read: str, put: str, found: str, becomes: str) -> None:
    """The form is that of the source, the capital that of the place in the translation."""
    assert translation(wanted(PLUGIN, put, read=read), found) == becomes


def test_a_term_with_its_case_is_written_so_everywhere() -> None:
    """Nothing is made of how the model writes it."""
    assert translation(wanted(Term("Zel", "zur", case_sensitive=True)), "ZEL") == "zur"

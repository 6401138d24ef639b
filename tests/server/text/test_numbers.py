"""Numbers of texts and translations: what counts as the same, what is reported, and what is mended."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from properties import examples

from dragoman.bundle.manifest import LanguagePair
from dragoman.server.core.spans import Span
from dragoman.server.core.translations import Alignment
from dragoman.server.text.numbers import changes, localised, mend, numbers

EN_PT, PT_EN = LanguagePair("en", "pt"), LanguagePair("pt-BR", "en")

SAME = [
    ("It costs 1,234.5 units.", "Custa 1.234,5 unidades."),
    ("It costs 1,234.50 units.", "Custa 1234,5 unidades."),
    ("1,234,567 people", "1 234 567 pessoas"),
    ("1,234,567 people", "1\u202f234\u202f567 pessoas"),
    ("12,34,567.5 rupees", "1.234.567,5 rúpias"),
    ("On 12/31/2024 at 3:30 pm", "Em 31/12/2024, às 15h30"),
    ("On 12/31/24", "Em 31/12/2024"),
    ("12 am", "0h"),
    ("at 12:15 pm", "às 12h15"),
    ("at 15:00", "às 3:00 pm"),
    ("the 1st of 3 files", "o 1º de 3 arquivos"),
    ("the first of three files", "o 1º de 3 arquivos"),
    ("2 files and 21 folders", "dois arquivos e vinte e uma pastas"),
    ("January 5, 2024", "5/1/2024"),
    ("the 20th century", "o século XX"),
    ("the 1960s and the '70s", "os anos 60 e 70"),
    ("10,000 files", "10 mil arquivos"),
    ("1.5 million files", "1.500.000 arquivos"),
    ("10k lines", "10.000 linhas"),
    ("50%", "50 %"),
    ("pages 10-20", "páginas 10 a 20"),
    ("24.12. or 1,2", "24/12 ou 1 e 2"),
    ("½ cup", "1/2 xícara"),
    ("the files 007 and 7", "os arquivos 7 e 007"),
    ("\u0661\u0662 files", "12 arquivos"),
    ("A4, Linux2, 3D and utf8", "folha A4 em linux"),
    ("at -5 °C", "a \u22125 °C"),
    ("at -5 °C", "a 5 °C abaixo de zero"),
    ("$5 or 5 dollars", "US$ 5 ou 5 dólares"),
    ("version 1.2.3", "versão 1.2.3"),
    ("no number", "nenhum número"),
]


@pytest.mark.parametrize(("source", "target"), SAME)
def test_other_ways_to_write_a_number_are_the_same_number(source, target):
    """Marks, groups, order, words, halves of the day, money: in both directions."""
    assert changes(source, target, EN_PT) == []
    assert changes(target, source, PT_EN) == []


CHANGED = [
    ("It costs 5.75% now.", "Custa 5,55% agora.", "5.75 has become 5,55"),
    ("It costs 3.5%.", "Custa 35%.", "3.5 has become 35"),
    ("1,234 files", "1.243 arquivos", "1,234 has become 1.243"),
    ("5 files", "6 arquivos", "5 has become 6"),
    ("at 3 pm", "às 3h da manhã, ou 16h", "16 is new"),
    ("the game of 1994", "o jogo", "1994 is missing"),
    ("a list", "uma lista de 2023", "2023 is new"),
    ("8, 16, 24 or 32", "8, 16, 16 ou 32", "24 has become 16"),
    ("$5 a day", "R$ 5 por dia", "5 (dollar) has become 5 (real)"),
    ("at -5 °C", "a 5 °C", "-5 has become 5"),
    ("2.1 and 2.1", "2,1", "2.1 is missing"),
    ("9" * 5_000, "9" * 4_999, f"{'9' * 24} has become {'9' * 24}"),
]


@pytest.mark.parametrize(("source", "target", "detail"), CHANGED)
def test_a_number_that_is_another_one_is_reported(source, target, detail):
    """With the places of both."""
    [change] = changes(source, target, EN_PT)

    assert change.detail == detail
    for number, text in ((change.source, source), (change.target, target)):
        assert number is None or text[number.span.start : number.span.end] == number.written


@pytest.mark.parametrize(
    ("text", "apart", "found"),
    [
        ("10 of 20, 1.2.3", (), ["10", "20", "1", "2", "3"]),
        ("see %1$s and 20", (Span(4, 8),), ["20"]),
        ("v1.2 and 3", (Span(1, 4),), ["3"]),
        ("v1.2 and 3", (Span(0, 2), Span(9, 10)), []),
        ("1 2 3", (Span(2, 3),), ["1", "3"]),
    ],
)
def test_what_is_protected_is_no_number(text, apart, found):
    """What touches a protected span belongs to it."""
    assert [number.written for number in numbers(text, apart)] == found


@pytest.mark.parametrize(
    ("written", "pair", "expected"),
    [
        ("1,234.5", EN_PT, "1.234,5"),
        ("0.05", EN_PT, "0,05"),
        ("1234", EN_PT, "1234"),
        ("1.234,5", PT_EN, "1,234.5"),
        ("1,234,567.25", LanguagePair("en", "fr"), "1\u00a0234\u00a0567,25"),
        ("1.234,5", EN_PT, "1.234,5"),  # not as English writes it
        ("1,2", EN_PT, "1,2"),
        ("1,234.5", LanguagePair("en", "es-MX"), "1,234.5"),
        ("1,234.5", LanguagePair("en", "zh"), "1,234.5"),
    ],
)
def test_a_number_is_written_as_its_language_does(written, pair, expected):
    """What the source's language would not write so stays as it is."""
    assert localised(written, pair) == expected


def mended(source: str, target: str, *links: Alignment) -> str | None:
    edit = mend(changes(source, target, EN_PT), EN_PT, links)
    return None if edit is None else target[: edit[0].start] + edit[1] + target[edit[0].end :]


def link(source: tuple[int, int], target: tuple[int, int], weight: float) -> Alignment:
    return Alignment(Span(*source), Span(*target), weight)


def test_a_slip_is_mended_in_the_form_of_its_language():
    """A number that begins as the lost one, or begins and ends so."""
    assert mended("It costs 5.75% now.", "Custa 5,55% agora.") == "Custa 5,75% agora."
    assert mended("of 3,500 units", "de 3.") == "de 3.500."
    assert mended("the 99.795 units", "as 999.795 unidades") == "as 99,795 unidades"
    assert mended("from 2^8295 values", "de 2 a 88295 valores") == "de 2 a 8295 valores"
    assert mended("0.05 pt", "05 pt") == "0,05 pt"


def test_a_number_with_one_mark_for_both_is_mended():
    """It is no list: that has no other mark in the text. What stands apart is one."""
    assert mended("I paid $1,234.56 then.", "Paguei $1,234,56 então.") == "Paguei $1.234,56 então."
    assert mended("$1,234,567.89", "$1.234.567.89") == "$1.234.567,89"
    assert changes("1,234.56", "1, 234 e 56", EN_PT) == []
    assert changes("1,2,3", "1,2,3", EN_PT) == []


def test_what_is_no_slip_is_not_mended_without_alignment():
    """It may be another number of the sentence; several changes are no slip either, nor is other money."""
    assert mended("8, 16, 24 or 32", "8, 16, 16 ou 32") is None
    assert mended("10 and 20", "11 e 21") is None
    assert mended("$5 a day", "R$ 5 por dia") is None
    assert mended("the game of 1994", "o jogo") is None
    assert mended("5 files", "5 arquivos") is None


def test_alignment_decides_where_it_is_known():
    """The strongest link of the new number must lead to the lost one."""
    source, target = "16 or 24 bits", "16 ou 16 bits"
    right = [link((0, 2), (6, 8), 0.2), link((6, 8), (6, 8), 0.6)]
    wrong = [link((0, 2), (6, 8), 0.6), link((6, 8), (6, 8), 0.2)]

    assert mended(source, target, *right) == "16 ou 24 bits"
    assert mended(source, target, *wrong) is None
    assert mended("It costs 5.75%", "Custa 5,55%", link((0, 2), (0, 5), 0.9)) is None


@given(st.text("0123456789.,'% -/:hsapm\u00a0\u0663X", max_size=60), st.text("0123456789., -/", max_size=60))
@example("1.2.3", "1,2")
@settings(max_examples=examples(500), deadline=None)
def test_any_text_is_its_own_translation(source, target):
    """No text differs from itself; whatever differs is found in the text that it is said to be in."""
    assert changes(source, source, LanguagePair("en", "xx")) == []
    for change in changes(source, target, EN_PT):
        assert change.source is None or change.source.text == source
        assert change.target is None or change.target.text == target
        assert change.source or change.target


@pytest.mark.parametrize("unit", ["1 ", "1,", "12.5 ", "-1 ", "$1 ", "9", "1/2/", "\u00bd", "5 pm "])
def test_a_text_of_nothing_but_numbers_is_compared_number_by_number(unit):
    """Twenty thousand characters, in which each number pairs with one."""
    many = 20_000 // len(unit)

    assert changes(unit * many, unit * many, EN_PT) == []
    assert len(changes(f"{unit * many} 77 end", f"{unit * many} 88 end", EN_PT)) <= 2


@pytest.mark.parametrize(("source", "target"), [("$1 dollar", "um dólar"), ("-1 dog", "um cão"), ("A0$", "A")])
def test_numbers_that_are_said_in_words_are_compared_with_nothing(source, target):
    """Neither their money nor their signs: there is no number on the other side."""
    assert changes(source, target, EN_PT) == []

"""Warnings of segments: what is given, and what is not."""

import pytest

from dragoman.bundle.manifest import LanguagePair
from dragoman.server.core.protection import WarningKind
from dragoman.server.core.segments import FinishReason
from dragoman.server.core.spans import Span
from dragoman.server.text.numbers import changes
from dragoman.server.text.quality import number_warnings, quality_warnings

EN_PT = LanguagePair("en", "pt")
SPANISH = "Si ha configurado su navegador para deshabilitar los encabezados, vuelva a habilitarlos para este sitio."


def kinds(source: str, target: str, pair: LanguagePair = EN_PT, **rest) -> list[str]:
    found = quality_warnings(source, target, pair, rest.pop("reason", FinishReason.STOP), **rest)
    assert all((each.source, each.target) == (Span(0, len(source)), Span(0, len(target))) for each in found)
    return [each.kind.value for each in found]


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("The house is small and old.", "A casa é pequena e velha.", []),
        ("The house is small and old.", "The house is small and old.", ["untranslated"]),
        ("THE HOUSE IS SMALL", "THE HOUSE IS SMALL", ["untranslated"]),
        ("please wait", "please wait", ["untranslated"]),
        ("This is a list of all files on the disk", "This is a list of all files on disk", ["untranslated"]),
        (SPANISH, SPANISH, ["untranslated"]),
        (
            "If you have configured your browser to disable headers, enable them for this site.",
            SPANISH,
            ["wrong_language"],
        ),
        ("Send it to the office today, please", "Пошлите это сегодня в бюро", ["wrong_language"]),
        ("I love you", "eu amo amo amo amo amo amo você", ["repetition"]),
        ("The number is 0.9", "O número é 0." + "9" * 60, ["repetition"]),
        ("It is a file of the disk", "um arquivo de um disco de um disco de um disco de um disco", ["repetition"]),
        ("word " * 40, "palavra " * 12, ["length_ratio"]),
        ("The house is small, the garden is large, and all of it is old.", "A casa.", ["length_ratio"]),
        ("The house", "A casa que fica no fim da rua onde nenhum de nós quis morar antes", ["length_ratio"]),
        ("Send it to the office", "- - -", ["length_ratio"]),
    ],
)
def test_what_a_reader_should_look_at_is_said(source, target, expected):
    """Once, by the word that fits best."""
    assert kinds(source, target) == expected


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("Debian GNU/Linux 12", "Debian GNU/Linux 12"),
        ("OpenOffice.org Writer", "OpenOffice.org Writer"),
        ("Hotel central", "Hotel central"),
        ("Total", "Total"),
        ("42", "42"),
        ("...", "..."),
        ("", ""),
        ("No, no, no, no, no!", "Não, não, não, não, não!"),
        ("ha " * 30, "ha " * 30),
        ("very, very, very good", "muito, muito, muito bom"),
        ("a" * 40, "a" * 44),
        ("OK", "Está bem"),
        ("hello" + " " * 500 + "world", "olá mundo"),
        ("Este pacote já está em português", "Este pacote já está em português"),
        ('=ASC("ライト") returns a string', '=ASC("ライト") retorna um texto'),
    ],
)
def test_nothing_is_said_of_what_is_right(source, target):
    """Names, words that are the same in both languages, repetitions of the source, text of the target language."""
    assert kinds(source, target) == []


def test_the_search_knows_of_a_loop():
    """Whatever the text looks like; its length says nothing more."""
    assert kinds("a house", "uma casa " * 30, reason=FinishReason.REPETITION) == ["repetition"]


def test_what_stands_apart_is_no_language():
    """Protected spans are left out on both sides."""
    source, target = (
        "See https://example.com/the/house/is/small now",
        "Ver https://example.com/the/house/is/small agora",
    )
    code, same = "Call foo_bar_baz(the, house, is, small)", "Call foo_bar_baz(the, house, is, small)"

    assert kinds(source, target, apart=([Span(4, 42)], [Span(4, 42)])) == []
    assert kinds(code, same, apart=([Span(5, 39)], [Span(5, 39)])) == []
    assert kinds("Call the small house now", "Call the small house now", apart=([Span(0, 4)], [Span(0, 4)])) != []


def test_the_usual_ratio_is_that_of_the_languages():
    """Chinese takes a third of the characters of English."""
    english, chinese = "The house is small and the garden is large.", "房子小\uff0c花园大。"

    assert kinds(english, chinese, LanguagePair("en", "zh")) == []
    assert kinds(chinese, english, LanguagePair("zh-Hans", "en")) == []
    assert kinds(english, chinese[:2], LanguagePair("en", "zh")) == ["length_ratio"]


def test_a_language_is_not_translated_into_itself():
    """From one country's to another's, most words stay."""
    assert kinds("The colour is small", "The colour is small", LanguagePair("en-GB", "en-US")) == []


def test_numbers_that_changed_have_places():
    """Of both, as far as they are there."""
    source, target = "of 1994, at 5.75%", "de 5,55%"

    found = number_warnings(source, target, changes(source, target, EN_PT))

    assert [each.kind for each in found] == [WarningKind.NUMBER_CHANGED] * len(found)
    assert [(each.source, each.target) for each in found] == [
        (Span(3, 7), None),
        (Span(12, 16), None),
        (None, Span(3, 7)),
    ]


def test_many_numbers_that_changed_are_one_warning():
    """About all of the segment."""
    source = " ".join(map(str, range(1_000, 1_020)))

    found = number_warnings(source, "1", changes(source, "1", EN_PT))

    assert [(each.source, each.target, each.detail) for each in found] == [
        (Span(0, len(source)), Span(0, 1), "20 numbers are missing, 1 are new")
    ]

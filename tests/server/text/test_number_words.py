"""The tables of number words and marks."""

import pytest

from dragoman.server.text.number_words import CURRENCIES, SCALES, WORDS, marks


@pytest.mark.parametrize("language", WORDS)
def test_each_language_has_the_numbers_that_are_written_as_words(language):
    """Zero to twelve, the tens, a hundred and a thousand; words as they are compared: in lower case."""
    words = WORDS[language]

    assert {*map(str, range(17)), *map(str, range(20, 101, 10)), "1000"} <= {*words}
    assert all(word == word.lower() and word.isalpha() for spelled in words.values() for word in spelled)


def test_a_word_is_a_scale_or_a_money():
    """Never both, and in lower case."""
    assert not {*SCALES} & {*CURRENCIES}
    assert all(word == word.lower() for word in (*SCALES, *CURRENCIES))


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("en", ",."),
        ("EN-gb", ",."),
        ("pt", ".,"),
        ("pt_BR", ".,"),
        ("es-MX", ",."),
        ("fr", "\u00a0,"),
        ("zh-Hant", ",."),
        ("", ",."),
    ],
)
def test_marks_are_a_matter_of_language_and_country(language, expected):
    """What groups digits, and what parts decimals from them."""
    assert "".join(marks(language)) == expected

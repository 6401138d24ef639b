"""Plural forms."""

import pytest

from dragoman.client.documents import plurals
from dragoman.client.documents.plurals import forms_of_language, plural_forms


@pytest.mark.parametrize(
    ("header", "numbers"),
    [
        ("nplurals=1; plural=0;", [range(4)]),
        ("nplurals=2; plural=(n != 1);", [[1], [0, 2, 3]]),
        ("nplurals=2; plural=n>1", [[0, 1], [2, 3]]),
        ("nplurals = 3 ; plural = n==1 ? 0 : n==2 ? 1 : 2 ;", [[1], [2], [0, 3]]),
    ],
)
def test_a_header_says_which_numbers_take_which_form(header: str, numbers: list[list[int]]) -> None:
    """In C, with or without brackets and spaces."""
    forms = plural_forms(header)

    assert forms
    assert [[number for number in taken if number < 4] for taken in forms.numbers] == [list(taken) for taken in numbers]


@pytest.mark.parametrize(
    "header",
    [
        "",
        "nplurals=INTEGER; plural=EXPRESSION;",
        "nplurals=0; plural=0;",
        "nplurals=99999999999; plural=0;",
        "nplurals=2; plural=n;",
        "nplurals=2; plural=n/0;",
        "nplurals=2; plural=__import__('os');",
        "nplurals=2; plural=" + "(" * 500 + "n",
    ],
)
def test_what_is_no_formula_says_nothing(header: str) -> None:
    """A template's, one that fails, one that would run something."""
    assert plural_forms(header) is None


@pytest.mark.parametrize(
    ("language", "count"),
    [("pt", 2), ("pt-BR", 2), ("pt_BR", 2), ("PT-br", 2), ("ru", 3), ("ja", 1), ("zh-Hans", 1), ("ar", 6), ("en", 2)],
)
def test_languages_are_known_by_tags_and_by_locales(language: str, count: int) -> None:
    """The region only matters where it makes a difference."""
    forms = forms_of_language(language)

    assert forms
    assert len(forms.numbers) == count
    assert (0 in forms.numbers[0]) == (language.lower().replace("_", "-") in ("pt-br", "ja", "zh-hans", "ar"))


def test_every_formula_of_the_table_is_one() -> None:
    """And each form is taken by some number."""
    for language in plurals._TABLE:
        forms = forms_of_language(language)
        assert forms
        assert all(forms.numbers), language
    assert forms_of_language("tlh") is forms_of_language(None) is None


@pytest.mark.parametrize(
    ("language", "singular", "plural", "chosen"),
    [
        ("en", "One file", "%d files", [True, False]),
        ("pt-BR", "One file", "%d files", [True, False]),
        ("ru", "%d file", "%d files", [True, False, False]),
        ("ru", "One file", "%d files", [False, False, False]),
        ("ru", "{n} file", "{n} files", [True, False, False]),
        ("ja", "%d file", "%d files", [False]),
        ("ar", "%d file", "%d files", [False, True, False, False, False, False]),
    ],
)
def test_a_form_is_made_of_the_singular_where_that_is_right(
    language: str, singular: str, plural: str, chosen: list[bool]
) -> None:
    """Russian says 21 as it says 1: "one file" would be wrong there, "%d file" is not."""
    forms = forms_of_language(language)

    assert forms
    assert list(forms.texts(singular, plural)) == chosen

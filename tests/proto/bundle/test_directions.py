"""Which pair two tags mean."""

import pytest

from dragoman.bundle.directions import MOST_LISTED, Directions
from dragoman.bundle.manifest import LanguagePair

MANY = Directions(((("en", "pt", "pt-BR", "zh", "zh-Hant"), ("en", "pt", "zh-Hans", "zh", "zh-Hant", "zh-TW")),))
PAIRS = Directions(((("de",), ("en",)), (("fr",), ("en",)), (("en",), ("en",))))
ANYTHING = Directions(((("mul",), ("en", "pt")),))


@pytest.mark.parametrize(
    ("directions", "source", "target", "pairs"),
    [
        (MANY, "en", "pt", ["en-pt"]),
        (MANY, "EN-us", "PT-br", ["en-pt"]),
        (MANY, "pt-BR", "zh-TW", ["pt-BR-zh-TW"]),
        (MANY, "pt-br-x-old", "zh-Hant-HK", ["pt-BR-zh-Hant"]),
        (MANY, "zh-CN", "zh-Hant", ["zh-zh-Hant"]),
        (MANY, "en", "en", []),
        (MANY, "e", "pt", []),
        (MANY, "en", "de", []),
        (PAIRS, "", "en", ["de-en", "fr-en", "en-en"]),
        (PAIRS, "fr-CA", "", ["fr-en"]),
        (PAIRS, "en", "en", ["en-en"]),
        (ANYTHING, "de", "pt", ["de-pt"]),
        (ANYTHING, "en", "en", []),
        (ANYTHING, "", "pt", ["mul-pt"]),
    ],
)
def test_tags_find_the_closest_pairs(directions: Directions, source: str, target: str, pairs: list[str]) -> None:
    """Without regard to case; unknown subtags fall back; a language is not translated into itself, but by its pair."""
    assert [str(pair) for pair in directions.closest(source, target).pairs] == pairs


def test_more_subtags_are_closer() -> None:
    """So that of several bundles the one that serves the variant is chosen; what fits nowhere is below all."""
    near = [MANY.closest(*tags).closeness for tags in (("", ""), ("en", ""), ("en", "pt"), ("pt-BR", "zh-TW"))]

    assert near == [0, 1, 2, 4]
    assert MANY.closest("xx", "").closeness == -1


def test_an_open_side_of_two_hundred_languages_lists_a_few() -> None:
    """Whoever must choose sees what the choice looks like, and no request is slow."""
    tags = tuple(f"{a}{b}" for a in "abcdefghijklmno" for b in "abcdefghijklmno")
    directions = Directions(((tags, tags),))

    assert 1 < len(directions.closest("", "aa").pairs) <= MOST_LISTED
    assert directions.first == LanguagePair("aa", "ab")
    assert str(directions) == "any of 225 languages into any of 225 languages"
    assert directions.closest("ab", "ac").pairs == (LanguagePair("ab", "ac"),)


def test_names() -> None:
    """A pair is written as a pair, a few languages by their tags."""
    assert str(PAIRS) == "de-en, fr-en, en-en"
    assert str(ANYTHING) == "mul into en/pt"

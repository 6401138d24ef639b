"""Spaces that are no plain ones come back where their words are."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from properties import examples

from dragoman.server.core.spans import Span
from dragoman.server.text.spaces import has_wide, with_wide


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("It costs 5\u00a0EUR now.", "Custa agora 5 EUR.", "Custa agora 5\u00a0EUR."),
        ("On page\u00a05 of it", "Na página 5 dela", "Na página\u00a05 dela"),  # by what is behind it
        (
            "5\u00a0dollars (7\u00a0then)",
            "5 dólares (7 então)",
            "5\u00a0dólares (7\u00a0então)",
        ),  # by what is before it
        ("a\u202f5 and b\u00a05", "a 5 e b 5", "a\u202f5 e b\u00a05"),
        ("the\u00a0dog 5", "o cão 5", "o cão 5"),  # nothing says where
        ("5\u00a0km, 6 km", "5 km, 6 km", "5\u00a0km, 6 km"),
        ("5\u00a0\u00a0km", "5 km", "5\u00a0km"),
        ("\u00a05 km\u00a0", "5 km", "5 km"),  # no words on both sides
        ("a\u30005", "a 5", "a\u30005"[:1] + " 5"),  # of ideographs
        ("5\u00a0km", "", ""),
        ("5\u00a0km", "5  km", "5  km"),
        ("Hi\u00a0!", "Olá !", "Olá\u00a0!"),
    ],
)
def test_a_space_is_put_where_its_words_stand(source: str, target: str, expected: str) -> None:
    """Both of them, else the one behind it, else the one before it, if that is there once."""
    assert with_wide(source, target) == expected


def test_what_is_fixed_stays_as_it_was() -> None:
    """Be it that a span has the very words."""
    target = "5 km x 5 km"

    assert with_wide("x 5\u00a0km", target, [Span(0, 4)]) == "5 km x 5\u00a0km"
    assert with_wide("x 5\u00a0km", target, [Span(0, 4), Span(7, 11)]) == target


def test_plain_spaces_and_those_of_ideographs_are_not_wide() -> None:
    """Nor is a letter that is not ASCII."""
    assert [has_wide(text) for text in ("a b\tc", "é b", "a\u3000b", "a\u00a0b", "a\u2009b")] == [0, 0, 0, 1, 1]


TEXTS = st.lists(st.sampled_from(["5", "km", "(km)", "a", " ", " ", "\u00a0", "\u202f", ".", "é"])).map("".join)


@settings(max_examples=examples(200), deadline=None)
@given(TEXTS, TEXTS)
def test_nothing_but_plain_spaces_is_ever_changed(source: str, target: str) -> None:
    """The result is as long as the translation, and has no more such spaces than both texts together."""
    result = with_wide(source, target)

    assert len(result) == len(target)
    assert all(new == old or (old == " " and has_wide(new)) for old, new in zip(target, result, strict=True))
    assert sum(map(has_wide, result)) <= sum(map(has_wide, source)) + sum(map(has_wide, target))

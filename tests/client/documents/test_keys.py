"""Patterns of keys."""

import pytest

from dragoman.client.documents.keys import chosen


@pytest.mark.parametrize(
    ("pattern", "path", "is_chosen"),
    [
        ("a", ("a",), True),
        ("a", ("b", "a", "c"), True),
        ("a", ("ab",), False),
        ("a.b", ("x", "a", "b"), False),
        ("a.*", ("a", "b", "c"), True),
        ("*.c", ("a", "b", "c"), False),
        ("**.c", ("a", "b", "c"), True),
        ("?", ("long", "x"), True),
        ("a.b", ("a.b",), True),
        ("a+", ("a+",), True),
        ("[a]", ("a",), False),
        ("a", (), False),
        ("line\nend", ("line\nend",), True),
    ],
)
def test_a_pattern_names_a_string_or_what_it_lies_in(pattern: str, path: tuple[str, ...], is_chosen: bool) -> None:
    """By keys with dots between them; without a dot at any depth."""
    assert chosen([pattern])(path) == is_chosen
    assert chosen([f"!{pattern}"])(path) != is_chosen

"""Drafts from a text that is at hand."""

import pytest

from dragoman.server.decode.text_drafts import copied, follow


@pytest.mark.parametrize(
    ("text", "prefix", "found"),
    [
        ((5, 6, 7, 8), (), (5, 6, 7)),
        ((5, 6, 7, 8), (5, 6), (7, 8)),
        ((5, 6, 7, 8), (9, 9, 6), (7, 8)),  # found again by one word
        ((5, 6, 9, 5, 7, 8), (4, 9, 5), (7, 8)),  # by two, as one is ambiguous
        ((5, 1, 2, 5, 3, 4), (9, 9, 9, 5), (3, 4)),  # of two places the nearer one
        ((5, 6), (5, 6), ()),
        ((5, 6), (7,), ()),
        ((), (7,), ()),
    ],
)
def test_a_text_is_followed_where_the_translation_agrees(text, prefix, found):
    """Read on from the beginning, or from where the last words are found again."""
    assert follow(text, prefix, 3) == found


def test_a_source_is_not_read_before_a_word_of_it_is_found():
    """Its beginning is in another language."""
    assert copied((5, 6, 7), (), 3) == ()
    assert copied((5, 6, 7), (9, 5), 2) == (6, 7)

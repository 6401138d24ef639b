"""What each id adds to a text."""

import random
from collections.abc import Sequence

import pytest

from dragoman.server.text.surfaces import surfaces_of

PIECES = ["a", "b ", " c", "\u00e3", "  "]


def tidy(ids: Sequence[int]) -> str:
    """A decoder that drops white space at both ends, as vocabularies do: a piece changes what stands before it."""
    return "".join(PIECES[index] for index in ids).strip()


def half_characters(ids: Sequence[int]) -> str:
    """A decoder of bytes: a half character is shown as a mark until its other half comes."""
    return bytes(ids).decode("utf-8", "replace")


@pytest.mark.parametrize("seed", range(20))
def test_joined_they_are_the_text(seed: int) -> None:
    """Whatever a later id changes in what an earlier one showed."""
    ids = random.Random(seed).choices(range(len(PIECES)), k=8)

    assert "".join(surfaces_of(tidy, ids)) == tidy(ids)


def test_what_changes_goes_to_the_id_that_changes_it() -> None:
    """A space that only the next piece makes one inside the text; a character that only its last byte makes whole."""
    assert surfaces_of(tidy, [1, 0]) == ["b", " a"]
    assert surfaces_of(half_characters, list("é!".encode())) == ["", "é", "!"]


def test_no_ids_add_nothing() -> None:
    """There is no text either."""
    assert surfaces_of(tidy, []) == []

"""Pieces of long texts."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st
from properties import examples

from dragoman.client.documents.pieces import SIZE, pieces


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(st.integers(0, 100), unique=True), st.integers(0, 100), st.integers(1, 30))
def test_pieces_are_all_of_it_and_as_large_as_may_be(places: list[int], more: int, size: int) -> None:
    """None could be joined with its neighbour, and none could have been cut once more."""
    cuts = sorted(places)
    length = (cuts[-1] if cuts else 0) + more

    found = list(pieces(cuts, length, size))

    assert [start for start, _ in found] == [0, *(end for _, end in found[:-1])] if length else found == []
    assert not found or found[-1][1] == length
    for start, end in found:
        assert end - start <= size or not any(start < cut < end for cut in cuts)
    for (start, _), (_, end) in itertools.pairwise(found):
        assert end - start > size


def test_a_piece_fits_into_a_call() -> None:
    """Which a server that holds little admits."""
    assert 1000 < SIZE < 100_000

"""Where text came from."""

from dragoman.server.core.spans import Span
from dragoman.server.text.markup.document import Piece, TextMap


def test_a_stretch_of_text_is_found_in_its_source() -> None:
    """Character by character where lengths are equal, else all of what a piece was read from."""
    places = TextMap(
        (Piece(0, Span(3, 6)), Piece(3, Span(6, 11)), Piece(4, Span(15, 17))), 6
    )  # abc, &amp; and, after a tag, de

    assert places.span(Span(1, 3)) == (4, 6)
    assert places.span(Span(2, 4)) == (5, 11)
    assert places.span(Span(3, 5)) == (6, 16)
    assert places.span(Span(0, 6)) == (3, 17)

"""Marks of a segment, by links or by position."""

from dragoman.server.core.spans import Span
from dragoman.server.core.translations import Alignment
from dragoman.server.text.marking import marked_by_attention, marked_by_position
from dragoman.server.text.markup.html import parse_html
from dragoman.server.text.markup.passages import passages


def test_links_say_where_marks_are() -> None:
    """The strongest of a word's links decides."""
    [block] = parse_html("red <b>car</b>").blocks
    [passage] = passages(block, [Span(0, 7)])
    red, car, carro, vermelho = Span(0, 3), Span(4, 7), Span(0, 5), Span(6, 14)
    links = [Alignment(car, carro, 0.9), Alignment(red, carro, 0.1), Alignment(red, vermelho, 0.8)]

    insertions = marked_by_attention(passage, "carro vermelho", links)

    assert [insertion.at for insertion in insertions] == [0, 5]


def test_without_links_words_keep_their_places() -> None:
    """And marks with them."""
    [block] = parse_html("red <b>car</b>").blocks
    [passage] = passages(block, [Span(0, 7)])

    insertions = marked_by_position(passage, "carro vermelho")

    assert [insertion.at for insertion in insertions] == [6, 14]

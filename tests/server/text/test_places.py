"""Where segments are in the text as it was sent, and in its translation."""

from dragoman.bundle.manifest import LanguagePair
from dragoman.server.core.requests import InputFormat
from dragoman.server.core.spans import Span
from dragoman.server.core.translations import SpanPair
from dragoman.server.text.marking import marked_by_position
from dragoman.server.text.markup.marked import MarkedText
from dragoman.server.text.places import MarkedPlaces, PlainPlaces
from dragoman.server.text.preparing import PreparedText, with_marks
from dragoman.server.text.splitting import TextLayout


def prepared(text: str, *spans: Span) -> PreparedText:
    return PreparedText(text, TextLayout.of(text, spans), ((0,),) * len(spans), LanguagePair("en", "pt"))


def cut(places: PlainPlaces | MarkedPlaces, source: str, pair: SpanPair) -> tuple[str, str]:
    return source[slice(*pair.source)], places.text[slice(*pair.target)]


def test_places_in_a_plain_text() -> None:
    """Segments move with what stands before them; what is between them moves with its gap."""
    source = "! a b ? c"
    places = PlainPlaces(prepared(source, Span(2, 5), Span(8, 9)), ["xxx yyy", "z"])

    assert places.text == "! xxx yyy ? z"
    assert [cut(places, source, pair) for pair in places.segments] == [("a b", "xxx yyy"), ("c", "z")]
    assert cut(places, source, places.pair(0, Span(2, 3), Span(4, 7))) == ("b", "yyy")
    assert cut(places, source, places.outside(Span(6, 7))) == ("?", "?")
    assert cut(places, source, places.outside(Span(0, 1))) == ("!", "!")
    assert places.unwritten == frozenset()


def test_places_in_a_text_with_mark_up() -> None:
    """In the source and in the result, tags and entities counted; what is kept is written as the source has it."""
    source = "<p>! a &amp; <b>b</b></p>? <p>see a&ampb.c now</p>"
    marked = MarkedText.of(source, InputFormat.HTML, attributes=False)
    text = with_marks(prepared(marked.plain, Span(2, 7), Span(8, 21)), marked)
    segments = ["<x> & yy", "a&b.c veja"]
    insertions = {0: marked_by_position(text.passages[0], segments[0])}

    layouts = {1: [(Span(5, 6), "\n ")]}
    places = MarkedPlaces(text, segments, insertions, {1: [(Span(4, 9), Span(0, 5))]}, layouts)

    assert marked.plain == "! a & b\nsee a&b.c now"
    assert places.text == "<p>! &lt;x&gt; &amp; <b>yy</b></p>? <p>a&ampb.c\n veja</p>"
    assert cut(places, source, places.pair(0, Span(4, 5), Span(6, 8))) == ("b", "yy")
    assert cut(places, source, places.outside(Span(0, 1))) == ("!", "!")

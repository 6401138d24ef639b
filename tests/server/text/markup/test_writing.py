"""Translations, put where the source had its text."""

from marked_up import backwards, shouted, translated

from dragoman.server.core.spans import Span
from dragoman.server.text.markup.html import parse_html


def test_only_passages_are_written_anew() -> None:
    """Everything else is the source, to the byte."""
    source = "<P  Class=x >one &amp; two<!--\n--></p >\n\t<PRE>three</PRE><p>four"

    assert translated(parse_html(source), shouted).text == (
        "<P  Class=x >ONE &amp; TWO<!--\n--></p >\n\t<PRE>three</PRE><p>FOUR"
    )


def test_atoms_come_back_as_they_were() -> None:
    """Not escaped, with the tags in them."""
    source = "Use <code class=a>x &lt; <i>y</i></code> here"

    assert translated(parse_html(source), backwards).text.endswith("<code class=a>x &lt; <i>y</i></code>")


def test_the_places_of_translations_are_known() -> None:
    """Of passages, of words in them, of values of attributes; behind characters that are escaped, too."""
    source = "<p title='x y'>a &amp; <b>cat</b>. The same."
    document = parse_html(source, attributes=True)

    result = translated(document, lambda read: (read, None) if read.text == "The same." else shouted(read))

    assert result.text == "<p title='X Y'>A &amp; <b>CAT</b>. The same."
    assert [result.text[slice(*span)] for span in result.spans] == ["A &amp; <b>CAT</b>.", "The same.", "X Y"]
    assert result.text[slice(*result.maps[0].span(Span(4, 7)))] == "CAT"
    assert result.text[slice(*result.maps[0].span(Span(2, 3)))] == "&amp;"
    assert result.text[slice(*result.maps[1].span(Span(5, 7)))] == "am"
    assert result.text[slice(*result.maps[2].span(Span(2, 3)))] == "Y"


def test_the_places_in_an_unchanged_sentence_count_what_changed_in_its_tags() -> None:
    """An attribute within it became longer."""
    source = "It has <img alt=abc> words"
    document = parse_html(source, attributes=True)

    result = translated(document, lambda read: shouted(read) if read.text == "abc" else (read, None))

    assert result.text == 'It has <img alt="ABC"> words'
    assert result.text[slice(*result.maps[0].span(Span(8, 13)))] == "words"

"""HTML as blocks of text."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marked_up import EXAMPLES, at_random, broken_html, html_fragments, shouted, tags, tokens, translated

from dragoman.server.text.markup.html import parse_html


def texts(source: str, *, attributes: bool = False) -> list[str]:
    document = parse_html(source, attributes=attributes)
    return [block.text.strip() for block in (*document.blocks, *document.attributes)]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a <b>c</b>d<br>e", ["a cd", "e"]),
        ("<ul><li>A &amp; B&nbsp;c<li>d</ul>", ["A & B\u00a0c", "d"]),
        ("a\n   b <i> c </i> d", ["a b c d"]),
        ("<p>a<p>b", ["a", "b"]),
        ("<title>a &lt; b</title><body>c", ["a < b", "c"]),
        ("<script>a()</script><style>b{}</style><pre>c</pre><textarea>d</textarea>e", ["e"]),
        ("Use <code>f(<i>x</i>)</code> or <kbd>a &amp; b</kbd> now", ["Use f(x) or a & b now"]),
        ("<code>f</code> <code>g</code>", []),
        ("a <span translate=no>Bob</span> b <i class='x notranslate'>c</i>", ["a Bob b c"]),
        ("<div translate=no>a <div>b</div> <p translate=yes>c</p> d</div>e", ["c", "e"]),
        ("<div class=notranslate>a</div>b", ["b"]),
        ("a<svg><text>b</text></svg><!-- c -->d", ["ad"]),
        ("Press <img src=x> now", ["Press  now"]),
        ("<button>Save</button><button>Cancel</button>", ["Save", "Cancel"]),
        ("a &unknown; &#1; b", ["a &unknown; b"]),
        ("<my-tag>a</my-tag>b", ["ab"]),
        ("12 <b>34</b>", []),
    ],
)
def test_blocks(source: str, expected: list[str]) -> None:
    """The text between tags that end a block, as a reader sees it."""
    assert texts(source) == expected


def test_attributes_are_blocks_where_that_is_asked_for() -> None:
    """Those that have text for readers, and no others; also of what is otherwise kept as it is."""
    source = (
        "<img alt='a &amp; b' src=x><a title=c aria-label=d>e</a>"
        '<textarea placeholder="f">g</textarea><p translate=no title=h>'
    )

    assert texts(source) == ["e"]
    assert texts(source, attributes=True) == ["e", "a & b", "c", "d", "f"]


def test_attributes_are_written_where_they_were() -> None:
    """Escaped as their quotation marks need it; those without get some."""
    source = "<a title='a b'>x<img alt=c> <img alt=\"d &amp; e\">y</a>"

    result = translated(parse_html(source, attributes=True), shouted).text

    assert result == '<a title=\'A B\'>X<img alt="C"> <img alt="D &amp; E">Y</a>'


@settings(max_examples=EXAMPLES, deadline=None)
@given(html_fragments, st.integers(0, 10**6))
def test_elements_stay_whatever_a_model_says(source: str, seed: int) -> None:
    """The same elements with the same attributes, as a browser has them; so nesting is valid."""
    result = translated(parse_html(source), at_random(seed)).text

    assert tags(result) == tags(source)


@settings(max_examples=EXAMPLES, deadline=None)
@given(html_fragments, st.integers(0, 10**6))
def test_elements_stay_where_attributes_are_translated(source: str, seed: int) -> None:
    """The same elements with attributes of the same names."""
    result = translated(parse_html(source, attributes=True), at_random(seed)).text

    def names(html: str) -> list[object]:
        return sorted(repr((tag, [key for key, _ in rest])) for tag, rest in tags(html).elements() if tag != "comment")

    assert names(result) == names(source)


@settings(max_examples=EXAMPLES, deadline=None)
@given(broken_html, st.integers(0, 10**6))
def test_no_tag_of_broken_html_is_lost(source: str, seed: int) -> None:
    """Tags that do not match, or never end, are all there again."""
    result = translated(parse_html(source), at_random(seed)).text

    assert tokens(result) == tokens(source)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.one_of(html_fragments, broken_html))
def test_what_is_not_changed_is_the_same_to_the_byte(source: str) -> None:
    """Entities, white space and disorder among it."""

    def unchanged(sentence):
        return sentence, None

    assert translated(parse_html(source, attributes=True), unchanged).text == source


@settings(max_examples=EXAMPLES, deadline=None)
@given(html_fragments)
def test_blocks_stay_in_order(source: str) -> None:
    """What a translation's blocks say is what the source's blocks say, in the same order; white space aside."""

    def said(html: str) -> list[str]:
        return ["".join(text.upper().split()) for text in texts(html)]

    source = source.replace("code>", "u>")  # the test's translator leaves code where it finds it
    result = translated(parse_html(source), shouted).text

    assert said(result) == said(source)


@pytest.mark.parametrize(
    "part",
    ["<", "<a", "<a>", "<b></b>", "<!--", '<a "', '<a b="', "&", "&lt", "<b><i></b></i>", "<svg>", "</b>", "<b>x"],
)
def test_a_long_text_of_nothing_but_mark_up_is_read(part: str) -> None:
    """A hundred thousand characters of what could cost the square of it."""
    source = part * (100_000 // len(part))

    document = parse_html(source, attributes=True)

    assert document.source == source

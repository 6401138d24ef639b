"""Markdown as blocks of text."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token
from marked_up import EXAMPLES, at_random, backwards, markdown_documents, shouted, translated

from dragoman.server.text.markup.markdown import parse_markdown
from dragoman.server.text.markup.placing import Sentence

PLAIN = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def texts(source: str, *, attributes: bool = False) -> list[str]:
    document = parse_markdown(source, attributes=attributes)
    return [block.text.strip() for block in (*document.blocks, *document.attributes)]


def shape(source: str) -> tuple[list[str], Counter[str]]:
    """The blocks of a document, and what is within them, as the library itself reads it."""
    blocks, within = list[str](), Counter[str]()

    def look(token: Token) -> None:
        if token.type == "inline":
            for child in token.children or ():
                if child.type not in ("text", "softbreak"):
                    address = child.attrs.get("href", child.attrs.get("src"))
                    within[f"{child.type} {address} {child.content if child.type != 'image' else ''}"] += 1
        else:
            blocks.append(f"{token.type} {token.attrs} {token.content if token.type != 'html_block' else ''}")

    for token in PLAIN.parse(source):
        look(token)
    return blocks, within


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("# One *two* {#id}\n\nThree\n=====", ["One two", "Three"]),
        ("> one\n> two\nthree\n\n- [ ] four\n  five\n- six", ["one two three", "four five", "six"]),
        ("one  \ntwo\\\nthree<br>four", ["one", "two", "three", "four"]),
        ("---\ntitle: One\n---\n\ntwo\n\n---\n\nthree\n", ["two", "three"]),
        ("| One | two \\| three |\n|---|---|\n| 1 | `a` |\n| four | *five* |", ["One", "two | three", "four", "five"]),
        ("Use `a *b*`, <kbd>Ctrl</kbd> or <http://a.b>!", ["Use a *b*, Ctrl or http://a.b!"]),
        ("```py\none\n```\n\n    two\n\nthree", ["three"]),
        ("<div>\n<p>One <i>two</i></p>\n<pre>three</pre>\n</div>\n\nfour", ["One two", "four"]),
        ("one [two](http://a 'b') ![three](c) [four][five]\n\n[five]: http://x 'six'", ["one two  four"]),
        ("One.[^1]\n\n[^1]: Two three.", ["One.", "Two three."]),
        ("> [!NOTE]\n> One two.", ["One two."]),
        ("a \\* b &amp; c\\d", ["a * b & c\\d"]),
        ("1. one\n\n   two\n2) three", ["one", "two", "three"]),
        ("*one **two*** ~~three~~ __four__", ["one two three four"]),
        ("one\r\ntwo\r\n\r\nthree", ["one two", "three"]),
    ],
)
def test_blocks(source: str, expected: list[str]) -> None:
    """What a reader reads, without the signs around it."""
    assert texts(source) == expected


def test_texts_of_images_and_titles_where_that_is_asked_for() -> None:
    """They are blocks of their own."""
    source = "![one](a 'two') [three](b \"four\")"

    assert texts(source, attributes=True) == ["three", "one", "two", "four"]
    assert translated(parse_markdown(source, attributes=True), shouted).text == "![ONE](a 'TWO') [THREE](b \"FOUR\")"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("one **two** [three](u 't')", "[THREE](u 't') **TWO** ONE"),
        ("# one *two*\n", "# *TWO* ONE\n"),
        ("> one\n> *two*\n", "> *TWO* ONE\n"),
        ("one  \n*two* three", "ONE  \nTHREE *TWO*"),
        ("one\\\r*two* three", "ONE\\\rTHREE *TWO*"),
        ("- [x] one `a`\n", "- [x] A ONE `a`\n"),
        ("|a \\| b|\n|-|", "|B \\| A|\n|-|"),
        ("[one] two\n\n[one]: u", "TWO [ONE][one]\n\n[one]: u"),
        ("one two[^1] three\n", "THREE TWO[^1] ONE\n"),
        ("one \\# two", "TWO # ONE"),
        ("one \\#", "\\# ONE"),
        ("one .", ". ONE"),
        ("one 1", "1 ONE"),
    ],
)
def test_translations(source: str, expected: str) -> None:
    """Marks follow their words, all else stays where it is; what would mean something else is escaped."""
    assert translated(parse_markdown(source), backwards).text == expected


def test_what_a_text_would_mean_is_escaped() -> None:
    """Whatever a model says is text, and no mark-up."""
    said = "# 1. *a* _b_ `c` [d](e) <f> &amp; ![g](h) ~~i~~ | <!-- j -->"

    def says(read):
        return read._replace(text=said, words=[]), None

    for source in ("word", "# word", "> word", "- word", "|word|\n|-|"):
        result = translated(parse_markdown(source), says).text
        assert shape(result) == shape(source)


@pytest.mark.parametrize("source", ["# ~~~~one~~~~", "> # **~~~~one~~~~**", "~~~~one~~~~\n==="])
def test_what_would_begin_a_block_elsewhere_is_text_in_a_heading(source: str) -> None:
    """Where a model says nothing, too, so that only the signs around it are left."""
    for said in ("", "ONE", "~~~~", "> ONE", "- ONE"):
        result = translated(parse_markdown(source), lambda _, said=said: (Sentence(said, []), None)).text
        assert shape(result) == shape(source)


@settings(max_examples=EXAMPLES, deadline=None)
@given(markdown_documents, st.integers(0, 10**6))
def test_structure_stays_whatever_a_model_says(source: str, seed: int) -> None:
    """Blocks, emphasis, links, code and breaks, as the library reads them."""
    result = translated(parse_markdown(source), at_random(seed)).text

    assert shape(result) == shape(source)


@settings(max_examples=EXAMPLES, deadline=None)
@given(markdown_documents.map(lambda source: source.replace("[ref]", "[a][ref]")))
def test_what_is_not_changed_is_the_same_to_the_byte(source: str) -> None:
    """But for links that are called by their text, which get their name."""
    assert translated(parse_markdown(source, attributes=True), lambda read: (read, None)).text == source


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.text("ab *_`[]()<>!&\\~|#->\n\t\r1.:^'\"", max_size=60), st.integers(0, 10**6))
def test_any_text_is_a_document(source: str, seed: int) -> None:
    """There is no Markdown that is none."""
    result = translated(parse_markdown(source, attributes=True), at_random(seed)).text

    assert shape(result) == shape(source)

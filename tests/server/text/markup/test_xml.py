"""XML as blocks of text."""

from collections import Counter
from collections.abc import Iterator
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marked_up import EXAMPLES, at_random, shouted, translated, xml_fragments

from dragoman.server.text.markup.xml import NotWellFormed, parse_xml


def texts(source: str, *, attributes: bool = False) -> list[str]:
    document = parse_xml(source, attributes=attributes)
    return [block.text.strip() for block in (*document.blocks, *document.attributes)]


def elements(source: str) -> Counter[tuple[str, str]]:
    parser = ElementTree.XMLParser(target=ElementTree.TreeBuilder(insert_comments=True, insert_pis=True))
    root = ElementTree.fromstring(f'<root xmlns:ns="n">{source}</root>', parser)

    def nodes() -> Iterator[tuple[str, str]]:
        for node in root.iter():
            yield (
                (node.tag, repr(sorted(node.attrib.items())))
                if isinstance(node.tag, str)
                else ("other", str(node.text))
            )

    return Counter(nodes())


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("Hello <b>world</b>!", ["Hello world!"]),
        ("<a>\n <t>one two</t>\n <s>three <i>four <u>five</u></i></s></a>", ["one two", "three four five"]),
        ("<a>one<p>two</p>three</a>", ["one", "two", "three"]),
        ("<a>x &amp; &#xe9; &lt;b></a>", ["x & é <b>"]),
        ("<a><![CDATA[a & b]]></a><b><![CDATA[<p>c <i>d</i></p><p>e]]></b>", ["a & b", "c d", "e"]),
        ("<s translatable='false'>a</s><s its:translate='no'>b</s><s>c <g translate='no'>d</g></s>", ["c d"]),
        ("<a><code>x</code></a><b>use <code>y</code></b>", ["x", "use y"]),
        ("<a xml:space='preserve'>b\n  c</a>", ["b\n  c"]),
        ("a <x id='1'/> b<!-- c --><?d e?>", ["a  b"]),
        (
            '<?xml version="1.0"?><!DOCTYPE html SYSTEM "a>b">'
            '<html xmlns="http://www.w3.org/1999/xhtml"><h1>c&nbsp;d</h1><ul><li>e<ul><li>f</li></ul></li></ul></html>',
            ["c\u00a0d", "e", "f"],
        ),
    ],
)
def test_blocks(source: str, expected: list[str]) -> None:
    """Elements beside text are within a sentence, others are blocks."""
    assert texts(source) == expected


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("<a>", "not well-formed XML: mismatched tag, line 1, column 6"),
        ("<a>\n</b>", "not well-formed XML: mismatched tag, line 2, column 3"),
        ("a < b", "not well-formed XML: not well-formed (invalid token), line 1, column 4"),
        ("&nbsp;", "not well-formed XML: undefined entity, line 1, column 1"),
        ("</x><x>", "not well-formed XML: junk after document element, line 1, column 5"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "a DOCTYPE with declarations of its own: leave them out"),
        ('<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a/>', "a DOCTYPE with declarations of its own"),
        ("<!DOCTYPE a [<!ELEMENT a ANY>]><a/>", "a DOCTYPE with declarations of its own: leave them out"),
    ],
)
def test_what_is_refused(source: str, reason: str) -> None:
    """With the place, counted in the text as it came; nothing is expanded, nothing is read from elsewhere."""
    with pytest.raises(NotWellFormed) as error:
        parse_xml(source)

    assert str(error.value).startswith(reason)


def test_attributes_are_written_where_they_were() -> None:
    """Escaped for their quotation marks; of elements that are kept, and others, they stay."""
    source = "<a title='b &amp; c' id='d'>e <f alt=\"g\"/></a><a translate='no' title='h'>i</a>"

    assert translated(parse_xml(source, attributes=True), shouted).text == (
        "<a title='B &amp; C' id='d'>E <f alt=\"G\"/></a><a translate='no' title='h'>i</a>"
    )


@settings(max_examples=EXAMPLES, deadline=None)
@given(xml_fragments, st.integers(0, 10**6))
def test_elements_stay_whatever_a_model_says(source: str, seed: int) -> None:
    """The same elements, comments and instructions, and well-formed."""
    result = translated(parse_xml(source), at_random(seed)).text

    assert elements(result) == elements(source)


@settings(max_examples=EXAMPLES, deadline=None)
@given(xml_fragments)
def test_what_is_not_changed_is_the_same_to_the_byte(source: str) -> None:
    """Sections, references, white space."""
    assert translated(parse_xml(source, attributes=True), lambda read: (read, None)).text == source

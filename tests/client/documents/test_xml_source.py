"""XML and where its elements stand."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from properties import examples

from dragoman.client.documents.errors import DocumentError, Unwritable
from dragoman.client.documents.xml_source import escaped, parsed, with_attribute, xml_file

XML = """\
<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE a>
<a x='>"' xmlns:n="urn:n" ><!-- <b> --><n:b/>é😀<c
  d="/>">t&lt;&#x41;<![CDATA[<x>]]>\r\n</c ><e></e></a>
"""


def test_elements_know_where_they_stand() -> None:
    """Whatever stands in attributes, comments and sections."""
    root = parsed(XML)

    slices = [XML[element.start : element.end] for element in root.walk()]
    assert slices[1:] == ["<n:b/>", '<c\n  d="/>">t&lt;&#x41;<![CDATA[<x>]]>\r\n</c >', "<e></e>"]
    assert slices[0] == XML[XML.index("<a") : -1]
    assert [(element.name, element.namespace) for element in root.walk()][:2] == [("a", ""), ("b", "urn:n")]
    b, c, e = root.children
    assert (b.is_empty_tag, e.is_empty_tag) == (True, False)
    assert XML[c.content : c.content_end] == "t&lt;&#x41;<![CDATA[<x>]]>\r\n"
    assert (c.text, c.attributes, root.texts) == ("t<A<x>\n", {"d": "/>"}, ["", "é😀", "", ""])
    assert root.child("e") is e
    assert root.child("x") is None


@settings(max_examples=examples(100), deadline=None)
@given(st.recursive(st.text(st.sampled_from("a é😀&<>\"'")), lambda inner: st.lists(inner, max_size=4), max_leaves=20))
def test_the_tree_is_that_of_lxml(shape: object) -> None:
    """With the same texts."""

    def build(parent: etree._Element, shape: object) -> None:
        child = etree.SubElement(parent, "x", a='">')
        if isinstance(shape, str):
            child.text = shape
        for inner in shape if isinstance(shape, list) else []:
            build(child, inner)
            child[-1].tail = "é"

    other = etree.Element("r")
    build(other, shape)
    text = etree.tostring(other, encoding="unicode")

    root = parsed(text)

    assert [element.text for element in root.walk()] == [
        "".join([element.text or "", *(child.tail or "" for child in element)]) for element in other.iter()
    ]
    for element in root.walk():
        assert parsed(text[element.start : element.end]).name == element.name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<a><b></a>", "no XML: mismatched tag at line 1, column 9"),
        ("", "no XML: no element found"),
        ("<a/>x", "no XML: junk after document element"),
        ("<a>&nbsp;</a>", "no XML: undefined entity"),
        ("<a>" * 300, "nested too deep"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "declares entities"),
        ('<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>', "declares entities"),
        ('<!DOCTYPE a [<!ENTITY % b SYSTEM "http://x/">%b;]><a/>', "declares entities"),
        ('<!DOCTYPE l [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><l>&b;</l>', "declares entities"),
    ],
)
def test_what_is_broken_or_dangerous_is_refused(text: str, said: str) -> None:
    """Before any entity means anything."""
    with pytest.raises(DocumentError, match=said):
        parsed(text)


@pytest.mark.parametrize("encoding", ["utf-8", "iso-8859-1", "utf-16", "koi8-r"])
def test_a_file_is_in_the_encoding_that_it_declares(encoding: str) -> None:
    """Or in that of its byte order mark."""
    text = f'<?xml version="1.0" encoding="{encoding}"?>\n<a>{"д" if encoding == "koi8-r" else "é"}</a>'

    file = xml_file(text.encode(encoding))

    assert file.text == text
    assert file.data(text) == text.encode(encoding)


def test_a_declaration_that_cannot_be_true_is_not_believed() -> None:
    """Some programs write UTF-8 and leave the declaration."""
    text = '<?xml version="1.0" encoding="utf-16"?><a>é</a>'

    assert xml_file(text.encode()).text == text


def test_text_is_escaped_and_what_the_encoding_lacks_becomes_a_reference() -> None:
    """What XML has no characters for is refused."""
    assert escaped('a&<>"\r\nę', "iso-8859-1") == 'a&amp;&lt;&gt;"&#13;\n&#281;'
    with pytest.raises(Unwritable, match="XML cannot hold"):
        escaped("\x07", "utf-8")


@pytest.mark.parametrize(
    ("tag", "written"),
    [
        ("<a>", '<a x="&quot;1">'),
        ("<a/>", '<a x="&quot;1"/>'),
        ('<a b="c" />', '<a b="c" x="&quot;1" />'),
        ("<a x='2' y=''>", "<a x=\"&quot;1\" y=''>"),
        ('<a\n x = "2"/>', '<a\n x = "&quot;1"/>'),
        ('<a xx="2">', '<a xx="2" x="&quot;1">'),
    ],
)
def test_an_attribute_is_changed_or_added(tag: str, written: str) -> None:
    """And nothing else of the tag."""
    assert with_attribute(tag, "x", '"1') == written

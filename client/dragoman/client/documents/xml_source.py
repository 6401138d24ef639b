"""XML with the places of its elements in the text, so that what is not translated is never written anew.

expat reads it, which is part of Python and says where it is. Entities that a document declares are refused, as a few
lines of them can mean gigabytes; no other file is ever opened.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

from dragoman.client.documents.errors import DocumentError, Unwritable
from dragoman.client.documents.files import TextFile, text_file

SPACE = "http://www.w3.org/XML/1998/namespace}space"
_DECLARED = re.compile(rb"""\s*<\?xml\s[^>]*?encoding\s*=\s*["']([A-Za-z0-9._-]+)["']""")
_TAG = re.compile(r"""<[^<>"']*(?:"[^"]*"[^<>"']*|'[^']*'[^<>"']*)*>""")
_UNKNOWN_CHARACTER = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MAX_DEPTH = 200


@dataclass
class Element:
    """An element, and where it stands in the text."""

    name: str
    """Without its namespace."""
    namespace: str
    attributes: dict[str, str]
    start: int
    content: int = 0
    """Where its start tag ends."""
    content_end: int = 0
    end: int = 0
    children: list["Element"] = field(default_factory=list)
    texts: list[str] = field(default_factory=lambda: [""])
    """Before, between and behind the children, as characters."""

    @property
    def is_empty_tag(self) -> bool:
        """Whether it is one tag."""
        return self.content == self.end

    @property
    def text(self) -> str:
        """Its own characters, without its children's."""
        return "".join(self.texts)

    def child(self, name: str) -> "Element | None":
        """The first child of this name."""
        return next((child for child in self.children if child.name == name), None)

    def walk(self) -> Iterator["Element"]:
        """The element and all within it, in the order of the text."""
        waiting = [self]
        while waiting:
            element = waiting.pop()
            yield element
            waiting += reversed(element.children)


def xml_file(data: bytes, encoding: str | None = None) -> TextFile:
    """The characters of an XML file, in the encoding that it declares."""
    declared = _DECLARED.match(data)
    name = declared[1].decode("ascii") if declared else None
    if name and name.lower().replace("_", "-").startswith(("utf-16", "utf-32", "ucs-")):
        name = None  # or it could not have been read
    return text_file(data, encoding or name)


def parsed(text: str) -> Element:
    """The root of a document. Raises DocumentError where it is not well-formed, declares entities or is too deep."""
    reader = _Reader(text)
    parser = expat.ParserCreate("utf-8", "}")
    parser.buffer_text = True
    parser.buffer_size = 2**20
    parser.StartElementHandler = lambda name, attributes: reader.start(name, attributes, parser.CurrentByteIndex)
    parser.EndElementHandler = lambda _: reader.finish(parser.CurrentByteIndex)
    parser.CharacterDataHandler = reader.characters
    parser.EntityDeclHandler = _refuse_entity
    try:
        parser.Parse(reader.data, True)  # noqa: FBT003 - expat takes no names
    except expat.ExpatError as error:
        reason = expat.ErrorString(error.code)
        raise DocumentError(f"no XML: {reason} at line {error.lineno}, column {error.offset + 1}") from error
    return reader.root


def _refuse_entity(*_: object) -> None:
    raise DocumentError("declares entities, which is refused: a few of them can stand for gigabytes")


class _Reader:
    """Makes elements of what expat says."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.data = text.encode("utf-8", "surrogatepass")
        self._byte = self._character = 0
        self._open: list[Element] = []
        self.root: Element

    def start(self, name: str, attributes: dict[str, str], byte: int) -> None:
        """A start tag."""
        namespace, _, local = name.rpartition("}")
        start = self._position(byte)
        tag = _TAG.match(self._text, start)
        assert tag is not None, "expat has found it well-formed"
        element = Element(local, namespace, attributes, start, tag.end())
        if self._open:
            self._open[-1].children.append(element)
            self._open[-1].texts.append("")
        else:
            self.root = element
        self._open.append(element)
        if len(self._open) > _MAX_DEPTH:
            raise DocumentError("no XML that can be read: it is nested too deep")

    def finish(self, byte: int) -> None:
        """An end tag, or the end of a tag that is both."""
        element = self._open.pop()
        position = self._position(byte)
        if position == element.start or self._text[element.content - 2] == "/":
            element.content_end = element.end = element.content
        else:
            tag = _TAG.match(self._text, position)
            assert tag is not None, "expat has found it well-formed"
            element.content_end, element.end = position, tag.end()

    def characters(self, text: str) -> None:
        """Characters of the innermost element."""
        self._open[-1].texts[-1] += text

    def _position(self, byte: int) -> int:
        """The character at a byte; bytes are asked for in order."""
        self._character += len(self.data[self._byte : byte].decode("utf-8", "surrogatepass"))
        self._byte = byte
        return self._character


def escaped(text: str, encoding: str) -> str:
    """A text as content of an element. Raises Unwritable for what XML has no characters for."""
    if unknown := _UNKNOWN_CHARACTER.search(text):
        raise Unwritable(f"the translation holds {unknown[0]!r}, which XML cannot hold")
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")
    return writable(text, encoding)


def writable(markup: str, encoding: str) -> str:
    """Content with a reference for each character that an encoding lacks."""
    return markup.encode(encoding, "xmlcharrefreplace").decode(encoding)


def with_attribute(tag: str, name: str, value: str) -> str:
    """A start tag with another value of an attribute, or with one attribute more."""
    value = value.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    old = re.compile(rf"""(\s{re.escape(name)}\s*=\s*)(?:"[^"]*"|'[^']*')""")
    if old.search(tag):
        return old.sub(lambda match: f'{match[1]}"{value}"', tag, count=1)
    end = re.search(r"\s*/?>\Z", tag)
    assert end is not None
    return f'{tag[: end.start()]} {name}="{value}"{end[0]}'

"""XML taken apart. Whether it is well-formed says expat; then it is easy to find the places in it.

Nobody knows the elements of any XML. An element is within a sentence if it stands beside text, or in one that does; all
others end a block, and so do some that are blocks wherever their names are used.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn
from xml.parsers import expat

from dragoman.server.text.markup.building import DocumentBuilder
from dragoman.server.text.markup.document import Document, Escaping
from dragoman.server.text.markup.html import ATTRIBUTES, BLOCK, CODE, add_words, read_html
from dragoman.server.text.markup.references import (
    character_data,
    double_quoted,
    single_quoted,
    xml_references,
    xml_text,
)
from dragoman.server.text.markup.tags import WHITE

WRAPPED = "<x>", "</x>"
"""Around a fragment, which may have several elements and text beside them."""
KEPT = frozenset(("script", "style", "pre"))
_NAMES = "p div li ul ol dl dt dd table tr td th h1 h2 h3 h4 h5 h6 br pre blockquote"
BLOCKS = frozenset(_NAMES.split())
"""Elements that end a block in whatever vocabulary."""
_XHTML = "http://www.w3.org/1999/xhtml"
_NO = {("translate", "no"), ("its:translate", "no"), ("translatable", "false"), ("translatable", "no")}
_MARKUP = re.compile(r"</?[a-zA-Z!]")

_PART = re.compile(
    r"<!--.*?-->|<!\[CDATA\[(?P<data>.*?)\]\]>|<\?.*?\?>|<!DOCTYPE(?:[^>\"']+|\"[^\"]*\"|'[^']*')*>"
    r"|<(?P<close>/?)(?P<name>[^\s/>]+)(?P<rest>(?:[^>\"']+|\"[^\"]*\"|'[^']*')*)>|[^<]+",
    re.DOTALL,
)
_ATTRIBUTE = re.compile(r"([^\s=]+)\s*=\s*([\"'])(.*?)\2", re.DOTALL)


class NotWellFormed(ValueError):  # noqa: N818 - what is wrong with it
    """A text that is no XML, or that has what is not taken from anybody."""


@dataclass(slots=True)
class _Element:
    """An element that is open: what is known of it from its tag, and then from what is in it."""

    name: str
    has_text: bool = False
    """Whether text stands directly in it."""
    is_inline: bool = False
    is_block: bool = False
    keeps_space: bool = False


def parse_xml(source: str, *, attributes: bool = False) -> Document:
    """A fragment or a whole document. Raises NotWellFormed where it is neither."""
    _check(source)
    parts = list(_PART.finditer(source))
    assert not parts or (parts[0].start(), parts[-1].end()) == (0, len(source)), "well-formed XML has nothing else"
    is_html = _XHTML in source
    reader = _XmlReader(source, parts, attributes=attributes, is_html=is_html)
    return reader.document()


def _check(source: str) -> None:
    """Refuse what is not well-formed, and declarations: by those of entities XML grows without end, or reads files."""
    is_document = source.lstrip().startswith(("<?xml", "<!DOCTYPE"))
    before, after = ("", "") if is_document else WRAPPED
    parser = expat.ParserCreate("utf-8")

    def declared(*_: object) -> NoReturn:
        raise NotWellFormed("a DOCTYPE with declarations of its own: leave them out")

    def doctype(_name: str, _system: str | None, _public: str | None, has_declarations: bool) -> None:  # noqa: FBT001
        if has_declarations:
            declared()

    parser.StartDoctypeDeclHandler = doctype
    parser.EntityDeclHandler = declared
    try:
        parser.Parse(f"{before}{source}{after}".encode(), True)  # noqa: FBT003 - it is all there is
    except expat.ExpatError as error:
        column = error.offset + 1 - (len(before) if error.lineno == 1 else 0)
        message = f"not well-formed XML: {expat.errors.messages[error.code]}, line {error.lineno}, column {column}"
        raise NotWellFormed(message) from None


def _inline(parts: list[re.Match[str]]) -> Iterator[_Element]:
    """The elements of parts, in the order in which they begin; those that are within a sentence say so."""
    root = _Element("")
    elements, path = [root], [root]
    parents: list[_Element] = [root]
    for part in parts:
        if part["name"] is not None and not part["close"]:
            element = _Element(part["name"].lower())
            elements.append(element)
            parents.append(path[-1])
            if not part["rest"].endswith("/"):
                path.append(element)
        elif part["name"] is not None:
            path.pop()
        elif part["data"] is not None or not part.group().startswith("<"):
            path[-1].has_text |= bool(part.group().strip(WHITE))
    for element, parent in zip(elements, parents, strict=True):
        element.is_inline = element is not root and (parent.has_text or parent.is_inline)
    yield from elements[1:]


class _XmlReader:
    """Gives a builder the parts of a well-formed text, in order."""

    def __init__(self, source: str, parts: list[re.Match[str]], *, attributes: bool, is_html: bool) -> None:
        self._source, self._attributes, self._is_html = source, attributes, is_html
        self._builder = DocumentBuilder(source, Escaping(xml_text))
        self._parts = iter(parts)
        self._elements = _inline(parts)
        self._path: list[_Element] = []

    def document(self) -> Document:
        """The document that the parts are."""
        for part in self._parts:
            if part["name"] is None:
                self._beside_tags(part)
            elif part["close"]:
                element = self._path.pop()
                if element.is_block:
                    self._builder.flush()
                else:
                    self._builder.close(element.name, *part.span())
            else:
                self._opened(part, next(self._elements))
        return self._builder.document()

    def _beside_tags(self, part: re.Match[str]) -> None:
        start, end = part.span()
        if part["data"] is not None:
            self._section(*part.span("data"))
        elif self._source[start] == "<":
            self._builder.void(start, end)
        else:
            self._text(start, end)

    def _opened(self, part: re.Match[str], element: _Element) -> None:
        start, end = part.span()
        is_empty = part["rest"].endswith("/")
        given = list(_ATTRIBUTE.finditer(self._source, *part.span("rest")))
        values = {match[1].lower(): match[3].strip().lower() for match in given}
        element.is_block = element.name in (BLOCK if self._is_html else BLOCKS) or not element.is_inline
        element.keeps_space = values.get("xml:space", "") == "preserve" or (
            bool(self._path) and self._path[-1].keeps_space and values.get("xml:space") != "default"
        )
        is_kept = element.name in KEPT or not _NO.isdisjoint(values.items())
        if element.is_block:
            self._builder.flush()
        if self._attributes and not is_kept:
            self._add_attributes(given)
        if is_empty:
            if not element.is_block:
                self._builder.void(start, end, is_seen=True)
        elif is_kept or (element.name in CODE and not element.is_block):
            self._kept(start, end, element)
        else:
            self._path.append(element)
            if not element.is_block:
                self._builder.open(element.name, start, end)

    def _kept(self, start: int, end: int, element: _Element) -> None:
        """An element that comes back as it is: all parts to its end."""
        depth, shown = 1, list[str]()
        while depth:
            part = next(self._parts)
            end = part.end()
            if part["name"] is None:
                shown.append(part["data"] or ("" if part.group().startswith("<") else part.group()))
            elif part["close"]:
                depth -= 1
            else:
                next(self._elements)
                depth += not part["rest"].endswith("/")
        text = " ".join("".join(shown).split())
        if not element.is_block and text and element.name not in KEPT:
            self._builder.atom(text, start, end)
        elif not element.is_block:
            self._builder.void(start, end)

    def _section(self, start: int, end: int) -> None:
        """A CDATA section: HTML where it has tags, as in feeds, else text."""
        if _MARKUP.search(self._source, start, end):
            self._builder.adopt(read_html(self._source, start, end, attributes=self._attributes))
            return
        builder = DocumentBuilder(self._source, Escaping(character_data))
        builder.literal(start, end)
        self._builder.adopt(builder.document())

    def _text(self, start: int, end: int) -> None:
        position = start
        for begun, ended, character in xml_references(self._source, start, end):
            self._words(position, begun)
            if character:
                self._builder.text(character, begun, ended)
            else:
                self._builder.void(begun, ended, is_seen=True)
            position = ended
        self._words(position, end)

    def _words(self, start: int, end: int) -> None:
        if self._path and self._path[-1].keeps_space:
            self._builder.literal(start, end)
        else:
            add_words(self._builder, self._source, start, end)

    def _add_attributes(self, given: list[re.Match[str]]) -> None:
        for match in given:
            if match[1].lower() not in ATTRIBUTES:
                continue
            pieces, position = list[tuple[str, int, int]](), match.start(3)
            for start, end, character in xml_references(self._source, *match.span(3)):
                pieces += ((self._source[position:start], position, start), (character, start, end))
                position = end
            pieces.append((self._source[position : match.end(3)], position, match.end(3)))
            self._builder.attribute(pieces, Escaping(double_quoted if match[2] == '"' else single_quoted))

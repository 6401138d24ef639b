"""HTML goes to the server as it is, which knows what of it is text; a long page in pieces.

A piece begins before a block, such as a paragraph, that lies in no inline element, list, table or form, in nothing that
is not to be translated and in nothing whose text is no text. Blocks that are open there do not matter: a piece keeps
the tags that it holds, whatever they open or close.
"""

import re
from collections.abc import Iterator

from dragoman.client.documents.document import Document, DocumentOptions, Markup
from dragoman.client.documents.files import text_file
from dragoman.client.documents.pieces import pieces
from dragoman.client.documents.text_document import TextDocument

_CHARSET = re.compile(rb"""<meta\s[^>]*?charset\s*=\s*["']?([A-Za-z0-9._:-]+)""", re.IGNORECASE)
_BLOCKS = {"address", "article", "aside", "blockquote", "div", "footer", "h1", "h2", "h3", "h4", "h5", "h6"}
_BLOCKS |= {"header", "hr", "main", "nav", "ol", "p", "pre", "section", "table", "ul", "dl", "figure"}
"""Before these a piece may begin."""
_OPEN = {"html", "body", "main", "article", "section", "div", "header", "footer", "nav", "aside"}
"""In these it may."""
_VOID = {"p", "hr", "br", "img", "input", "meta", "link", "wbr", "area", "base", "col", "embed", "source", "track"}
"""What has no end, or may have none."""
_CODE = {"script", "style", "textarea", "title", "xmp", "svg", "math", "template", "noscript", "iframe"}
_TAG = re.compile(r"""<(?P<end>/?)(?P<name>[A-Za-z][^\s/>]*)(?P<attributes>(?:[^<>"']|"[^"]*"|'[^']*')*+)>""")
_NOT_TRANSLATED = re.compile(r"""\stranslate\s*=\s*["']?no\b""", re.IGNORECASE)
_MOST_OPEN = 200
"""Elements, one within the other, of which an end is looked for."""


def read(data: bytes, options: DocumentOptions) -> Document:
    """A page, or a part of one."""
    declared = _CHARSET.search(data[:1024])
    document = TextDocument(text_file(data, options.encoding or (declared[1].decode() if declared else None)))
    text = document.file.text
    for start, end in pieces(_cuts(text), len(text)):
        piece = text[start:end]
        place = f"lines {document.line(start)} to {document.line(start + len(piece.rstrip()))}"
        document.add(start, end, piece, place, str, Markup.HTML)
    return document


def _cuts(text: str) -> Iterator[int]:
    """Where a piece may begin."""
    opened: list[tuple[str, bool]] = []
    hindering = position = 0
    while (position := text.find("<", position)) >= 0:
        if text.startswith("<!--", position):
            position = text.find("-->", position) + 3
            if position < 3:
                return
            continue
        tag = _TAG.match(text, position)
        if tag is None:
            position += 1
            continue
        name = tag["name"].lower()
        if not tag["end"] and name in _BLOCKS and not hindering:
            yield position
        position = tag.end()
        if tag["end"]:
            hindering -= _closed(opened, name)
        elif name in _CODE:
            end = re.compile(rf"</{name}\b", re.IGNORECASE).search(text, position)
            if end is None:
                return
            position = end.start()
        elif name not in _VOID:
            opened.append((name, name not in _OPEN or bool(_NOT_TRANSLATED.search(tag["attributes"]))))
            hindering += opened[-1][1]


def _closed(opened: list[tuple[str, bool]], name: str) -> int:
    """Take what an end tag ends off what is open, with what was opened within; how much of it was in the way."""
    if name not in [other for other, _ in opened[-_MOST_OPEN:]]:
        return 0
    hindering = 0
    while opened:
        other, is_hindering = opened.pop()
        hindering += is_hindering
        if other == name:
            break
    return hindering

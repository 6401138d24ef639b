"""Character references: `&nbsp;` is a character to whoever reads, and has to be written as one again."""

import html
import re
from collections.abc import Iterator
from html.entities import html5

HTML = re.compile(r"&(?:#[0-9]{1,32};?|#[xX][0-9a-fA-F]{1,32};?|[a-zA-Z][a-zA-Z0-9]{1,31};?)")
XML = re.compile(r"&[^&;]+;")
_LONGEST = max(map(len, html5))


def html_references(source: str, start: int, end: int, *, in_attribute: bool) -> Iterator[tuple[int, int, str]]:
    """Start, end and character of each reference in a stretch of HTML."""
    for match in HTML.finditer(source, start, end):
        written = match.group()
        if written[1] == "#":
            yield match.start(), match.end(), html.unescape(written)
            continue
        name = written[1:]
        while name and name not in html5:
            name = name[: min(len(name) - 1, _LONGEST)]
        until = match.start() + 1 + len(name)
        following = source[until : until + 1]
        is_text = in_attribute and not name.endswith(";") and (following == "=" or following.isalnum())
        if name and not is_text:
            yield match.start(), until, html5[name]


def xml_references(source: str, start: int, end: int) -> Iterator[tuple[int, int, str]]:
    """Start, end and character of each reference in a stretch of XML that is well-formed.

    Nothing is the character of one that only the document's own declarations explain.
    """
    for match in XML.finditer(source, start, end):
        written = match.group()
        character = html.unescape(written)
        yield match.start(), match.end(), "" if character == written else character


def html_text(text: str) -> str:
    """A text as HTML has it between tags."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\u00a0", "&nbsp;")


def xml_text(text: str) -> str:
    """A text as XML has it between tags."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\u00a0", "&#160;")


def character_data(text: str) -> str:
    """A text as it stands in a CDATA section."""
    return text.replace("]]>", "]]]]><![CDATA[>")


def double_quoted(text: str) -> str:
    """A text as it stands in an attribute between quotation marks."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;").replace("\u00a0", "&#160;")


def single_quoted(text: str) -> str:
    """A text as it stands in an attribute between apostrophes."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("'", "&#39;").replace("\u00a0", "&#160;")


def unquoted(text: str) -> str:
    """A text as an attribute's value, in quotation marks of its own: a translation may have spaces."""
    return f'"{double_quoted(text)}"'

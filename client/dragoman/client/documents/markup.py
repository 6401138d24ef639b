"""Strings that hold mark-up, of catalogues, data and subtitles: which do, and how they write their signs."""

import re

from dragoman.client.documents.document import Markup

_MARKUP = re.compile(r"</?[A-Za-z][^<>]*>|&(?:[A-Za-z][A-Za-z0-9]{1,31}|#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6});")


def markup_of(text: str) -> Markup:
    """HTML where a tag or an entity stands in the text."""
    return Markup.HTML if _MARKUP.search(text) else Markup.NONE


_REFERENCES = {"amp": "&", "lt": "<", "gt": ">", "nbsp": "\u00a0"}
_WRITTEN = re.compile(r"&(amp);(?!#?\w+;)|&(lt);(?![\w/!?])|&(gt);|&(nbsp);")


def written_like(source: str, translation: str) -> str:
    """A translation with bare signs where the source writes them bare: a server escapes each, a string seldom does.

    A sign that would mean something else if it stood bare stays escaped.
    """

    def sign(match: re.Match[str]) -> str:
        name = match[match.lastindex or 0]
        return match[0] if f"&{name};" in source else _REFERENCES[name]

    return _WRITTEN.sub(sign, translation)

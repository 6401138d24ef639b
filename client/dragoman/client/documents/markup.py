"""Strings that hold mark-up, of catalogues, data and subtitles: which do, and how they write their signs."""

import re

from dragoman.client.documents.document import Markup

_ELEMENTS = (
    "a|abbr|acronym|address|article|aside|b|bdi|bdo|big|blockquote|body|br|button|center|cite|code|dd|del|details|dfn|div|"
    "dl|dt|em|fieldset|figcaption|figure|font|footer|form|h[1-6]|head|header|hr|html|i|iframe|img|input|ins|kbd|label|"
    "legend|li|link|main|mark|menu|meta|nav|ol|option|p|pre|q|s|samp|script|section|select|small|span|strike|strong|style|"
    "sub|summary|sup|svg|table|tbody|td|textarea|tfoot|th|thead|time|title|tr|tt|u|ul|var|video|wbr"
)
"""What is a tag without its end. Any other name in angle brackets may stand for what a reader is to put there."""
_MARKUP = re.compile(
    rf"<(?:{_ELEMENTS})(?:\s[^<>]*)?>|</[A-Za-z][^<>]*>|<[A-Za-z][^<>]*/>"
    r"|&(?:[A-Za-z][A-Za-z0-9]{1,31}|#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6});",
    re.IGNORECASE,
)


def markup_of(text: str) -> Markup:
    """HTML where a tag or an entity stands in the text; `<FILE>` alone is none."""
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

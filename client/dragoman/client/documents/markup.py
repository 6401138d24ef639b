"""Whether a string of a catalogue or a data file holds mark-up."""

import re

from dragoman.client.documents.document import Markup

_MARKUP = re.compile(r"</?[A-Za-z][^<>]*>|&(?:[A-Za-z][A-Za-z0-9]{1,31}|#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6});")


def markup_of(text: str) -> Markup:
    """HTML where a tag or an entity stands in the text."""
    return Markup.HTML if _MARKUP.search(text) else Markup.NONE

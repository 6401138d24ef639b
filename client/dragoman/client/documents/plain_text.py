"""Plain text: each line is a unit."""

import re

from dragoman.client.documents.document import Document, DocumentOptions
from dragoman.client.documents.files import text_file
from dragoman.client.documents.text_document import TextDocument, one_line

_LINE = re.compile(r"([^\r\n]*)(?:\r\n|\r|\n|\Z)")


def read(data: bytes, options: DocumentOptions) -> Document:
    """A file of plain text."""
    document = TextDocument(text_file(data, options.encoding))
    for number, match in enumerate(_LINE.finditer(document.file.text), start=1):
        document.add(*match.span(1), match[1], f"line {number}", one_line)
    return document

"""Markdown goes to the server as it is, which knows what of it is text; a long file in pieces.

A piece ends at a blank line before a line that is not indented, and never within a block of code, a comment, HTML that
goes on over blank lines or the file's front matter. The definitions of links that a piece uses travel with it, where
they stand elsewhere, and are taken off again.
"""

import re
from collections.abc import Callable, Iterator
from functools import partial

from dragoman.client.documents.document import Document, DocumentOptions, Markup
from dragoman.client.documents.errors import Unwritable
from dragoman.client.documents.files import text_file
from dragoman.client.documents.pieces import pieces
from dragoman.client.documents.text_document import TextDocument

_LINE = re.compile(r"[^\n]*(?:\n|\Z)")
_FENCE = re.compile(r" {0,3}(?:[-*+>]|\d{1,9}[.)])?[ \t]*(?P<fence>`{3,}|~{3,})")
_OPENING = re.compile(r" {0,3}(?:(?P<comment><!--)|<(?P<tag>pre|script|style|textarea)\b)", re.IGNORECASE)
_DEFINITION = re.compile(r"^ {0,3}\[(?!\^)([^\[\]\n]{1,999})\]:[ \t]*\S.*$", re.MULTILINE)


def read(data: bytes, options: DocumentOptions) -> Document:
    """A file of Markdown."""
    document = TextDocument(text_file(data, options.encoding))
    text = document.file.text
    definitions = {_label(match[1]): match for match in reversed(list(_DEFINITION.finditer(text)))}
    for start, end in pieces(_cuts(text), len(text)):
        piece = text[start:end]
        core = piece.rstrip()
        used = dict.fromkeys(_label(label) for label in re.findall(r"\[([^\[\]]{1,999})\]", core))
        others = [
            definitions[label][0].strip()
            for label in used
            if label in definitions and not start <= definitions[label].start() < end
        ]
        place = f"lines {document.line(start)} to {document.line(start + len(core))}"
        extended = core + "".join(f"\n\n{other}" for other in others)
        document.add(start, start + len(core), extended, place, _without(len(others)), Markup.MARKDOWN)
    return document


def _label(text: str) -> str:
    return " ".join(text.casefold().split())


def _without(count: int) -> Callable[[str], str]:
    """Takes the definitions off that travelled with a piece."""

    def render(text: str) -> str:
        parts = text.rstrip().rsplit("\n\n", count) if count else [text]
        if len(parts) != count + 1 or not all(part.lstrip().startswith("[") for part in parts[1:]):
            raise Unwritable("the definitions of its links have not come back")
        return parts[0]

    return render


def _cuts(text: str) -> Iterator[int]:
    """Where a piece may begin."""
    ends: Callable[[str], bool] | None = None
    is_blank = True
    for match in _LINE.finditer(text):
        line = match[0]
        if ends is not None:
            ends = None if ends(line) else ends
            is_blank = False
            continue
        if is_blank and line[:1].strip():
            yield match.start()
        is_blank = not line.strip()
        ends = _end_of_block(line, is_first=match.start() == 0)


def _end_of_block(line: str, *, is_first: bool) -> Callable[[str], bool] | None:
    """What ends the block that a line begins, if blank lines do not."""
    if is_first and line.rstrip() in ("---", "+++"):
        return lambda other: other.rstrip() in (line.rstrip(), "...")
    if fence := _FENCE.match(line):
        mark = fence["fence"]
        is_inline = mark[0] == "`" and "`" in line[fence.end() :]
        return None if is_inline else partial(_ends_fence, mark)
    if opening := _OPENING.match(line):
        end = "-->" if opening["comment"] else f"</{opening['tag'].lower()}>"
        return None if end in line.lower()[opening.end() :] else lambda other: end in other.lower()
    return None


def _ends_fence(mark: str, line: str) -> bool:
    stripped = line.strip().lstrip(">").strip()
    return len(stripped) >= len(mark) and set(stripped) == {mark[0]}

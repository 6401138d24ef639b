"""JSON: strings are units, keys are not. Order, indentation, numbers and the way of escaping stay as they are.

The standard library says whether the file is JSON. Where its strings stand is found by reading its tokens once more,
and a translation is written with the escapes that the file itself writes.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from dragoman.client.documents.document import Document, DocumentOptions
from dragoman.client.documents.errors import DocumentError
from dragoman.client.documents.files import text_file
from dragoman.client.documents.keys import Path, chosen
from dragoman.client.documents.markup import markup_of
from dragoman.client.documents.text_document import TextDocument

_TOKEN = re.compile(r'(?P<string>"[^"\\]*(?:\\.[^"\\]*)*")|[\[\]{},:]|[^\s"\[\]{},:]+', re.DOTALL)
_ESCAPE = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.", re.DOTALL)


@dataclass(frozen=True)
class _String:
    start: int
    end: int
    path: Path


def read(data: bytes, options: DocumentOptions) -> Document:
    """A file of JSON."""
    document = TextDocument(text_file(data, options.encoding))
    text = document.file.text
    _check(text)
    is_chosen, escapes = chosen(options.keys), _Escapes(text)
    for string in _strings(text):
        if is_chosen(string.path):
            value = json.loads(text[string.start : string.end], strict=False)
            place = ".".join(string.path) or "the string"
            document.add(string.start, string.end, value, place, escapes.quoted, markup_of(value))
    return document


def _check(text: str) -> None:
    try:
        json.loads(text, parse_int=len, parse_float=len)  # their values do not matter
    except json.JSONDecodeError as error:
        raise DocumentError(f"no JSON: {error.msg} at line {error.lineno}, column {error.colno}") from error
    except RecursionError as error:
        raise DocumentError("no JSON that can be read: it is nested too deep") from error


def _strings(text: str) -> Iterator[_String]:
    """All strings of a JSON text but keys."""
    path: list[str] = []
    lists: list[bool] = []  # for each bracket that is open: whether it is a list
    is_key = False
    for match in _TOKEN.finditer(text):
        match match[0]:
            case "{" | "[" as bracket:
                lists.append(bracket == "[")
                path.append("0" if lists[-1] else "")
                is_key = not lists[-1]
            case "}" | "]":
                lists.pop()
                path.pop()
                is_key = False
            case ",":
                is_key = not lists[-1]
                if lists[-1]:
                    path[-1] = str(int(path[-1]) + 1)
            case ":":
                is_key = False
            case _ if match["string"]:
                if is_key:
                    path[-1] = json.loads(match[0])
                else:
                    yield _String(*match.span(), tuple(path))


class _Escapes:
    """Which characters a file escapes, and how."""

    def __init__(self, text: str) -> None:
        strings = [match["string"] for match in _TOKEN.finditer(text) if match["string"]]
        plain = set().union(*(_ESCAPE.sub("", string[1:-1]) for string in strings))
        used = {escape for string in strings for escape in _ESCAPE.findall(string)}
        self._escapes: dict[str, str] = {
            character: escape for escape in sorted(used) if (character := json.loads(f'"{escape}"')) not in plain
        }
        self._is_ascii = any(ord(character[0]) > 127 for character in self._escapes) and all(
            character.isascii() for character in plain
        )
        hex_digits = "".join(escape[2:] for escape in used if escape.startswith("\\u"))
        self._is_upper = hex_digits != hex_digits.lower()

    def quoted(self, text: str) -> str:
        """A text as a string of the file."""
        return '"' + "".join(map(self._character, text)) + '"'

    def _character(self, character: str) -> str:
        if escape := self._escapes.get(character):
            return escape
        written: str = json.dumps(character, ensure_ascii=self._is_ascii)[1:-1]
        if self._is_upper and written.startswith("\\u"):
            return re.sub(r"(?<=\\u)....", lambda match: match[0].upper(), written)
        return written

"""YAML: strings are units, keys are not. Comments, order, anchors, indentation and the style of each string stay.

PyYAML's scanner says where each scalar stands, its parser what it belongs to. Numbers, booleans, dates and what carries
a tag of its own are no strings; what YAML 1.1 and 1.2 disagree about is left alone. A block of lines (`|`) is
translated line by line, a folded one (`>`) paragraph by paragraph, wrapped as wide as it was. Any other string goes
back in its own quotes, or in double ones where what it became needs them.
"""

import re
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import yaml

from dragoman.client.documents.document import Document, DocumentOptions
from dragoman.client.documents.errors import DocumentError, Unwritable
from dragoman.client.documents.files import text_file
from dragoman.client.documents.keys import Path, chosen
from dragoman.client.documents.markup import markup_of
from dragoman.client.documents.text_document import TextDocument, one_line

_STRING = "tag:yaml.org,2002:str"
_RESOLVER = yaml.resolver.Resolver()
_NUMBER = re.compile(r"0o[0-7]+|[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
"""Numbers in YAML 1.2, some of which are strings in 1.1."""
_PRINTABLE = re.compile("[\t\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]*")
_LINE_END = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
_MAX_DEPTH = 1000
_PLAIN = re.compile(r"[^\s\-?:,\[\]{}#&*!|>'\"%@`](?:[^:#\n\t]|:(?=\S)|(?<=\S)#)*")
"""What needs no quotes outside of brackets, whatever stands around it."""
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}


@dataclass(frozen=True)
class _Scalar:
    """A string of the file, and where it stands."""

    start: int
    end: int
    value: str
    style: str | None
    is_in_brackets: bool
    path: Path


def read(data: bytes, options: DocumentOptions) -> Document:
    """A file of YAML."""
    document = TextDocument(text_file(data, options.encoding))
    is_chosen = chosen(options.keys)
    try:
        scalars = [scalar for scalar in _scalars(document.file.text) if is_chosen(scalar.path)]
    except yaml.YAMLError as error:
        raise DocumentError(f"no YAML: {' '.join(str(error).split())}") from error
    for scalar in scalars:
        if scalar.style in ("|", ">"):
            _add_block(document, scalar)
        else:
            _add_flow(document, scalar)
    return document


class _Loader(yaml.SafeLoader):
    """A parser that remembers its last scalar's token: an event begins with the anchor, a token with the scalar."""

    scalar: yaml.ScalarToken

    def get_token(self) -> yaml.Token:
        """The next token."""
        token: yaml.Token = super().get_token()  # type: ignore[no-untyped-call]
        if isinstance(token, yaml.ScalarToken):
            self.scalar = token
        return token


def _events(text: str) -> Iterator[tuple[yaml.Event, yaml.ScalarToken | None]]:
    """What the parser finds, and with each scalar that is not left empty where it stands."""
    loader = _Loader(text)
    try:
        while loader.check_event():
            event: yaml.Event = loader.get_event()  # type: ignore[no-untyped-call]
            is_written = isinstance(event, yaml.ScalarEvent) and bool(event.value or event.style)
            yield event, loader.scalar if is_written else None
    finally:
        loader.dispose()


def _scalars(text: str) -> Iterator[_Scalar]:
    """Strings that are values, in order."""
    path: list[str] = []
    nodes: list[_Node] = []
    for event, token in _events(text):
        if isinstance(event, yaml.CollectionEndEvent):
            nodes.pop()
            path.pop()
        elif isinstance(event, yaml.NodeEvent):
            is_key = bool(nodes) and nodes[-1].takes_key()
            is_hidden = is_key or (bool(nodes) and nodes[-1].is_hidden)
            if nodes:
                path[-1] = nodes[-1].name
            if isinstance(event, yaml.CollectionStartEvent):
                is_flow = bool(event.flow_style) or (bool(nodes) and nodes[-1].is_flow)
                nodes.append(_Node(isinstance(event, yaml.MappingStartEvent), is_flow, is_hidden))
                path.append("")
                if len(nodes) > _MAX_DEPTH:
                    raise DocumentError("no YAML that can be read: it is nested too deep")
            elif isinstance(event, yaml.ScalarEvent) and is_key:
                nodes[-1].name = event.value
            elif isinstance(event, yaml.ScalarEvent) and token and not is_hidden and _is_string(event):
                start, end = token.start_mark.index, token.end_mark.index
                is_flow = bool(nodes) and nodes[-1].is_flow
                yield _Scalar(start, end, event.value, event.style, is_flow, tuple(path))


class _Node:
    """A mapping or a sequence that is being read."""

    def __init__(self, is_mapping: bool, is_flow: bool, is_hidden: bool) -> None:  # noqa: FBT001 - private
        self.is_flow = is_flow
        """Whether it lies in brackets."""
        self.is_hidden = is_hidden
        """Whether it lies in a key."""
        self.name = ""
        self._is_mapping = is_mapping
        self._count = 0

    def takes_key(self) -> bool:
        """Whether the next node is a key; it is counted."""
        count, self._count = self._count, self._count + 1
        if not self._is_mapping:
            self.name = str(count)
        return self._is_mapping and count % 2 == 0


def _is_string(event: yaml.ScalarEvent) -> bool:
    if event.tag:
        return event.tag in (_STRING, "!")
    if event.style is not None:
        return True
    return not _is_special(event.value)


def _is_special(value: str) -> bool:
    """Whether some reader takes a plain scalar for something else than a string."""
    tag = _RESOLVER.resolve(yaml.ScalarNode, value, (True, False))  # type: ignore[no-untyped-call]
    return tag != _STRING or bool(_NUMBER.fullmatch(value))


def _add_flow(document: TextDocument, scalar: _Scalar) -> None:
    def render(text: str) -> str:
        if scalar.style is None and _is_plain(text, is_in_brackets=scalar.is_in_brackets):
            return text
        if scalar.style == "'" and "\n" not in text and _PRINTABLE.fullmatch(text):
            return "'" + text.replace("'", "''") + "'"
        return '"' + "".join(map(_escaped, text)) + '"'

    place = ".".join(scalar.path) or "the string"
    document.add(scalar.start, scalar.end, scalar.value, place, render, markup_of(scalar.value))


def _is_plain(text: str, *, is_in_brackets: bool) -> bool:
    return (
        bool(_PLAIN.fullmatch(text) and _PRINTABLE.fullmatch(text))
        and text == text.strip()
        and not (is_in_brackets and re.search(r"[,\[\]{}:?]", text))
        and not text.startswith("...")
        and not _is_special(text)
    )


def _escaped(character: str) -> str:
    if escape := _ESCAPES.get(character):
        return escape
    if _PRINTABLE.fullmatch(character):
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _add_block(document: TextDocument, scalar: _Scalar) -> None:
    text = document.file.text
    # The header, which may hold an indicator of the indentation and a comment, is no line of the block.
    _, *lines = _lines(text, scalar.start, scalar.end)
    lines = [(start, end) for start, end in lines if text[start:end].strip()]
    if not lines:
        return
    indentation = _indentation(text[slice(*lines[0])], scalar.value)
    place = ".".join(scalar.path) or "the string"
    for paragraph in _paragraphs(text, lines, indentation, is_folded=scalar.style == ">"):
        start, end = paragraph[0][0] + indentation, paragraph[-1][1]
        parts = [text[line_start + indentation : line_end] for line_start, line_end in paragraph]
        width = max(map(len, parts))
        glue = _line_end(text, paragraph) + " " * indentation
        value = " ".join(parts)
        document.add(start, end, value, place, _block(width if len(parts) > 1 else None, glue), markup_of(value))


def _lines(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    for match in _LINE_END.finditer(text, start, end):
        yield start, match.start()
        start = match.end()
    yield start, end


def _indentation(line: str, value: str) -> int:
    """How far a block's first line is indented: the spaces before it that are not its value's."""
    first = next(part for part in _LINE_END.split(value) if part.strip())
    return len(first.lstrip(" ")) - len(first) + len(line) - len(line.lstrip(" "))


def _paragraphs(
    text: str, lines: list[tuple[int, int]], indentation: int, *, is_folded: bool
) -> Iterator[list[tuple[int, int]]]:
    """Lines that are read as one. In a folded block those that follow each other without a blank one or more spaces."""
    paragraph: list[tuple[int, int]] = []
    for start, end in lines:
        between = text[paragraph[-1][1] : start] if paragraph else ""
        is_indented = text[start + indentation].isspace()
        if paragraph and (not is_folded or is_indented or len(_LINE_END.findall(between)) > 1):
            yield paragraph
            paragraph = []
        paragraph.append((start, end))
        if is_indented:
            yield paragraph
            paragraph = []
    if paragraph:
        yield paragraph


def _line_end(text: str, paragraph: list[tuple[int, int]]) -> str:
    return text[paragraph[0][1] : paragraph[1][0]] if len(paragraph) > 1 else "\n"


def _block(width: int | None, glue: str) -> Callable[[str], str]:
    def render(text: str) -> str:
        text = one_line(text)
        if not _PRINTABLE.fullmatch(text):
            raise Unwritable("the translation holds a character that a block of YAML cannot")
        if width is None:
            return text
        lines = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
        return glue.join(lines)

    return render

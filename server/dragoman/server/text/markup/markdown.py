"""Markdown taken apart: CommonMark with tables, strikethrough, footnotes, task lists and front matter.

markdown-it-py says where blocks and what is within them begin and end; of blocks it tells the lines, and of what is
within them what its rules have read, which is recorded as they run. So what is a link here is one there.
"""

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_block.reference import reference
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from dragoman.server.core.spans import Span
from dragoman.server.text.markup.building import DocumentBuilder
from dragoman.server.text.markup.document import Document, Escaping
from dragoman.server.text.markup.html import BLOCK, CODE, SEEN, VOID, keeps, read_html
from dragoman.server.text.markup.tags import Kind, stretches

Rule = Callable[[StateInline, bool], bool]

_FRONT_MATTER = re.compile(r"(---|\+\+\+)[ \t]*\r?\n.*?^(?:\1|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)
_BEGINNING = re.compile(r"\[\^[^\]\s]+\]:[ \t]+|\[[ xX]\][ \t]+|\[![A-Za-z]+\][ \t]*(?:\n|\Z)")
"""What a paragraph may begin with that is no text: a footnote's name, a task's box, a kind of note."""
_ENDING = re.compile(r"[ \t]*\{[#.:][^{}\n]*\}\Z")
"""What it may end with: a heading's name."""
_FOOTNOTE = re.compile(r"\[\^[^\]\s]+\]")
_TITLE = re.compile(r"[\s(](\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')\s*\)\Z", re.DOTALL)
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+\Z")
_ROW = re.compile(r"[ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)*")
_WORDS = re.compile(r"[ \t]+|[^ \t]+")
_CONTINUED = re.compile(r"\n[ \t>]*")
_ESCAPABLE = frozenset("\\`*_[]<>&|~!#")
_LINE_START = re.compile(r"(?:[#>+=-]|~~~|\d{1,9}[.)](?=\s|\Z))")
_ENTITY = re.compile(r"&#?\w+;")


KEPT_INLINE = frozenset(("svg", "script", "style"))
_QUOTING: dict[str, Callable[[str], str]] = {
    '"': lambda text: text.replace("\\", "\\\\").replace('"', '\\"'),
    "'": lambda text: text.replace("\\", "\\\\").replace("'", "\\'"),
}


class _Parser(MarkdownIt):
    """CommonMark with what most add to it, and rules that say where they found what they did."""

    def __init__(self) -> None:
        super().__init__("commonmark")
        self.enable(["table", "strikethrough"])
        for rule in self.inline.ruler.__rules__:
            self.inline.ruler.at(rule.name, _recording(rule.name, rule.fn))
        self.inline.ruler.before("link", "footnote", _recording("footnote", _footnote))
        self.inline.ruler2.before("balance_pairs", "places", _place)
        self.inline.ruler2.disable("fragments_join")
        self.block.ruler.at("reference", _reference)


def _footnote(state: StateInline, silent: bool) -> bool:  # noqa: FBT001 - the library's interface
    match = _FOOTNOTE.match(state.src, state.pos, state.posMax)
    if match is None:
        return False
    if not silent:
        state.push("footnote", "", 0).content = match.group()
    state.pos = match.end()
    return True


def _reference(state: StateBlock, start: int, end: int, silent: bool) -> bool:  # noqa: FBT001
    """The definition of a link; a footnote's looks alike."""
    if state.src.startswith("[^", state.bMarks[start] + state.tShift[start]):
        return False
    return reference(state, start, end, silent)


def _recording(name: str, rule: Rule) -> Rule:
    """A rule that writes into the tokens that it makes what they were made of."""

    def recorded(state: StateInline, silent: bool) -> bool:  # noqa: FBT001
        start, first = state.pos, len(state.tokens)
        if not rule(state, silent):
            return False
        if silent or first == len(state.tokens):
            return True
        new = [token for token in state.tokens[first:] if "span" not in token.meta]
        if name in ("emphasis", "strikethrough"):
            position = state.pos
            for token in reversed(new):
                if position > start:
                    position -= len(token.content)
                    token.meta["span"] = Span(position, position + len(token.content))
        elif name == "autolink":
            for token in new[-3:]:
                token.meta["span"] = Span(start, state.pos)
        elif name == "link":
            opening = next(token for token in new if token.type == "link_open")
            opening.meta["span"] = Span(start, start + 1)
            new[-1].meta["until"] = state.pos
        else:
            new[-1].meta["span"] = Span(start, state.pos)
        return True

    return recorded


def _place(state: StateInline) -> None:
    """Text lies between what rules have found, and a link ends where the text in it does."""
    reached = 0
    for token in state.tokens:
        if "until" in token.meta:
            token.meta["span"] = Span(reached, token.meta["until"])
        elif "span" not in token.meta:
            token.meta["span"] = Span(reached, reached + len(token.content))
        reached = token.meta["span"].end


_PARSER = _Parser()


class _Content:
    """What is within a block, without what stands at the beginnings of its lines, and where it is in the source."""

    def __init__(self, text: str, starts: Sequence[tuple[int, int]]) -> None:
        """`starts` are places of the text, and where the source goes on there."""
        self.text, self._starts = text, starts

    def within(self, start: int, end: int) -> "_Content":
        """A part of it."""
        starts = [(max(0, place - start), source) for place, source in self._starts if start < place < end]
        return _Content(self.text[start:end], [(0, self.at(start)), *starts])

    def at(self, position: int) -> int:
        """The place in the source of a place in the text."""
        start, source = self._starts[bisect_right(self._starts, position, key=lambda pair: pair[0]) - 1]
        return source + position - start


class _Markdown(NamedTuple):
    """How text is written in Markdown, and what it is compared by."""

    references: dict[str, Any]
    is_cell: bool
    is_heading: bool = False
    """Whether it stands behind the signs of a heading, where no block begins but the heading."""

    def escaped(self, text: str, start: int, end: int, *, strictly: bool) -> str:
        """A stretch of a text, with backslashes before what would mean something."""
        parts = list[str]()
        for position in range(start, end):
            if self._means(text, position, strictly=strictly):
                parts.append("&amp;" if text[position] == "&" else f"\\{text[position]}")
            else:
                parts.append(text[position])
        if start == 0 and (match := _LINE_START.match(text)) and match.end() <= end and len(parts[0]) == 1:
            last = match.end() - 1 if text[0].isdigit() else 0
            parts[last] = f"\\{text[last]}"
        return "".join(parts)

    def _means(self, text: str, position: int, *, strictly: bool) -> bool:
        character = text[position]
        if character not in _ESCAPABLE:
            return False
        before, after = text[position - 1 : position] or " ", text[position + 1 : position + 2] or " "
        match character:
            case "|":
                return self.is_cell
            case "&":
                return _ENTITY.match(text, position) is not None
            case "\\":
                return after in "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~\n "
        if strictly or character == "`":
            return True
        match character:
            case "*":
                return not (before.isspace() and after.isspace())
            case "_":
                return not (before.isalnum() and after.isalnum()) and not (before.isspace() and after.isspace())
            case "~":
                return "~" in (before, after)
            case "<":
                return after.isalpha() or after in "/!?"
            case "]":
                return after in "([:"
            case "[":
                return after == "^"
        return False

    def holds(self, source: str, written: str) -> bool:
        """Whether both are one paragraph with the same within it."""
        return self._shape(source) == self._shape(written)

    def _shape(self, text: str) -> tuple[list[str], Counter[str]]:
        text = _CONTINUED.sub("\n", text.replace("\r\n", "\n").replace("\r", "\n"))
        blocks: list[Token] = []
        contents = [text.strip()]
        if not self.is_cell:
            text = f"# {text}" if self.is_heading else text
            _PARSER.block.parse(text, _PARSER, {"references": dict(self.references)}, blocks)
            contents = [token.content for token in blocks if token.type == "inline"]
        env = {"references": self.references}
        tokens = [token for content in contents for token in _PARSER.inline.parse(content, _PARSER, env, [])]
        found = Counter(
            f"{token.type} {token.attrs.get('href', token.attrs.get('src'))} "
            f"{'' if token.type == 'image' else token.content}"
            for token in tokens
            if token.type not in ("text", "text_special", "softbreak")
        )
        return [token.type for token in blocks], found


def parse_markdown(source: str, *, attributes: bool = False) -> Document:
    """A document. With `attributes`, texts of images and titles of links are blocks too."""
    return _MarkdownReader(source, attributes=attributes).document()


class _MarkdownReader:
    def __init__(self, source: str, *, attributes: bool) -> None:
        self._source, self._attributes = source, attributes
        self._references: dict[str, Any] = {}
        self._builder = DocumentBuilder(source, _Markdown(self._references, is_cell=False))
        self._lines = [match.span() for match in _LINE.finditer(source)]
        self._cells: dict[int, int] = {}
        """Of a line of a table, how much has been read."""

    def document(self) -> Document:
        """The document that the source is."""
        first = 0
        if match := _FRONT_MATTER.match(self._source):
            first = bisect_left(self._lines, (match.end(), 0))
        lines = [self._source[start:end].rstrip("\r\n") for start, end in self._lines[first:]]
        tokens: list[Token] = []
        _PARSER.block.parse("\n".join(lines), _PARSER, {"references": self._references}, tokens)
        quotes, around = 0, ""
        for token in tokens:
            quotes += {"blockquote_open": 1, "blockquote_close": -1}.get(token.type, 0)
            if token.type == "html_block" and token.map and not quotes:
                start, end = (line + first for line in token.map)
                span = Span(self._lines[start][0], self._lines[end - 1][1])
                if ">" in self._source[slice(*span)]:  # else it would be text, and what begins with a tag would not
                    self._builder.adopt(read_html(self._source, *span, attributes=self._attributes))
            elif token.type == "inline" and token.map and token.content:
                notation = _Markdown(self._references, around in ("th_open", "td_open"), around == "#")
                self._inline(token.content, token.map[0] + first, notation)
            around = token.markup[:1] if token.type == "heading_open" else token.type
        return self._builder.document()

    def _inline(self, text: str, line: int, notation: _Markdown) -> None:
        """What is within a block that begins in a line; nothing where it is not found there."""
        content = self._cell(text, line) if notation.is_cell else self._paragraph(text, line)
        if content is None:
            return
        beginning, ending = _BEGINNING.match(text), _ENDING.search(text)
        start = beginning.end() if beginning and not notation.is_cell else 0
        end = ending.start() if ending else len(text)
        _InlineReader(self._builder, content.within(start, end), notation, attributes=self._attributes).read()

    def _paragraph(self, text: str, line: int) -> "_Content | None":
        """The lines of a paragraph or a heading, without what quotes and lists begin them with."""
        starts, position = list[tuple[int, int]](), 0
        for number, part in enumerate(text.split("\n"), line):
            begun, ended = self._lines[number]
            stripped = part.strip(" \t")
            place = self._source.rfind(stripped, begun, ended)
            if place < 0:
                return None
            starts.append((position + part.find(stripped), place))
            position += len(part) + 1
        return _Content(text, starts)

    def _cell(self, text: str, line: int) -> "_Content | None":
        """A cell of a table, in which a bar is written with a backslash."""
        begun, ended = self._lines[line]
        parts = text.split("|")
        pattern = re.compile(r"\\\|".join(map(re.escape, parts)))
        match = pattern.search(self._source, self._cells.get(line) or self._row(begun, ended), ended)
        if match is None:
            return None
        self._cells[line] = match.end()
        starts, position, place = [(0, match.start())], 0, match.start()
        for part in parts[:-1]:
            position, place = position + len(part), place + len(part)
            starts += [(position, place), (position + 1, place + 2)]
            position, place = position + 1, place + 2
        return _Content(text, starts)

    def _row(self, begun: int, ended: int) -> int:
        """Where the cells of a line begin."""
        match = _ROW.match(self._source, begun, ended)
        return match.end() if match else begun


class _InlineReader:
    """Gives a builder what is within a paragraph, a heading or a cell."""

    def __init__(self, builder: DocumentBuilder, content: "_Content", notation: _Markdown, *, attributes: bool) -> None:
        self._builder, self._content, self._notation = builder, content, notation
        self._attributes = attributes
        parsed = _PARSER.inline.parse(content.text, _PARSER, {"references": notation.references}, [])
        self._tokens = sorted(parsed, key=lambda token: token.meta["span"].start)
        self._labels: list[int] = []
        self._region = Span(*self._at(0, len(content.text)))

    def read(self) -> None:
        """All of it, as one block or, with hard breaks, several."""
        reached = 0
        for number, token in enumerate(self._tokens):
            start, end = token.meta["span"]
            if start < reached and token.type != "strong_close":
                continue  # it is part of what has been read
            match token.type:
                case "text" if token.content:
                    self._words(token.content, start, end)
                case "text":  # one half of the sign of a strong emphasis, which the other half takes
                    continue
                case "text_special":
                    self._builder.text(token.content, *self._at(start, end))
                case "softbreak":
                    self._builder.space(*self._at(reached, end))
                case "hardbreak":
                    self._flush()
                case "code_inline":
                    self._builder.atom(token.content, *self._at(start, end))
                case "image":
                    self._builder.void(*self._at(start, end), is_seen=True)
                    self._image(token, start, end)
                case "html_inline":
                    end = self._html(number, start, end)
                case "link_open" if token.info == "auto":
                    self._builder.atom(self._content.text[start + 1 : end - 1], *self._at(start, end))
                case "link_open":
                    self._labels.append(end)
                    self._builder.open("[", *self._at(start, end))
                case "link_close":
                    self._link(start, end)
                case "strong_open":
                    self._builder.open("strong", *self._at(start - 1, end))
                case "strong_close":
                    end += 1
                    self._builder.close("strong", *self._at(start, end))
                case "em_open" | "s_open":
                    self._builder.open(token.type[:-5], *self._at(start, end))
                case "em_close" | "s_close":
                    self._builder.close(token.type[:-6], *self._at(start, end))
                case _:  # a footnote's number
                    self._builder.void(*self._at(start, end))
            reached = end
        self._flush()

    def _flush(self) -> None:
        self._builder.flush(self._region, self._notation)

    def _words(self, text: str, start: int, end: int) -> None:
        if "  " in text:
            for match in _WORDS.finditer(text):
                put = self._builder.space if match.group().isspace() and match.end() - match.start() > 1 else None
                span = self._at(start + match.start(), start + match.end())
                if put is None:
                    self._builder.text(match.group(), *span)
                else:
                    put(*span)
        else:
            self._builder.text(text, *self._at(start, end))

    def _link(self, start: int, end: int) -> None:
        """The end of a link. One that is called by its text is called by its name from now on."""
        label, written = self._labels.pop(), self._content.text[start:end]
        span = self._at(start, end)
        if written in ("]", "][]"):
            self._builder.edit(*span, f"][{self._content.text[label:start]}]")
        self._title(start, end)
        self._builder.close("[", *span)

    def _image(self, token: Token, start: int, end: int) -> None:
        text = token.content
        if self._attributes and all(child.type == "text" for child in token.children or ()):
            self._builder.attribute([(text, *self._at(start + 2, start + 2 + len(text)))], self._notation)
        self._title(start + 2 + len(text), end)

    def _title(self, start: int, end: int) -> None:
        """The title of a link or an image."""
        match = _TITLE.search(self._content.text, start, end)
        if self._attributes and match is not None and not {"\\", "&"} & set(match[1]):
            first, last = match.start(1) + 1, match.end(1) - 1
            pieces = [(self._content.text[first:last], *self._at(first, last))]
            self._builder.attribute(pieces, Escaping(_QUOTING[match[1][0]]))

    def _html(self, number: int, start: int, end: int) -> int:
        """A tag. Returns where what was read ends: with the element, if it comes back as it is."""
        written = self._content.text[start:end]
        [tag, *_] = stretches(written)
        span = self._at(start, end)
        if tag.kind is Kind.CLOSE and tag.name not in BLOCK:
            self._builder.close(f"<{tag.name}", *span)
        elif tag.kind is not Kind.OPEN and tag.kind is not Kind.CLOSE:
            self._builder.void(*span)
        elif tag.name in BLOCK:
            self._flush()
        elif tag.name in VOID or written.endswith("/>"):
            self._builder.void(*span, is_seen=tag.name in SEEN)
        elif tag.name in CODE or tag.name in KEPT_INLINE or keeps(tag, written):
            return self._kept(tag.name, number, start)
        else:
            self._builder.open(f"<{tag.name}", *span)
        return end

    def _kept(self, name: str, number: int, start: int) -> int:
        depth, shown, end = 0, list[str](), start
        for token in self._tokens[number:]:
            end = token.meta["span"].end
            if token.type == "html_inline":
                [tag, *_] = stretches(token.content)
                depth += (tag.name == name) * {Kind.OPEN: 1, Kind.CLOSE: -1}.get(tag.kind, 0)
                if not depth:
                    break
            else:
                shown.append(token.content)
        text = " ".join("".join(shown).split())
        if text and name not in KEPT_INLINE:
            self._builder.atom(text, *self._at(start, end))
        else:
            self._builder.void(*self._at(start, end))
        return end

    def _at(self, start: int, end: int) -> tuple[int, int]:
        return self._content.at(start), self._content.at(end)

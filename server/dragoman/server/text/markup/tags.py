"""HTML as its tags and what stands between them, with positions: as browsers tokenise it, in linear time on anything.

Nothing is an error. A tag, comment or script that never ends takes the rest of the text, as in a browser; but where no
`>` follows at all, `<` is text.
"""

import enum
import re
from collections.abc import Iterator
from typing import NamedTuple

RAW_TEXT = frozenset(("script", "style", "xmp", "iframe", "noembed", "noframes"))
"""Elements whose content has neither tags nor references."""
ESCAPABLE = frozenset(("title", "textarea"))
"""Elements whose content has references, but no tags."""

WHITE = " \t\n\f\r"
_START = re.compile(r"<(?=[a-zA-Z/!?])")
_NAME = re.compile(rf"[^{WHITE}/>]+")
_SKIP = re.compile(rf"[{WHITE}/]*")
_ATTRIBUTE = re.compile(rf"[^{WHITE}/>][^{WHITE}/>=]*")
_EQUALS = re.compile(rf"[{WHITE}]*=[{WHITE}]*")
_UNQUOTED = re.compile(rf"[^{WHITE}>]+")
_COMMENT_END = re.compile(r"--!?>")
_ENDS = {name: re.compile(rf"</{name}(?=[{WHITE}/>])", re.IGNORECASE) for name in (*RAW_TEXT, *ESCAPABLE)}
_SCRIPT_SIGN = re.compile(rf"<!--|-->|</?script(?=[{WHITE}/>])", re.IGNORECASE)


class Kind(enum.Enum):
    """What a stretch of HTML is."""

    TEXT = "text"
    ESCAPABLE = "escapable"
    """The content of a title or a text area: text with references."""
    OPEN = "open"
    CLOSE = "close"
    RAW = "raw"
    """Comments, declarations, scripts, and what never ends."""


class Attribute(NamedTuple):
    """An attribute of a tag; its value's span is without quotation marks, and None where it has no value."""

    name: str
    value: tuple[int, int] | None
    quote: str


class Stretch(NamedTuple):
    """A tag, or what stands between two."""

    kind: Kind
    start: int
    end: int
    name: str = ""
    """In lower case; of tags alone."""
    attributes: tuple[Attribute, ...] = ()


def stretches(source: str, start: int = 0, end: int | None = None) -> Iterator[Stretch]:
    """All of the source, in order."""
    return _Scanner(source, start, len(source) if end is None else end).stretches()


class _Scanner:
    def __init__(self, source: str, start: int, end: int) -> None:
        self._source, self._position, self._end = source, start, end
        self._last = source.rfind(">", start, end)

    def stretches(self) -> Iterator[Stretch]:
        start = self._position
        while (match := _START.search(self._source, self._position, self._end)) is not None:
            self._position = match.start()
            if self._position > self._last and not self._source.startswith("<!--", self._position):
                break
            if self._position > start:
                yield Stretch(Kind.TEXT, start, self._position)
            stretch = self._tag()
            yield stretch
            if stretch.kind is Kind.OPEN and (content := self._content(stretch)) is not None:
                yield content
            start = self._position
        if start < self._end:
            yield Stretch(Kind.TEXT, start, self._end)

    def _tag(self) -> Stretch:
        """The tag, comment or declaration that begins here."""
        start, source = self._position, self._source
        if source.startswith("<!--", start):
            return self._raw(self._comment_end(start))
        is_close = source[start + 1] == "/"
        name = _NAME.match(source, start + 1 + is_close, self._end)
        if name is None or not name.group()[0].isascii() or not name.group()[0].isalpha():
            return self._raw(self._after(source.find(">", start, self._end), 1))
        attributes = list[Attribute]()
        end = self._attributes(name.end(), attributes)
        if end is None:
            return self._raw(self._end)
        self._position = end
        kind = Kind.CLOSE if is_close else Kind.OPEN
        return Stretch(kind, start, end, name.group().lower(), tuple(attributes))

    def _attributes(self, position: int, attributes: list[Attribute]) -> int | None:
        """Where a tag ends whose name ends here; None where it does not."""
        source, end = self._source, self._end
        while True:
            match = _SKIP.match(source, position, end)
            position = match.end() if match else position
            if position >= end:
                return None
            if source[position] == ">":
                return position + 1
            name = _ATTRIBUTE.match(source, position, end)
            assert name is not None, "neither white space, a slash nor the end of the tag"
            position, value, quote = name.end(), None, ""
            if (equals := _EQUALS.match(source, position, end)) is not None:
                position = equals.end()
                if position >= end:
                    return None
                quote = source[position] if source[position] in "\"'" else ""
                if quote:
                    until = source.find(quote, position + 1, end)
                    if until < 0:
                        return None
                    value, position = (position + 1, until), until + 1
                elif (bare := _UNQUOTED.match(source, position, end)) is not None:
                    value, position = bare.span(), bare.end()
            attributes.append(Attribute(name.group().lower(), value, quote))

    def _content(self, tag: Stretch) -> Stretch | None:
        """What stands between a tag and its end, where that is no mark-up."""
        if tag.name == "plaintext":
            return self._raw(self._end)
        if tag.name not in _ENDS:
            return None
        start = self._position
        match = _ENDS[tag.name].search(self._source, start, self._end)
        self._position = match.start() if match else self._end
        if tag.name == "script":
            self._position = self._script_end(start)
        if self._position == start:
            return None
        return Stretch(Kind.ESCAPABLE if tag.name in ESCAPABLE else Kind.RAW, start, self._position)

    def _comment_end(self, start: int) -> int:
        for empty in ("<!-->", "<!--->"):
            if self._source.startswith(empty, start):
                return start + len(empty)
        match = _COMMENT_END.search(self._source, start + 4, self._end)
        return match.end() if match else self._end

    def _after(self, position: int, length: int) -> int:
        return self._end if position < 0 else position + length

    def _script_end(self, position: int) -> int:
        """Where a script ends: what `<!--` begins may hold another one, with an end of its own."""
        is_hidden = is_inner = False
        while (match := _SCRIPT_SIGN.search(self._source, position, self._end)) is not None:
            sign, position = match.group().lower(), match.end()
            if sign == "<!--":
                is_hidden, position = True, match.start() + 2  # `<!-->` is whole
            elif sign == "-->":
                is_hidden = is_inner = False
            elif sign == "<script":
                is_inner = is_hidden
            elif not is_inner:
                return match.start()
            else:
                is_inner = False
        return self._end

    def _raw(self, end: int) -> Stretch:
        start, self._position = self._position, end
        return Stretch(Kind.RAW, start, end)

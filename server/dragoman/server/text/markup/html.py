"""HTML taken apart: which tags end a block, which are marks within one, and what is never translated."""

import html
import re
from collections.abc import Iterator

from dragoman.server.text.markup.building import DocumentBuilder
from dragoman.server.text.markup.document import Document, Escaping
from dragoman.server.text.markup.references import double_quoted, html_references, html_text, single_quoted, unquoted
from dragoman.server.text.markup.tags import WHITE, Kind, Stretch, stretches


def _names(names: str) -> frozenset[str]:
    return frozenset(names.split())


CODE = _names("code kbd samp var tt")
"""Elements within a sentence that are read as they are, and come back as they are."""
UNSEEN = _names("img wbr svg embed area map source track param link meta base script style")
"""Elements that have no text, and may stand within a sentence. What is in them comes back as it is."""
SEEN = _names("img svg embed")
"""Of these, what has a place among the words."""
KEPT = _names("pre textarea math xmp iframe noembed noframes plaintext listing")
"""Elements that end a block and come back as they are."""
BLOCK = _names(
    "address applet article aside audio basefont blockquote body br button canvas caption center col colgroup datalist "
    "dd details dialog dir div dl dt fieldset figcaption figure footer form frame frameset h1 h2 h3 h4 h5 h6 head "
    "header hgroup hr html input keygen label legend li main marquee menu menuitem meter nav noscript object ol "
    "optgroup option output p picture progress search section select slot summary table tbody td tfoot th thead title "
    "template tr ul video"
)
"""Elements that end a block. All others, those that HTML does not know among them, stand within a sentence."""
VOID = _names("area base basefont br col embed hr img input keygen link meta param source track wbr")
"""Elements without an end."""
ATTRIBUTES = frozenset(("alt", "title", "placeholder", "aria-label"))
"""Attributes that have text in them, which is translated where that is asked for."""

_LEADING = re.compile(rf"[{WHITE}]+")
_LAYOUT = re.compile(rf"[{WHITE}]{{2,}}|[\t\n\f\r]| $")
_QUOTING = {'"': Escaping(double_quoted), "'": Escaping(single_quoted), "": Escaping(unquoted)}


def parse_html(source: str, *, attributes: bool = False) -> Document:
    """A fragment or a whole document. With `attributes`, those that have text are blocks too."""
    return read_html(source, 0, len(source), attributes=attributes)


def read_html(source: str, start: int, end: int, *, attributes: bool) -> Document:
    """A stretch of a source, which is HTML."""
    builder = DocumentBuilder(source, Escaping(html_text))
    _Reader(builder, source, stretches(source, start, end), attributes=attributes).read()
    return builder.document()


def add_attributes(builder: DocumentBuilder, source: str, tag: Stretch) -> None:
    """Give a builder the attributes of a tag that have text in them."""
    for name, value, quote in tag.attributes:
        if name in ATTRIBUTES and value is not None:
            builder.attribute(list(_attribute_text(source, *value)), _QUOTING[quote])


def keeps(tag: Stretch, source: str) -> bool | None:
    """Whether a tag says that what is in it is not to be translated; None where it does not say."""
    for name, value, _ in tag.attributes:
        written = source[slice(*value)].strip().lower() if value is not None else ""
        if name == "translate" and written in ("yes", "no", ""):
            return written == "no"
        if name == "class" and "notranslate" in written.split():
            return True
    return None


def add_text(builder: DocumentBuilder, source: str, start: int, end: int) -> None:
    """Give a builder a stretch of HTML without tags."""
    position = start
    for begun, ended, character in html_references(source, start, end, in_attribute=False):
        add_words(builder, source, position, begun)
        if character and character in WHITE:
            builder.space(begun, ended)
        elif character:
            builder.text(character, begun, ended)
        else:
            builder.void(begun, ended)
        position = ended
    add_words(builder, source, position, end)


def add_words(builder: DocumentBuilder, source: str, start: int, end: int) -> None:
    """Give a builder a stretch of text in which white space of any length is a space."""
    position = start
    if leading := _LEADING.match(source, start, end):
        builder.space(*leading.span())
        position = leading.end()
    for layout in _LAYOUT.finditer(source, position, end):
        builder.literal(position, layout.start())
        builder.space(*layout.span())
        position = layout.end()
    builder.literal(position, end)


def _attribute_text(source: str, start: int, end: int) -> Iterator[tuple[str, int, int]]:
    position = start
    for begun, ended, character in html_references(source, start, end, in_attribute=True):
        yield source[position:begun], position, begun
        yield character, begun, ended
        position = ended
    yield source[position:end], position, end


class _Region:
    """An element that is kept as it stands, or within such a one an element that is not."""

    def __init__(self, name: str, *, is_kept: bool) -> None:
        self.name, self.is_kept, self.depth = name, is_kept, 1


class _Reader:
    """Reads stretches in order. An element that is kept ends with the tag that matches the one that it began with."""

    def __init__(
        self, builder: DocumentBuilder, source: str, stretches: Iterator[Stretch], *, attributes: bool
    ) -> None:
        self._builder, self._source, self._stretches = builder, source, stretches
        self._attributes = attributes
        self._regions: list[_Region] = []

    def read(self) -> None:
        """All stretches."""
        for stretch in self._stretches:
            is_kept = bool(self._regions) and self._regions[-1].is_kept
            if stretch.kind is Kind.OPEN:
                self._opened(stretch, is_kept=is_kept)
            elif stretch.kind is Kind.CLOSE:
                self._closed(stretch, is_kept=is_kept)
            elif not is_kept and stretch.kind is Kind.RAW:
                self._builder.void(stretch.start, stretch.end)
            elif not is_kept:
                add_text(self._builder, self._source, stretch.start, stretch.end)

    def _opened(self, tag: Stretch, *, is_kept: bool) -> None:
        has_end = tag.name not in VOID
        if has_end and self._regions and self._regions[-1].name == tag.name:
            self._regions[-1].depth += 1
        says = keeps(tag, self._source)
        if is_kept and says is False and has_end:
            self._builder.flush()
            self._regions.append(_Region(tag.name, is_kept=False))
        if is_kept:
            return
        if self._attributes and not says:
            add_attributes(self._builder, self._source, tag)
        if tag.name in UNSEEN:
            self._builder.void(tag.start, self._end(tag) if has_end else tag.end, is_seen=tag.name in SEEN)
        elif tag.name in KEPT:
            self._builder.flush()
            self._end(tag)
        elif tag.name in BLOCK:
            self._builder.flush()
            if says and has_end:
                self._regions.append(_Region(tag.name, is_kept=True))
        elif says or tag.name in CODE:
            self._atom(tag)
        else:
            self._builder.open(tag.name, tag.start, tag.end)

    def _closed(self, tag: Stretch, *, is_kept: bool) -> None:
        if self._regions and self._regions[-1].name == tag.name:
            self._regions[-1].depth -= 1
            if not self._regions[-1].depth:
                self._regions.pop()
                self._builder.flush()
                return
        if is_kept:
            return
        if tag.name in BLOCK or tag.name in KEPT:
            self._builder.flush()
        else:
            self._builder.close(tag.name, tag.start, tag.end)

    def _atom(self, tag: Stretch) -> None:
        """An element within a sentence that is kept as it stands."""
        shown = list[str]()
        end = self._end(tag, shown)
        text = " ".join(html.unescape("".join(shown)).split())
        if text:
            self._builder.atom(text, tag.start, end)
        else:
            self._builder.void(tag.start, end)

    def _end(self, tag: Stretch, shown: list[str] | None = None) -> int:
        """Where the element ends that begins with a tag; what a reader sees of it goes into `shown`."""
        if tag.name in ("svg", "math") and self._source[tag.end - 2] == "/":
            return tag.end
        depth, end = 1, tag.end
        for stretch in self._stretches:
            end = stretch.end
            if shown is not None and stretch.kind is Kind.TEXT:
                shown.append(self._source[stretch.start : stretch.end])
            elif stretch.name == tag.name:
                depth += 1 if stretch.kind is Kind.OPEN else -1
                if not depth:
                    break
        return end

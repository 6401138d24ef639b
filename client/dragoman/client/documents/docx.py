"""Word documents (docx): paragraphs are units, in the body, in tables, text boxes, headers, footers and notes.

A document is a zip of XML parts. In a paragraph that is translated its runs are written anew, with their formatting
around the words that translate theirs; tabs and line breaks part it into texts of their own. Hyperlinks, references to
notes, images, fields and bookmarks take the places of their marks. Whatever else the parts hold, and all other files of
the zip, stay as they are. What was deleted with tracking, comments, charts and fields are no text.
"""

import io
import lzma
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dragoman.client.documents.document import Document, DocumentOptions, Markup, Unit, Written
from dragoman.client.documents.errors import DocumentError
from dragoman.client.documents.files import TextFile
from dragoman.client.documents.inline import Marks, Place, parts
from dragoman.client.documents.text_document import TextDocument, one_line
from dragoman.client.documents.xml_source import Element, escaped, parsed, xml_file

_PART = re.compile(r"word/(?:document\d*|header\d*|footer\d*|footnotes|endnotes)\.xml")
_NAMESPACES = (
    "http://schemas.openxmlformats.org/wordprocessingml/2006/main",
    "http://purl.oclc.org/ooxml/wordprocessingml/main",
)
_CONTAINERS = {"hyperlink", "ins", "moveTo", "smartTag", "customXml", "dir", "bdo"}
"""What stands around runs, and whose runs are text."""
_CUTS = {"tab", "br", "cr", "ptab"}
_NOISE = {"proofErr", "lastRenderedPageBreak"}
"""What Word notes for itself about a text, and what is wrong about another."""
_LANGUAGE = re.compile(r"<(?:\w+:)?(?:lang|noProof)\b[^<>]*/>")
_MOST_FIELDS = 20
"""One within the other."""
_MAX_BYTES = 256 * 2**20
"""Of all parts together, unpacked."""


@dataclass(frozen=True)
class _Text:
    """Characters, and the properties of their run as they are written."""

    text: str
    properties: str
    raw: str
    """The runs that it comes from."""


@dataclass(frozen=True)
class _Object:
    """Something that is no text: elements, and what is written around them."""

    pieces: tuple[str | Element, ...]
    is_cut: bool = False
    """Whether the text behind it is another one."""
    field: str = ""
    """Which part of a field it is: begin, separate, end, or code."""
    code: str = ""


@dataclass(frozen=True)
class _Edge:
    """The beginning or the end of what stands around runs."""

    before: str
    after: str
    is_end: bool = False


_Item = _Text | _Object | _Edge


def read(data: bytes, options: DocumentOptions) -> Document:  # noqa: ARG001 - as of every format
    """A Word document."""
    return _WordDocument(data)


class _WordDocument:
    """The parts of a zip that hold text, each a document of its own."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        with _opened(data) as archive:
            names = sorted(filter(_PART.fullmatch, archive.namelist()), key=lambda name: ("document" not in name, name))
            self._parts = {name: _part(name, archive.read(name)) for name in names}
        if not any("document" in name for name in self._parts):
            raise DocumentError("no Word document: it holds no word/document.xml")
        self.units = [unit for part in self._parts.values() for unit in part.units]

    def written(self, translations: Sequence[str | None]) -> Written:
        """The zip with translations; where nothing was translated, the same bytes."""
        changed: dict[str, bytes] = {}
        refused: dict[int, str] = {}
        first = 0
        for name, part in self._parts.items():
            written = part.written(translations[first : first + len(part.units)])
            refused |= {first + index: reason for index, reason in written.refused.items()}
            if written.data != part.file.data(part.file.text):
                changed[name] = written.data
            first += len(part.units)
        return Written(self._packed(changed) if changed else self._data, refused)

    def _packed(self, changed: dict[str, bytes]) -> bytes:
        packed = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(self._data)) as old, zipfile.ZipFile(packed, "w") as new:
            new.comment = old.comment
            for info in old.infolist():
                data = changed.get(info.filename)
                new.writestr(info, old.read(info) if data is None else data, info.compress_type)
        return packed.getvalue()


def _opened(data: bytes) -> zipfile.ZipFile:
    if data.startswith(b"\xd0\xcf\x11\xe0"):
        raise DocumentError("is encrypted or a document of old Word: save it as .docx without a password")
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        infos = archive.infolist()
        if any(info.flag_bits & 1 for info in infos):
            raise DocumentError("is encrypted: save it without a password")
        if sum(info.file_size for info in infos) > _MAX_BYTES:
            raise DocumentError(f"is larger than {_MAX_BYTES // 2**20} MiB once it is unpacked")
        damaged = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, NotImplementedError, OSError, EOFError) as error:
        raise DocumentError(f"no Word document: {error}") from error
    if damaged:
        raise DocumentError(f"is damaged: {damaged} in it cannot be read")
    return archive


def _part(name: str, data: bytes) -> TextDocument:
    try:
        document = TextDocument(xml_file(data))
        root = parsed(document.file.text)
    except DocumentError as error:
        raise DocumentError(f"{name}: {error}") from error
    place = name.removeprefix("word/").removesuffix(".xml")
    for number, paragraph in enumerate(_paragraphs(document.file, [root]), start=1):
        paragraph.add(document, f"{place}, paragraph {number}")
    return document


def _paragraphs(file: TextFile, elements: Sequence[Element]) -> Iterator["_Paragraph"]:
    """Paragraphs with text, in the order of the part. Those within one are its own business."""
    waiting = list(reversed(elements))
    while waiting:
        element = waiting.pop()
        if _is(element, "p"):
            paragraph = _Paragraph(file, element)
            if paragraph.is_text:
                yield paragraph
                continue
        if not _is(element, "del") and not _is(element, "moveFrom"):
            waiting += reversed(element.children)


def _is(element: Element, *names: str) -> bool:
    return element.name in names and element.namespace in _NAMESPACES


class _Paragraph:
    """A paragraph: texts, with cuts between them."""

    def __init__(self, file: TextFile, element: Element) -> None:
        self._file = file
        content = [child for child in element.children if not _is(child, "pPr")]
        self._span = (content[0].start, content[-1].end) if content else (element.content_end, element.content_end)
        prefix = file.text[element.start + 1 : element.content].partition("p")[0]
        self._writer = _Writer(file, prefix)
        items = _merged(_with_fields(file.text, list(_items(file.text, content))))
        self._segments: list[_Segment | _Object] = []
        depth = 0
        segment: list[_Item] = []
        for item in items:
            depth += 0 if not isinstance(item, _Edge) else -1 if item.is_end else 1
            if isinstance(item, _Object) and item.is_cut and depth == 0:
                self._segments += [_Segment(segment), item]
                segment = []
            else:
                segment.append(item)
        self._segments.append(_Segment(segment))

    @property
    def is_text(self) -> bool:
        """Whether there is anything to translate in it itself."""
        return any(isinstance(segment, _Segment) and segment.source.strip() for segment in self._segments)

    def add(self, document: TextDocument, place: str) -> None:
        """Its units, and an edit that writes it."""
        self._register(document, place)
        units = tuple(self._writer.units)
        document.add_edit(*self._span, units, lambda texts: self._written(dict(zip(units, texts, strict=True))))

    def _register(self, document: TextDocument, place: str) -> None:
        units = self._writer.units
        for segment in self._segments:
            if isinstance(segment, _Segment) and segment.source.strip():
                [segment.unit] = document.add_units([Unit(segment.source, place, segment.markup)])
                units.append(segment.unit)
        for inner in _paragraphs(self._file, self._objects()):
            inner._register(document, place)
            self._writer.inner.append(inner)
            units += inner._writer.units

    def _objects(self) -> list[Element]:
        objects: list[_Object] = []
        for segment in self._segments:
            objects += [segment] if isinstance(segment, _Object) else segment.objects
        return [piece for item in objects for piece in item.pieces if isinstance(piece, Element)]

    def _written(self, translations: dict[int, str]) -> str:
        writer = self._writer
        return "".join(
            writer.object(segment, translations)
            if isinstance(segment, _Object)
            else segment.written(writer, translations)
            for segment in self._segments
        )

    def replaced(self, translations: dict[int, str]) -> tuple[int, int, str]:
        """Where it stands, and what it becomes."""
        return *self._span, self._written(translations)


class _Writer:
    """Writes runs and objects of a paragraph."""

    def __init__(self, file: TextFile, prefix: str) -> None:
        self._file = file
        self._prefix = prefix
        self.units: list[int] = []
        self.inner: list[_Paragraph] = []
        """Paragraphs within its objects, such as those of a text box."""

    def run(self, text: str, properties: str) -> str:
        """Characters with their properties."""
        if not text:
            return ""
        content = escaped(one_line(text), self._file.encoding)
        prefix = self._prefix
        return f'<{prefix}r>{properties}<{prefix}t xml:space="preserve">{content}</{prefix}t></{prefix}r>'

    def object(self, item: _Object, translations: dict[int, str]) -> str:
        """What an object was, with the translations of paragraphs in it."""
        return "".join(piece if isinstance(piece, str) else self._element(piece, translations) for piece in item.pieces)

    def _element(self, element: Element, translations: dict[int, str]) -> str:
        written, position = list[str](), element.start
        for paragraph in self.inner:
            start, end, text = paragraph.replaced(translations)
            if element.start <= start and end <= element.end:
                written += [self._file.text[position:start], text]
                position = end
        return "".join([*written, self._file.text[position : element.end]])


class _Segment:
    """A text of a paragraph: what is sent of it, and how what comes back is written."""

    def __init__(self, items: Sequence[_Item]) -> None:
        self._before, self._items, self._after = _peeled(list(items))
        self.objects = [item for item in items if isinstance(item, _Object)]
        self.unit = -1
        shares = Counter[str]()
        for item in self._items:
            if isinstance(item, _Text):
                shares[item.properties] += len(item.text)
        self._properties = shares.most_common(1)[0][0] if shares else ""
        """Those of most of the text."""
        self._marked: list[_Item] = []
        marks = Marks()
        for item in self._items:
            self._mark(marks, item)
        self._inlines = marks.inlines
        self.markup = Markup.XML if self._marked else Markup.NONE
        self.source = marks.source if self._marked else "".join(_characters(item) for item in self._items)
        if not any(map(str.isalpha, "".join(_characters(item) for item in self._items))):
            self.source = ""

    def _mark(self, marks: Marks, item: _Item) -> None:
        if isinstance(item, _Text) and item.properties == self._properties:
            marks.text(item.text)
            return
        if isinstance(item, _Edge) and item.is_end:
            marks.close()
            return
        self._marked.append(item)
        if isinstance(item, _Object):
            marks.void("")
        else:
            marks.open("", "")
        if isinstance(item, _Text):
            marks.text(item.text)
            marks.close()

    def written(self, writer: _Writer, translations: dict[int, str]) -> str:
        """Its runs and objects, with the translation if it has one."""
        around = [[_raw(writer, item, translations) for item in items] for items in (self._before, self._after)]
        return "".join([*around[0], *self._content(writer, translations), *around[1]])

    def _content(self, writer: _Writer, translations: dict[int, str]) -> Iterator[str]:
        translation = translations.get(self.unit)
        if translation is None:
            yield from (_raw(writer, item, translations) for item in self._items)
            return
        properties = [self._properties]
        for part in parts(translation, self._inlines) if self._marked else [translation]:
            if not isinstance(part, Place):
                yield writer.run(part, properties[-1])
                continue
            item = self._marked[part.number]
            if isinstance(item, _Object):
                yield writer.object(item, translations)
            elif isinstance(item, _Edge):
                yield item.after if part.is_end else item.before
            elif part.is_end:
                properties.pop()
            else:
                properties.append(item.properties)


def _characters(item: _Item) -> str:
    return item.text if isinstance(item, _Text) else ""


def _raw(writer: _Writer, item: _Item, translations: dict[int, str]) -> str:
    if isinstance(item, _Text):
        return item.raw
    if isinstance(item, _Object):
        return writer.object(item, translations)
    return item.after if item.is_end else item.before


def _peeled(items: list[_Item]) -> tuple[list[_Item], list[_Item], list[_Item]]:
    """What stands before a text, the text, and what stands behind it: objects, and what is around all of it."""
    before: list[_Item] = []
    after: list[_Item] = []
    while items:
        if isinstance(items[0], _Object):
            before.append(items.pop(0))
        elif isinstance(items[-1], _Object):
            after.insert(0, items.pop())
        elif isinstance(items[0], _Edge) and _end_of_first(items) == len(items) - 1:
            before.append(items.pop(0))
            after.insert(0, items.pop())
        else:
            break
    return before, items, after


def _end_of_first(items: Sequence[_Item]) -> int:
    depth = 0
    for position, item in enumerate(items):
        if isinstance(item, _Edge):
            depth += -1 if item.is_end else 1
            if depth == 0:
                return position
    return -1


def _items(text: str, children: Sequence[Element]) -> Iterator[_Item]:
    """What a paragraph holds, or something around runs."""
    for child in children:
        if _is(child, "r"):
            yield from _run_items(text, child)
        elif (
            _is(child, *_CONTAINERS) and (inner := list(_items(text, child.children))) and any(map(_characters, inner))
        ):
            before, after = text[child.start : child.content], text[child.content_end : child.end]
            yield from (_Edge(before, after), *inner, _Edge(before, after, is_end=True))
        elif not _is(child, *_NOISE):
            yield _Object((child,))


def _run_items(text: str, run: Element) -> Iterator[_Item]:
    own = run.child("rPr")
    properties = _LANGUAGE.sub("", text[own.start : own.end]) if own else ""
    before = text[run.start : run.content] + (text[own.start : own.end] if own else "")
    after = text[run.content_end : run.end]
    for child in run.children:
        if _is(child, "t"):
            yield _Text(child.text, properties, before + text[child.start : child.end] + after)
        elif _is(child, "noBreakHyphen"):
            yield _Text("\u2011", properties, before + text[child.start : child.end] + after)
        elif _is(child, "fldChar", "instrText"):
            kind = next((value for name, value in child.attributes.items() if name.endswith("fldCharType")), "code")
            yield _Object((before, child, after), field=kind, code=child.text)
        elif child is not own and not _is(child, *_NOISE, "softHyphen"):
            yield _Object((before, child, after), is_cut=_is(child, *_CUTS))


def _merged(items: Iterator[_Item]) -> Iterator[_Item]:
    """The items, neighbours that are texts of the same properties, or objects, as one."""
    last: _Item | None = None
    for item in items:
        if isinstance(item, _Text) and isinstance(last, _Text) and item.properties == last.properties:
            last = _Text(last.text + item.text, last.properties, last.raw + item.raw)
        elif isinstance(item, _Object) and isinstance(last, _Object) and not item.is_cut and not last.is_cut:
            last = _Object(last.pieces + item.pieces)
        else:
            if last is not None:
                yield last
            last = item
    if last is not None:
        yield last


def _with_fields(text: str, items: Sequence[_Item]) -> Iterator[_Item]:
    """The items, each field that begins and ends among them as one object, or, a link, as what stands around a text."""
    position = 0
    while position < len(items):
        item = items[position]
        end = _end_of_field(items, position) if isinstance(item, _Object) and item.field == "begin" else None
        if end is None:
            yield item
            position += 1
            continue
        field = items[position : end + 1]
        middle = next(
            (at for at, part in enumerate(field) if isinstance(part, _Object) and part.field == "separate"), 0
        )
        code = "".join(part.code for part in field[:middle] if isinstance(part, _Object))
        if code.split()[:1] == ["HYPERLINK"] and any(map(_characters, field)):
            before, after = _written_raw(text, field[: middle + 1]), _written_raw(text, field[-1:])
            yield _Edge(before, after)
            yield from _with_fields(text, field[middle + 1 : -1])
            yield _Edge(before, after, is_end=True)
        else:
            yield _Object((_written_raw(text, field),))
        position = end + 1


def _end_of_field(items: Sequence[_Item], start: int) -> int | None:
    """The end of a field that is whole: with nothing in it that is open or closed outside of it."""
    fields = edges = 0
    for position in range(start, len(items)):
        item = items[position]
        if isinstance(item, _Edge):
            edges += -1 if item.is_end else 1
            if edges < 0:
                return None
        elif isinstance(item, _Object):
            fields += {"begin": 1, "end": -1}.get(item.field, 0)
            if fields == 0 or fields > _MOST_FIELDS:
                return position if edges == fields == 0 else None
    return None


def _written_raw(text: str, items: Sequence[_Item]) -> str:
    written = list[str]()
    for item in items:
        if isinstance(item, _Object):
            written += [piece if isinstance(piece, str) else text[piece.start : piece.end] for piece in item.pieces]
        else:
            written.append(item.raw if isinstance(item, _Text) else item.after if item.is_end else item.before)
    return "".join(written)

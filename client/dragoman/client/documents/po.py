"""Catalogues of gettext (PO): messages are units, and their translations go where they belong.

The syntax is small and is read here, as no library tells where in the file an entry's strings stand. Comments, order,
references, obsolete entries and what is not translated stay to the last byte. A translation that is written makes its
entry certain: the flag `fuzzy` and the previous message go. Strings are wrapped as gettext does, where the file does.
"""

import codecs
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from unicodedata import east_asian_width

from dragoman.client.documents.document import Document, DocumentOptions, Unit
from dragoman.client.documents.errors import DocumentError
from dragoman.client.documents.files import TextFile, text_file
from dragoman.client.documents.markup import markup_of
from dragoman.client.documents.plurals import PluralForms, forms_of_language, plural_forms
from dragoman.client.documents.text_document import TextDocument

_LINE = re.compile(r"[^\n]*(?:\n|\Z)")
_STATEMENT = re.compile(r'\s*(?:(msgctxt|msgid_plural|msgid|msgstr(?:\[(\d+)\])?)\s*)?"((?:[^"\\]|\\.)*)"\s*')
_CHARSET = re.compile(rb'^"Content-Type:[^"\n]*charset=([^\s"\\;]+)', re.MULTILINE)
_ESCAPE = re.compile(r"((?:\\(?:[0-7]{1,3}|x[0-9a-fA-F]{1,2}))+)|\\(.)")
_CHARACTERS = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_WRITTEN = {character: f"\\{letter}" for letter, character in _CHARACTERS.items()} | {'"': '\\"', "\\": "\\\\"}
_WORD = re.compile(
    "[\u3041-\u9fff\uac00-\ud7af][\u3001\u3002\u300d\u300f\u3011\uff01\uff09\uff0c\uff0e\uff1f\u30fc]* *"
    "|(?:(?![\u3041-\u9fff\uac00-\ud7af])[^ ])+ *| +"
)
"""What is not parted: a word, or one character of a script without spaces, with what may not begin a line."""
_WIDTH = 79
"""Columns of a line, as gettext wraps by default."""


@dataclass
class _Entry:
    """An entry that is being read: what it says, and where."""

    line: int
    context: str | None = None
    message: str | None = None
    plural: str | None = None
    translations: dict[int | None, str] = field(default_factory=dict)
    """By form; None is the only one of an entry without a plural."""
    start: int = 0
    end: int = 0
    """Where the translations stand, without the last line's end."""
    flags: list[tuple[int, int, str]] = field(default_factory=list)
    previous: list[tuple[int, int]] = field(default_factory=list)

    @property
    def is_fuzzy(self) -> bool:
        return any("fuzzy" in _flags(line) for _, _, line in self.flags)

    @property
    def is_header(self) -> bool:
        return self.message == "" and self.context is None


def read(data: bytes, options: DocumentOptions) -> Document:
    """A catalogue."""
    file = text_file(data, options.encoding or _charset(data))
    entries = list(_entries(file.text))
    header = next((entry for entry in entries if entry.is_header), None)
    catalogue = _Catalogue(file, header, options.target_language)
    for entry in entries:
        if entry.message and (not options.only_missing or catalogue.is_missing(entry)):
            catalogue.add(entry)
    catalogue.add_header()
    return catalogue.document


class _Catalogue:
    """A document that is being made of entries."""

    def __init__(self, file: TextFile, header: _Entry | None, language: str | None) -> None:
        self.document = TextDocument(file)
        self._header = header
        self._language = language
        said = _header_field(header, "Plural-Forms")
        self._known = plural_forms(said)
        self._forms = self._known or forms_of_language(_header_field(header, "Language") or language)
        self._has_plurals = False
        self._line_end = "\r\n" if "\r\n" in file.text else "\n"
        self._is_wrapped = not any(
            len(line) > _WIDTH + 1 and " " in line for line in file.text.split(self._line_end) if line[:1] in 'm"'
        )

    def is_missing(self, entry: _Entry) -> bool:
        """Whether an entry has no translation, not all of its forms, or an uncertain one."""
        count = len(self._plural_forms(entry).numbers) if entry.plural is not None else 1
        return entry.is_fuzzy or len(entry.translations) < count or not all(entry.translations.values())

    def add(self, entry: _Entry) -> None:
        """The entry's message, and its plural, with the stretches that their translations change."""
        assert entry.message is not None
        self._has_plurals |= entry.plural is not None
        place = f"line {entry.line}"
        messages = [entry.message] if entry.plural is None else [entry.message, entry.plural]
        units = self.document.add_units([Unit(text, place, markup_of(text)) for text in messages])
        self.document.add_edit(
            entry.start, entry.end, units, lambda texts: self._written(entry, texts), holds_source=False
        )
        if entry.is_fuzzy:
            for start, end, line in entry.flags:
                self.document.add_edit(start, end, units, _always(_without_fuzzy(line)), holds_source=False)
            for start, end in entry.previous:
                self.document.add_edit(start, end, units, _always(""), holds_source=False)

    def add_header(self) -> None:
        """What a template's header leaves open, where it is known."""
        if not self._header or None not in self._header.translations:
            return
        old = text = self._header.translations[None]
        if self._language and not _header_field(self._header, "Language"):
            text = _with_field(text, "Language", self._language.replace("-", "_"))
        if self._forms and not self._known and self._has_plurals:
            text = _with_field(text, "Plural-Forms", self._forms.formula)
        if text != old:
            line = self._strings("msgstr", text)
            self.document.add_edit(self._header.start, self._header.end, (), _always(line))

    def _plural_forms(self, entry: _Entry) -> PluralForms:
        """The forms that an entry with a plural needs. Where nothing says them, those that it has a place for."""
        if self._forms:
            return self._forms
        guess = plural_forms(
            {1: "nplurals=1; plural=0;", 2: "nplurals=2; plural=n != 1;"}.get(len(entry.translations), "")
        )
        if not guess:
            raise DocumentError(
                f"line {entry.line}: neither the header's Plural-Forms nor the target language says which plural forms "
                "there are: write Plural-Forms into the header"
            )
        return guess

    def _written(self, entry: _Entry, texts: Sequence[str]) -> str:
        if entry.plural is None:
            forms: dict[int | None, str] = {None: texts[0]}
        else:
            assert entry.message is not None
            singular, plural = texts
            chosen = self._plural_forms(entry).texts(entry.message, entry.plural)
            forms = {index: singular if is_singular else plural for index, is_singular in enumerate(chosen)}
        if forms == entry.translations:
            return self.document.file.text[entry.start : entry.end]
        lines = [self._strings("msgstr" if form is None else f"msgstr[{form}]", text) for form, text in forms.items()]
        return self._line_end.join(lines)

    def _strings(self, keyword: str, text: str) -> str:
        """A statement, on as many lines as gettext would take for it."""
        parts = re.findall(r"[^\n]*\n|[^\n]+", text)
        escaped = ["".join(_WRITTEN.get(character, character) for character in part) for part in parts]
        if len(escaped) <= 1:
            line = f'{keyword} "{"".join(escaped)}"'
            if not self._is_wrapped or _columns(line) <= _WIDTH:
                return line
        wrapped = [line for part in escaped for line in (_wrapped(part) if self._is_wrapped else [part])]
        return self._line_end.join([f'{keyword} ""', *(f'"{line}"' for line in wrapped)])


def _entries(text: str) -> Iterator[_Entry]:
    """The entries of a catalogue, obsolete ones left out. Raises DocumentError for what is none."""
    entry, statement = _Entry(1), ""
    for number, match in enumerate(_LINE.finditer(text), start=1):
        line, start = match[0], match.start()
        content = line.strip()
        if not content or content.startswith("#~"):
            continue
        if content.startswith("#"):
            if entry.translations:
                yield entry
                entry, statement = _Entry(number), ""
            if content.startswith("#,"):
                entry.flags.append((start, match.end(), line))
            elif content.startswith("#|"):
                entry.previous.append(match.span())
            continue
        said = _STATEMENT.fullmatch(line)
        if not said:
            raise DocumentError(f"no PO: line {number} is neither a comment nor a message: {content:.60}")
        keyword, form, quoted = said.groups()
        if keyword in ("msgctxt", "msgid") and entry.translations:
            yield entry
            entry, statement = _Entry(number), ""
        value = _unescaped(quoted)
        if keyword:
            _begin(entry, statement, keyword, number)
            statement = keyword
            if keyword.startswith("msgstr") and not entry.translations:
                entry.start = start
        _extend(entry, statement, int(form) if form else None, value, number, is_new=bool(keyword))
        if statement.startswith("msgstr"):
            entry.end = start + len(line.rstrip())
    if entry.translations:
        yield entry
    elif statement:
        raise DocumentError(f"no PO: the entry of line {entry.line} has no msgstr")


_ORDER = {
    "": ("msgctxt", "msgid"),
    "msgctxt": ("msgid",),
    "msgid": ("msgid_plural", "msgstr"),
    "msgid_plural": ("msgstr[",),
}


def _begin(entry: _Entry, before: str, keyword: str, number: int) -> None:
    """Check that a statement may follow the one before it."""
    if keyword == "msgid":
        entry.line = number
    kind = "msgstr[" if keyword.startswith("msgstr[") else keyword
    allowed = ("msgstr[",) if before.startswith("msgstr[") else _ORDER.get(before, ())
    if kind not in allowed:
        raise DocumentError(f"no PO: line {number}: {keyword} has no place here")


def _extend(entry: _Entry, statement: str, form: int | None, value: str, number: int, *, is_new: bool) -> None:
    if statement.startswith("msgstr"):
        if is_new and form in entry.translations:
            raise DocumentError(f"no PO: line {number}: {statement} comes twice")
        last = form if is_new else next(reversed(entry.translations))
        entry.translations[last] = entry.translations.get(last, "") + value
    elif statement == "msgctxt":
        entry.context = (entry.context or "") + value
    elif statement == "msgid":
        entry.message = (entry.message or "") + value
    elif statement == "msgid_plural":
        entry.plural = (entry.plural or "") + value
    else:
        raise DocumentError(f"no PO: line {number}: a string without msgid or msgstr before it")


def _charset(data: bytes) -> str | None:
    """The encoding that the header names; a template's is none."""
    match = _CHARSET.search(data)
    name = match[1].decode("ascii", "replace") if match else "CHARSET"
    if name == "CHARSET":
        return None
    try:
        return codecs.lookup(name).name
    except LookupError as error:
        raise DocumentError(f"the header says charset={name}, which is not known (--encoding NAME)") from error


def _header_field(header: _Entry | None, name: str) -> str:
    text = header.translations.get(None, "") if header else ""
    match = re.search(rf"^{name}:[ \t]*(.*)$", text, re.MULTILINE)
    return match[1].strip() if match else ""


def _with_field(header: str, name: str, value: str) -> str:
    pattern = re.compile(rf"^{name}:.*$", re.MULTILINE)
    line = f"{name}: {value}"
    if pattern.search(header):
        return pattern.sub(lambda _: line, header, count=1)
    return header + ("" if header.endswith("\n") or not header else "\n") + line + "\n"


def _always(text: str) -> Callable[[Sequence[str]], str]:
    return lambda _: text


def _flags(line: str) -> list[str]:
    return [flag.strip() for flag in line.strip()[2:].split(",")]


def _without_fuzzy(line: str) -> str:
    """A line of flags without this one; nothing where it was the only one."""
    rest = [flag for flag in _flags(line) if flag and flag != "fuzzy"]
    if "fuzzy" not in _flags(line):
        return line
    return f"#, {', '.join(rest)}{line[len(line.rstrip()) :]}" if rest else ""


def _unescaped(quoted: str) -> str:
    def character(match: re.Match[str]) -> str:
        if match[1]:  # bytes of one or more characters
            numbers = (int(code[1:], 16) if code[0] == "x" else int(code, 8) for code in match[1][1:].split("\\"))
            return bytes(number & 0xFF for number in numbers).decode("utf-8", "replace")
        return _CHARACTERS.get(match[2], match[2])

    return _ESCAPE.sub(character, quoted)


def _wrapped(escaped: str) -> Iterator[str]:
    """An escaped string in lines that fit with their quotes; spaces stay with the word before them."""
    line, columns = "", 0
    for word in _WORD.findall(escaped):
        width = _columns(word)
        if line and columns + width > _WIDTH - 2:
            yield line
            line, columns = "", 0
        line, columns = line + word, columns + width
    if line:
        yield line


def _columns(text: str) -> int:
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)

"""XLIFF 1.2 and 2: sources are units, and their translations become targets.

Notes, alternatives, matches and sources stay as they are. A target that is missing is written behind its source, with
the same indentation; one that says that it needs a translation says that it is translated. Inline elements go around
the words that translate theirs. A source that was cut into segments (`seg-source`) is translated by segments.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from dragoman.client.documents.document import Document, DocumentOptions, Markup, Unit
from dragoman.client.documents.errors import DocumentError
from dragoman.client.documents.inline import Inline, Marks, placed
from dragoman.client.documents.markup import markup_of
from dragoman.client.documents.text_document import TextDocument
from dragoman.client.documents.xml_source import SPACE, Element, escaped, parsed, with_attribute, writable, xml_file

_UNTRANSLATED = {"new", "needs-translation", "needs-l10n", "needs-adaptation", "initial"}
"""States of a target that is none yet."""
_AROUND = {"g", "pc", "mrk"}
"""Inline elements with text within; what others hold is code."""


@dataclass(frozen=True)
class _Pair:
    """A source, and where its translation goes."""

    name: str
    source: Element
    target: Element | None
    segmented: Element | None
    """The source once more, cut into segments; in XLIFF 1.2 alone."""
    state_of: Element | None
    """The element that says how far the translation is."""
    is_preserved: bool
    """Whether white space in it is meant."""


def read(data: bytes, options: DocumentOptions) -> Document:
    """A file of XLIFF."""
    document = TextDocument(xml_file(data, options.encoding))
    root = parsed(document.file.text)
    version = root.attributes.get("version", "")
    if root.name != "xliff" or not version.startswith(("1.", "2.")):
        raise DocumentError(f"no XLIFF 1 or 2: its root is {root.name} {version}".rstrip())
    is_old = version.startswith("1.")
    for pair in _pairs(root, is_old=is_old):
        if not options.only_missing or _is_missing(pair):
            _add(document, pair)
    if options.target_language:
        for element in [child for child in root.children if child.name == "file"] if is_old else [root]:
            _add_language(document, element, "target-language" if is_old else "trgLang", options.target_language)
    return document


def _pairs(root: Element, *, is_old: bool) -> Iterator[_Pair]:
    """Sources that may be translated."""
    waiting = [(root, True, False)]
    while waiting:
        element, is_translated, is_preserved = waiting.pop()
        is_translated = {"yes": True, "no": False}.get(element.attributes.get("translate", ""), is_translated)
        is_preserved = {"preserve": True, "default": False}.get(element.attributes.get(SPACE, ""), is_preserved)
        source = element.child("source")
        if source and element.name in ("trans-unit", "segment"):
            if is_translated:
                target = element.child("target")
                state_of = target if is_old else element
                segmented = element.child("seg-source")
                name = element.attributes.get("id", "")
                yield _Pair(name, source, target, segmented, state_of, is_preserved)
        else:
            names = ("file", "body", "group", "trans-unit", "unit", "segment", "bin-unit")
            children = [child for child in element.children if child.name in names]
            waiting += [(child, is_translated, is_preserved) for child in reversed(children)]


def _is_missing(pair: _Pair) -> bool:
    if not pair.target or not (pair.target.children or pair.target.text.strip()):
        return True
    return pair.state_of is not None and pair.state_of.attributes.get("state") in _UNTRANSLATED


def _add(document: TextDocument, pair: _Pair) -> None:
    text = document.file.text
    place = f"line {document.line(pair.source.start)}" + (f" ({pair.name})" if pair.name else "")
    whole = pair.segmented or pair.source
    segments = [mark for mark in whole.walk() if mark.name == "mrk" and mark.attributes.get("mtype") == "seg"]
    contents = segments if pair.segmented and segments else [pair.source]
    prepared = [_prepared(text, content, is_preserved=pair.is_preserved) for content in contents]
    if not any(unit.strip() for unit, _, _ in prepared):
        return
    units = document.add_units([Unit(source, place, markup) for source, markup, _ in prepared])
    write = partial(
        _contents,
        text=text,
        whole=whole,
        contents=contents,
        inlines=[marks for _, _, marks in prepared],
        encoding=document.file.encoding,
    )
    _add_target(document, pair, units, write)


def _prepared(text: str, element: Element, *, is_preserved: bool) -> tuple[str, Markup, Sequence[Inline] | None]:
    """What is sent of an element's content, and its inline elements; None where there are none."""
    spaced: Callable[[str], str] = str if is_preserved else lambda part: re.sub(r"\s*\n\s*", " ", part)
    if not element.children:
        value = spaced(element.text)
        return value, markup_of(value), None
    marks = Marks()
    _mark(text, element, marks, spaced)
    return marks.source, Markup.XML, marks.inlines


def _mark(text: str, element: Element, marks: Marks, spaced: Callable[[str], str]) -> None:
    for number, part in enumerate(element.texts):
        marks.text(spaced(part))
        if number < len(element.children):
            child = element.children[number]
            if child.name in _AROUND and not child.is_empty_tag and _is_translated(child):
                marks.open(text[child.start : child.content], text[child.content_end : child.end])
                _mark(text, child, marks, spaced)
                marks.close()
            else:
                marks.void(text[child.start : child.end])


def _is_translated(mark: Element) -> bool:
    return mark.attributes.get("mtype") != "protected" and mark.attributes.get("translate") != "no"


def _contents(
    texts: Sequence[str],
    *,
    text: str,
    whole: Element,
    contents: Sequence[Element],
    inlines: Sequence[Sequence[Inline] | None],
    encoding: str,
) -> str:
    """The content of a target: that of the source with each of its contents replaced."""
    parts, position = list[str](), whole.content
    for translation, element, marks in zip(texts, contents, inlines, strict=True):
        parts.append(text[position : element.content])
        parts.append(
            escaped(translation, encoding)
            if marks is None
            else placed(translation, marks, lambda part: escaped(part, encoding))
        )
        position = element.content_end
    return writable("".join([*parts, text[position : whole.content_end]]), encoding)


def _add_target(
    document: TextDocument, pair: _Pair, units: tuple[int, ...], write: Callable[[Sequence[str]], str]
) -> None:
    text = document.file.text
    target = pair.target
    if target is None:
        name = re.compile(r"<([^\s/>]*)source").match(text, pair.source.start)
        prefix = name[1] if name else ""
        after = (pair.segmented or pair.source).end
        indentation = re.compile(r"(?:\r\n|\r|\n)?[ \t]*\Z").search(
            text[max(0, pair.source.start - 200) : pair.source.start]
        )
        gap = indentation[0] if indentation else ""

        def inserted(texts: Sequence[str]) -> str:
            return f"{gap}<{prefix}target>{write(texts)}</{prefix}target>"

        document.add_edit(after, after, units, inserted, holds_source=False)
    else:
        tag = text[target.start : target.content]
        name_of = re.match(r"<([^\s/>]+)", tag)
        assert name_of is not None
        if pair.state_of is target:
            tag = _with_state(tag, target)
        opening = re.sub(r"\s*/>\Z", ">", tag) if target.is_empty_tag else tag

        def replaced(texts: Sequence[str]) -> str:
            content = write(texts)
            if content == text[target.content : target.content_end] and tag == text[target.start : target.content]:
                return text[target.start : target.end]
            return f"{opening}{content}</{name_of[1]}>"

        document.add_edit(target.start, target.end, units, replaced, holds_source=False)
    if pair.state_of and pair.state_of is not target:
        old = text[pair.state_of.start : pair.state_of.content]
        new = _with_state(old, pair.state_of)
        if new != old:
            document.add_edit(pair.state_of.start, pair.state_of.content, units, lambda _: new, holds_source=False)


def _with_state(tag: str, element: Element) -> str:
    # A segment of XLIFF 2 that does not say it is in its first state.
    state = element.attributes.get("state", "" if element.name == "target" else "initial")
    return with_attribute(tag, "state", "translated") if state in _UNTRANSLATED else tag


def _add_language(document: TextDocument, element: Element, name: str, language: str) -> None:
    if not element.attributes.get(name):
        tag = with_attribute(document.file.text[element.start : element.content], name, language)
        document.add_edit(element.start, element.content, (), lambda _: tag)

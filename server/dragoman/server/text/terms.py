"""Where terms are in a text: the longest that begins at each place, in one pass.

Texts and terms are taken apart into words, and a term is found where its words stand: so none is found within a word.
A word is a run of letters, digits and underscores with the marks on them; in scripts that write no spaces, and in
Korean, whose particles hang on words, a character is a word. Upper and lower case, composed and decomposed letters,
and straight and curly apostrophes are the same; any space is, but a line's end. Terms lie in a tree of words, so
that the number of terms costs nothing.
"""

import functools
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from dragoman.glossary.terms import Term
from dragoman.server.core.spans import Span
from dragoman.server.text.alignment import stands_alone

_SPACE, _BREAK = " ", "\n"
_LINE_ENDS = frozenset("\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029")
_ASCII_WORD = re.compile(r"[A-Za-z0-9_]+|[ \t\x1f]+|.", re.DOTALL)
_SAME = str.maketrans({"\u2019": "'", "\u02bc": "'", "\u2010": "-", "\u2011": "-"})
_POINTS = frozenset(".,")


class _Words(NamedTuple):
    """The words of a text, and what stands between them: each begins where the one before it ends."""

    keys: list[str]
    """What all ways of writing each of them have in common."""
    bounds: list[int]
    """One more: the text's end is the last."""


@dataclass(frozen=True)
class TermMatch:
    """A place of a text where a term stands."""

    span: Span
    finder: int
    """Which of several finders knows the term."""
    term: int
    """Its number there."""
    put: str
    """What stands for it in the translation."""


@dataclass(frozen=True)
class _End:
    """A term that ends at a node, in one of its forms."""

    term: int
    form: int
    exact: str | None
    """How the words must be written; None: in whatever case."""


@dataclass
class _WordNode:
    """A word of the tree, behind those that lead to it."""

    next: dict[str, "_WordNode"] = field(default_factory=dict)
    ends: list[_End] = field(default_factory=list)
    """The first that fits is meant."""


class TermFinder:
    """Terms that can be looked for. Only read, so any thread may."""

    def __init__(self, terms: Sequence[Term]) -> None:
        self.terms = tuple(terms)
        self._root = _WordNode()
        forms = [(number, form) for number, term in enumerate(self.terms) for form in range(len(term.all_forms))]
        for number, form in forms:
            self._add(number, form, "")
        # A plural comes last: where "news" is a term, it is not the plural of "new".
        for number, form in forms:
            for plural in ("s", "es", "ies") if self.terms[number].inflected else ():
                self._add(number, form, plural)

    def __len__(self) -> int:
        return len(self.terms)

    def __repr__(self) -> str:
        return f"<TermFinder {len(self)} terms>"

    @property
    def root(self) -> _WordNode:
        """Where every term begins."""
        return self._root

    def put(self, end: _End, found: str) -> str:
        """What stands for a term that is found written so."""
        term = self.terms[end.term]
        form = term.all_forms[end.form]
        if term.do_not_translate:
            return found
        return form.target if term.case_sensitive else like(found, form.source, form.target)

    def _add(self, number: int, form: int, plural: str) -> None:
        term = self.terms[number]
        source = _inflected(" ".join(term.all_forms[form].source.split()), plural)
        if source is None:
            return
        node = self._root
        for key in _words(source).keys:
            node = node.next.setdefault(key, _WordNode())
        end = _End(number, form, _exact(source) if term.case_sensitive else None)
        # Who asks for a case means this way of writing; whoever comes later means what is left.
        others = [one for one in node.ends if one.exact is None]
        node.ends = [one for one in node.ends if one.exact is not None]
        node.ends += [end, *others] if end.exact is not None else [*others, end]


@dataclass(frozen=True)
class Glossary:
    """Terms with a name, ready to be looked for."""

    name: str
    """Empty where they are a request's own."""
    finder: TermFinder


def find(text: str, finders: Sequence[TermFinder]) -> Iterator[TermMatch]:
    """Where the terms of the finders are, in order and apart. Of terms that begin at the same place the longest is
    meant, of equal ones that of an earlier finder.
    """
    words = _words(text)
    roots = [finder.root.next for finder in finders]
    reached = 0
    for position, key in enumerate(words.keys):
        if position < reached:
            continue
        best: tuple[int, int, _End] | None = None
        for number, root in enumerate(roots):
            longest = _longest(text, words, position, root[key]) if key in root else None
            if longest is not None and (best is None or longest[0] > best[0]):
                best = (longest[0], number, longest[1])
        if best is not None:
            reached, number, end = best
            span = Span(words.bounds[position], words.bounds[reached])
            yield TermMatch(span, number, end.term, finders[number].put(end, text[span.start : span.end]))


def like(found: str, source: str, target: str) -> str:
    """A target written as its source is found: with a capital, or in capitals, where the term itself has none."""
    if found.isupper() and not source.isupper() and sum(map(str.isalpha, found)) > 1:
        return target.upper()
    if found[:1].isupper() and source[:1].islower():
        return target[:1].upper() + target[1:]
    return target


def same_writing(one: str, other: str) -> bool:
    """Whether two texts are the same but for spaces and for kinds of apostrophes and hyphens."""
    return _exact(one) == _exact(other)


def _longest(text: str, words: _Words, position: int, first: _WordNode) -> tuple[int, _End] | None:
    """The longest term that begins with a word, whose node is `first`, and which word is the first behind it."""
    keys, bounds = words
    node: _WordNode | None = first
    best, behind = None, position
    while node is not None:
        behind += 1
        if node.ends and _is_apart(text, words, position, behind):
            end = _fitting(node.ends, text[bounds[position] : bounds[behind]])
            best = best if end is None else (behind, end)
        node = node.next.get(keys[behind]) if behind < len(keys) else None
    return best


def _fitting(ends: Sequence[_End], found: str) -> _End | None:
    """The first of the terms that are written as it is found."""
    return next((end for end in ends if end.exact is None or end.exact == _exact(found)), None)


def _is_apart(text: str, words: _Words, position: int, behind: int) -> bool:
    """Whether words are no part of a number with points, of a contraction or, in Korean, of a longer word."""
    keys, bounds = words
    start, end = bounds[position], bounds[behind]
    if start and _is_hangul(text[start]) and _is_hangul(text[start - 1]):
        return False
    if start > 1 and text[start].isdigit() and text[start - 1] in _POINTS and text[start - 2].isdigit():
        return False
    if text[end - 1].isdigit() and text[end : end + 1] in _POINTS and text[end + 1 : end + 2].isdigit():
        return False
    if behind + 1 >= len(keys) or keys[behind] != "'" or not text[end - 1].isalnum():
        return True
    # A possessive, or a closing quotation mark; "can" is no part of "can't".
    return keys[behind + 1] == "s" or not text[bounds[behind + 1]].isalnum()


def _exact(text: str) -> str:
    """What of the way in which a text is written counts where case does."""
    return " ".join(unicodedata.normalize("NFC", text.translate(_SAME)).split())


def _inflected(source: str, plural: str) -> str | None:
    """A term with the last of its words in the plural; itself without one, and None where it has no such plural."""
    if not plural:
        return source
    if not source[-1].isalpha() or stands_alone(source[-1]) or _is_hangul(source[-1]):
        return None
    if plural == "ies":
        return f"{source[:-1]}ies" if source[-1] in "yY" else None
    return source + plural


def _words(text: str) -> _Words:
    if text.isascii():
        matches = list(_ASCII_WORD.finditer(text))
        return _Words([_ascii_key(match[0]) for match in matches], [*(match.start() for match in matches), len(text)])
    words = _Words([], [])
    start, kind = 0, ""
    for position, char in enumerate(text):
        char_kind = _kind(char)
        if char_kind == "mark" and kind in ("", _SPACE, _BREAK):  # there is nothing that it could be on
            char_kind = "letter"
        if position and (char_kind == "mark" or (char_kind == kind and kind in ("letter", _SPACE))):
            continue
        if position:
            words.keys.append(_key(text[start:position], kind))
            words.bounds.append(start)
        start, kind = position, char_kind
    words.keys.append(_key(text[start:], kind))
    words.bounds.extend((start, len(text)))
    return words


def _ascii_key(word: str) -> str:
    if word.isspace():
        return _BREAK if word in _LINE_ENDS else _SPACE
    return word.lower()


@functools.lru_cache(maxsize=65_536)
def _kind(char: str) -> str:
    """Which characters it stands with."""
    if char.isspace():
        return _BREAK if char in _LINE_ENDS else _SPACE
    if unicodedata.category(char)[0] == "M" or char in "\u200c\u200d":
        return "mark"
    if stands_alone(char) or _is_hangul(char):
        return "alone"
    return "letter" if char.isalnum() or char == "_" else "other"


def _key(word: str, kind: str) -> str:
    if kind in (_SPACE, _BREAK):
        return kind
    composed = unicodedata.normalize("NFC", word).translate(_SAME)
    return unicodedata.normalize("NFC", composed.casefold())


def _is_hangul(char: str) -> bool:
    return "\uac00" <= char <= "\ud7a3"

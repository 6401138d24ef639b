"""What a model cannot say: characters that its vocabularies lack, and the words that they are in."""

import functools
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator

from dragoman.server.core.protection import SpanKind
from dragoman.server.core.spans import Span
from dragoman.server.text.tokenizer import Tokenizer

Reach = Callable[[str, int], bool]
"""Whether the character at a position belongs to what stands beside it."""

MOST_REMEMBERED = 1 << 16
"""Characters whose answer is kept."""
_SPACELESS = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x2E80, 0x31FF),  # radicals, kana, bopomofo
    (0x3400, 0x9FFF),  # Chinese characters
    (0xA000, 0xA4CF),  # Yi
    (0xF900, 0xFAFF),
    (0xFF66, 0xFF9D),
    (0x20000, 0x3FFFF),
)
"""Scripts without spaces between words: a character that is lacking there takes none of its neighbours with it."""
_MARKS = frozenset({"Mn", "Mc", "Me"})
_MOST_MARKS = 4
"""Marks on a letter that are looked at together with it."""


class Readable:
    """A bundle's model, asked what it can say. Safe to share between threads: at worst an answer is found twice."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._fine: set[str] = set(" \t\n\r")
        self._strange: set[str] = set()

    def spans(self, text: str, known: Iterable[Span] = ()) -> Iterator[tuple[Span, SpanKind]]:
        """Where the text has what the model cannot say, in order and apart: whole words, numbers with their signs.
        What lies in one of the `known` spans is left out, and takes no neighbours with it.
        """
        if self._fine.issuperset(text):
            return
        strange = self._strange_of(text)
        if not strange:
            return
        reached, covered = 0, _Covered(known)
        for match in _runs(strange).finditer(text):
            start, end = max(match.start(), reached), match.end()
            if end <= reached or covered.holds(start, end) or not self._is_strange_in(text, start, end):
                continue
            start, end = _with_neighbours(text, start, end, reached)
            yield Span(start, end), _kind(text[start:end])
            reached = end

    def _strange_of(self, text: str) -> str:
        """The characters of a text that the model cannot say by themselves."""
        chars = set(text)
        new = chars - self._fine - self._strange
        if len(self._fine) + len(self._strange) + len(new) > MOST_REMEMBERED:
            self._fine, self._strange = set(" \t\n\r"), set()
            new = chars
        strange = {char for char in new if not self._is_fine(char)}
        self._strange |= strange
        self._fine |= new - strange
        return "".join(sorted(chars & self._strange))

    def _is_fine(self, char: str) -> bool:
        """Whether a character alone may stay in what the model reads.

        Letters and marks need to be read only: they are translated. Signs must be written as they are.
        """
        category = unicodedata.category(char)
        if char.isspace():
            return True
        is_translated = category[0] in "LM" or category == "Nd" or (category[0] == "P" and not char.isascii())
        return self._is_read(char) and (is_translated or self._tokenizer.writes(char))

    def _is_read(self, text: str) -> bool:
        return self._tokenizer.reads(text)

    def _is_strange_in(self, text: str, start: int, end: int) -> bool:
        """Whether the model cannot say a run of characters none of which it can say alone."""
        if end - start > _MOST_MARKS or (end - start == 1 and text[start] < "\u0080"):
            return True
        categories = {*map(unicodedata.category, text[start:end])}
        if categories == {"Cf"}:  # joiners within a word, which a vocabulary's rules leave out
            return not (text[start - 1 : start].isalnum() and text[end : end + 1].isalnum())
        # A mark may be known together with its letter.
        return not (start and categories <= _MARKS and self._is_read(text[start - 1 : end]))


class _Covered:
    """Spans, asked in order whether they hold a stretch."""

    def __init__(self, spans: Iterable[Span]) -> None:
        self._spans = sorted(spans)
        self._next = self._end = 0

    def holds(self, start: int, end: int) -> bool:
        """Whether one of them does, which need not be apart."""
        while self._next < len(self._spans) and self._spans[self._next].start <= start:
            self._end = max(self._end, self._spans[self._next].end)
            self._next += 1
        return end <= self._end


@functools.lru_cache(maxsize=1024)
def _runs(chars: str) -> re.Pattern[str]:
    """Finds runs of these characters."""
    return re.compile(f"[{re.escape(chars)}]++")


@functools.lru_cache(maxsize=1024)
def _kind(run: str) -> SpanKind:
    """What a run is that the model cannot say."""
    is_symbol = all(unicodedata.category(char)[0] == "S" and not char.isascii() for char in run)
    return SpanKind.SYMBOL if is_symbol else SpanKind.UNREADABLE


def _with_neighbours(text: str, start: int, end: int, reached: int) -> tuple[int, int]:
    """A run with what it would tear apart, no further back than `reached`: the word or the number that it is in."""
    goes_on_before, goes_on = _reach(text[start]), _reach(text[end - 1])
    if start > 0 and end < len(text) and text[start - 1].isalnum() and text[end].isalnum():  # `a@b`
        goes_on_before = goes_on = _is_word
    elif text[start] == "#" and text[start - 1 : start].isalnum():  # `C#`
        goes_on_before = _is_word
    while start > reached and goes_on_before(text, start - 1):
        start -= 1
    while end < len(text) and goes_on(text, end):
        end += 1
    return start, end


def _reach(char: str) -> Reach:
    """What beside a character belongs to it."""
    if char.isascii():  # what programs write may also stand before prose, `{see below}`
        return _is_number if char in _NUMBER_SIGNS else _is_nothing
    category = unicodedata.category(char)
    if _is_spaceless(char) or category[0] in "PCZ":
        return _is_nothing
    return _is_number if category[0] == "S" and char != "\u00b0" else _is_word


def _is_nothing(text: str, position: int) -> bool:  # noqa: ARG001 - one of the three that go on
    return False


def _is_word(text: str, position: int) -> bool:
    """Whether the character at a position goes on a word or a number."""
    char = text[position]
    if char.isalnum() or unicodedata.category(char)[0] == "M":
        return not _is_spaceless(char)
    if char in _INNER:
        return text[position - 1 : position].isalnum() and text[position + 1 : position + 2].isalnum()
    return _is_number(text, position)


def _is_number(text: str, position: int) -> bool:
    """Whether the character at a position goes on a number."""
    char = text[position]
    if char.isdecimal():
        return True
    return char in ".," and text[position - 1 : position].isdecimal() and text[position + 1 : position + 2].isdecimal()


def _is_spaceless(char: str) -> bool:
    point = ord(char)
    return point >= 0x0E00 and any(first <= point <= last for first, last in _SPACELESS)


_INNER = frozenset("'\u2019-\u2010\u2011\u00b7\u200c\u200d\u00ad")
"""What stands within words."""
_NUMBER_SIGNS = frozenset("#~<>^@")
"""Signs of ASCII that may belong to a number."""

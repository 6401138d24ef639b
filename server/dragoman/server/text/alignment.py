"""Which words of a source its translation's words come from, read off the attention of the decoder.

A word here is a run of tokens that begins where a word of the text begins: after white space, where letters meet other
characters, and at every token in scripts that write no spaces. A token is never parted, and a stretch of text that is
written as several tokens (bytes, or characters that normalisation replaced) belongs to one word.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dragoman.server.core.spans import Span
from dragoman.server.core.translations import Alignment
from dragoman.server.text.splitting import is_joined

MIN_WEIGHT = 0.05
"""Links that got less of a word's attention are left out, unless they are its strongest."""

_CONNECTORS = frozenset("'\u2019-\u2010\u2011")
_NO_SPACES = (("\u0e00", "\u0eff"), ("\u1000", "\u109f"), ("\u1780", "\u17ff"))
"""Thai and Lao, Burmese, Khmer; scripts of wide characters are known to Unicode as such."""

Attention = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Word:
    """A word of a text."""

    span: Span
    tokens: tuple[int, ...]
    """The positions of its tokens."""


def words(text: str, spans: Sequence[Span | None]) -> list[Word]:
    """The words of a text whose tokens stand for these spans, which are in order.

    A token without a span, such as a language's, is in no word; every other one is in one of them.
    """
    words: list[Word] = []
    waiting: list[int] = []  # tokens that show nothing by themselves: they belong to the next one that does
    for index, span in enumerate(spans):
        if span is None:
            continue
        start, end = span
        waiting.append(index)
        shown = text[start:end]
        first, last = end - len(shown.lstrip()), start + len(shown.rstrip())
        if first >= last:
            continue
        if words and not _begins(text, first):
            before = words.pop()
            words.append(Word(Span(before.span.start, last), (*before.tokens, *waiting)))
        else:
            words.append(Word(Span(first, last), tuple(waiting)))
        waiting = []
    if waiting and words:
        before = words.pop()
        words.append(Word(before.span, (*before.tokens, *waiting)))
    return words


def links(source: Sequence[Word], target: Sequence[Word], attention: Attention) -> Iterator[Alignment]:
    """The links between two texts' words, those of a target word in source order.

    `attention` is [target tokens, source tokens], the end tokens among them: what goes to the end of the source goes to
    no word.
    """
    if not source or not target:
        return
    rows = np.stack([attention[list(word.tokens)].mean(axis=0) for word in target])
    columns = [rows[:, list(word.tokens)].sum(axis=1, dtype=np.float64) for word in source]
    for word, weights in zip(target, np.stack(columns, axis=1), strict=True):
        strongest = int(weights.argmax())
        is_linked = (weights >= MIN_WEIGHT) | (np.arange(len(source)) == strongest)
        for index in np.flatnonzero(is_linked).tolist():
            yield Alignment(source[index].span, word.span, min(1.0, float(weights[index])))


def word_weights(source: Sequence[Word], row: Attention) -> npt.NDArray[np.float64]:
    """What each word gets of one row of attention."""
    return np.array([row[list(word.tokens)].sum(dtype=np.float64) for word in source])


def _begins(text: str, position: int) -> bool:
    """Whether a word begins at this position, which is a token's and not white space."""
    if position == 0:
        return True
    if is_joined(text, position):
        return False
    before, after = text[position - 1], text[position]
    if before.isspace() or stands_alone(before) or stands_alone(after):
        return True
    if _is_letter(before) == _is_letter(after):
        return False
    # An apostrophe or a hyphen between letters is part of the word.
    if before in _CONNECTORS:
        return not (position >= 2 and _is_letter(text[position - 2]))
    if after in _CONNECTORS:
        return not (position + 1 < len(text) and _is_letter(text[position + 1]))
    return True


def _is_letter(char: str) -> bool:
    return char.isalnum() or unicodedata.category(char)[0] == "M" or char in "_\u200c\u200d"


def stands_alone(char: str) -> bool:
    """Whether a character is of a script that writes no spaces."""
    is_wide = unicodedata.east_asian_width(char) in "WF" and not "\uac00" <= char <= "\ud7a3"  # Korean has spaces
    return is_wide or any(first <= char <= last for first, last in _NO_SPACES)

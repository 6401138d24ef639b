"""ParlAI's words and merges: the tokenizer of Blenderbot Small.

A text is cut at white space, before each of `.,!?()` and around apostrophes; a line's end behind a word is a word of
its own. All of it is in small letters. Words are cut into pieces by the merges; a piece that another follows is written
with `@@` behind it. The way back puts pieces together, and leaves a space between words.
"""

import functools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from dragoman.server.core.spans import Span
from dragoman.server.text.moses import CACHED_WORDS, END_OF_WORD, apply_merges, read_merges
from dragoman.server.text.surfaces import surfaces_of

CONTINUED = "@@"
NEW_LINE = "__newln__"
STRETCH = re.compile(r"\S+\n?")
PART = re.compile(r"'|[.,!?()]?[^.,!?()'\n]+|[.,!?()]|\n")
"""Of a stretch without white space: an apostrophe, a word with a sign before it or without, a sign, a line's end."""


class ParlaiPieces:
    """One vocabulary for both sides: pieces with the ids of a table."""

    def __init__(self, path: Path, merges: bytes, ids: dict[str, int], unk_id: int) -> None:
        """`merges` is what the file `path` holds."""
        ranks = read_merges(path, merges)
        self._pieces_of = functools.lru_cache(CACHED_WORDS)(functools.partial(apply_merges, ranks=ranks))
        self._ids, self._unk_id = ids, unk_id
        self._pieces = {index: piece for piece, index in ids.items()}
        self.size = max(self._pieces, default=-1) + 1

    def encode(self, text: str) -> list[int]:
        """The ids of a text alone."""
        return [self._ids.get(piece, self._unk_id) for word, _ in _words(text) for piece in self._written(word)]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids none of which is hidden."""
        pieces = [self._pieces[index] for index in ids if index in self._pieces]
        return " ".join(pieces).replace(f"{CONTINUED} ", "").strip()

    def spans(self, text: str) -> list[Span]:
        """What each id of `encode(text)` stands for, in order."""
        return [span for word, place in _words(text) for span in self._spans(word, place, text)]

    def surfaces(self, ids: Sequence[int]) -> list[str]:
        """What each id adds to `decode(ids)`."""
        return surfaces_of(self.decode, ids)

    def token(self, index: int) -> str | None:
        """An id as the vocabulary writes it; None where it does not list it."""
        return self._pieces.get(index)

    def raw_bytes(self, index: int) -> bytes | None:  # noqa: ARG002
        """The bytes that an id stands for, where they may be a part of a character."""
        return None

    def token_id(self, token: str) -> int | None:
        """The id of a token as the vocabulary writes it; None where it has no such token."""
        return self._ids.get(token)

    def _written(self, word: str) -> list[str]:
        *first, last = self._pieces_of(word.lower())
        return [*(piece + CONTINUED for piece in first), last.removesuffix(END_OF_WORD)]

    def _spans(self, word: str, place: Span, text: str) -> Iterator[Span]:
        """Where the pieces of a word stand. A letter may become several small ones: pieces share its place then."""
        written = text[place.start : place.end]
        letters = [n for n, letter in enumerate(written) for _ in letter.lower()] if written == word else []
        start = reached = 0
        for piece in self._pieces_of(word.lower()):
            reached += len(piece.removesuffix(END_OF_WORD))
            end = letters[reached] if reached < len(letters) else len(written)
            if written != word and not piece.endswith(END_OF_WORD):  # of a line's end the last piece has all
                end = start
            yield Span(place.start + start, place.start + max(start, end))
            start = max(start, end)


def _words(text: str) -> Iterator[tuple[str, Span]]:
    """The words of a text as they are written, but for line ends, and where they stand."""
    for stretch in STRETCH.finditer(text):
        before = ""
        for part in PART.finditer(stretch[0]):
            place = Span(stretch.start() + part.start(), stretch.start() + part.end())
            if part[0] != "\n":
                yield part[0], place
            elif before != "'":  # the space behind an apostrophe swallows it
                yield NEW_LINE, place
            before = part[0]

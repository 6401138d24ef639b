"""Moses' rules and fastBPE: the tokenizer of FSMT. The rules are sacremoses', which is only imported for such a bundle.

A text is normalised, cut into words by the rules of its language and escaped (`<` becomes `&lt;`, so that no control
token can be written); each word is cut into pieces by the merges, and pieces have the ids of a table. The way back puts
pieces together to words and words to a text, by the rules of the target language.
"""

import functools
import itertools
import unicodedata
from collections.abc import Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from dragoman.server.core.errors import StartError
from dragoman.server.core.spans import Span
from dragoman.server.text.surfaces import surfaces_of

END_OF_WORD = "</w>"
CACHED_WORDS = 65_536


class MosesPieces:
    """One side's vocabulary. Only the source encodes and only the target decodes, as in the model's own."""

    def __init__(self, language: str, path: Path, merges: bytes, ids: dict[str, int], unk_id: int) -> None:
        """`merges` is what the file `path` holds."""
        rules, language = _rules(), language.partition("-")[0]
        self._normalizer = rules.MosesPunctNormalizer(language, pre_replace_unicode_punct=True)
        self._tokenizer = rules.MosesTokenizer(lang=language)
        self._detokenizer = rules.MosesDetokenizer(lang=language)
        ranks = read_merges(path, merges)
        self._pieces_of = functools.lru_cache(CACHED_WORDS)(functools.partial(apply_merges, ranks=ranks))
        self._ids, self._unk_id = ids, unk_id
        self._pieces = {index: piece for piece, index in ids.items()}
        self.size = max(self._pieces, default=-1) + 1

    def encode(self, text: str) -> list[int]:
        """The ids of a text alone."""
        return [self._ids.get(piece, self._unk_id) for word in self._words(text) for piece in self._pieces_of(word)]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids none of which is hidden."""
        pieces = [self._pieces[index] for index in ids if index in self._pieces]
        words = "".join(piece.replace(END_OF_WORD, " ") for piece in pieces).split()
        return str(self._detokenizer.detokenize(words))

    def spans(self, text: str) -> list[Span]:
        """What each id of `encode(text)` stands for, in order."""
        words = self._words(text)
        pieces = [piece for word in words for piece in self._pieces_of(word)]
        lengths = [len(piece.removesuffix(END_OF_WORD)) + piece.endswith(END_OF_WORD) for piece in pieces]
        ends = original_positions(text, " ".join(words) + " ", list(itertools.accumulate(lengths)))
        return [Span(start, end) for start, end in itertools.pairwise([0, *ends])]

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

    def _words(self, text: str) -> list[str]:
        normal = "".join(c for c in self._normalizer.normalize(text) if not unicodedata.category(c).startswith("C"))
        return list(self._tokenizer.tokenize(normal, aggressive_dash_splits=True, escape=True))


def apply_merges(word: str, ranks: dict[tuple[str, str], int]) -> tuple[str, ...]:
    """A word's pieces: of all neighbours the pair of the lowest rank is joined, everywhere, until none has a rank."""
    pieces = [*word[:-1], word[-1] + END_OF_WORD]
    while len(pieces) > 1:
        best = min(itertools.pairwise(pieces), key=lambda pair: ranks.get(pair, len(ranks)))
        if best not in ranks:
            break
        joined: list[str] = []
        for piece in pieces:
            # A piece that has just been joined is no half of the next pair: it is longer than either.
            if joined and (joined[-1], piece) == best:
                joined[-1] += piece
            else:
                joined.append(piece)
        pieces = joined
    return tuple(pieces)


def original_positions(text: str, changed: str, positions: Sequence[int]) -> list[int]:
    """Where positions of a changed text are in the text itself; those within a change are at its beginning."""
    at = [0] * (len(changed) + 1)
    for change, start, end, first, last in SequenceMatcher(None, text, changed, autojunk=False).get_opcodes():
        for position in range(first, last + 1):
            is_inside = position < last
            at[position] = start + position - first if change == "equal" else start if is_inside else end
    return [at[position] for position in positions]


def read_merges(path: Path, content: bytes) -> dict[tuple[str, str], int]:
    """Pairs of pieces and their ranks, from what the file `path` holds: a pair a line."""
    try:
        pairs = [line.split()[:2] for line in content.decode("utf-8").split("\n") if line.strip()]
    except ValueError as error:
        raise StartError(f"{path} cannot be read: {error}") from error
    if any(len(pair) != 2 for pair in pairs):
        raise StartError(f"{path} is not a list of merges: two pieces a line")
    return {(left, right): rank for rank, (left, right) in enumerate(pairs)}


def _rules() -> Any:
    try:
        import sacremoses
    except ModuleNotFoundError:
        raise StartError("the bundle's tokenizer needs sacremoses: pip install 'dragoman[moses]'") from None
    return sacremoses

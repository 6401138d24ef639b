"""Vocabularies: text to a model's ids and back, by each of the kinds that a bundle may have.

A text never becomes a control token (an end, a language): whoever writes `</s>` gets the pieces of those four
characters, because neither tables nor the words of a `tokenizer.json` list control tokens. Hidden ids are filtered by
the caller before a vocabulary turns ids into text; an id that a vocabulary does not know has no text.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

from sentencepiece import SentencePieceProcessor
from tokenizers import Tokenizer as FastTokenizer

from dragoman.bundle.reader import Bundle
from dragoman.server.errors import StartError
from dragoman.server.moses import MosesPieces


class Vocabulary(Protocol):
    """One side of a bundle's tokenizer."""

    size: int
    """One more than the largest id that a text can become."""

    def encode(self, text: str) -> list[int]:
        """The ids of a text alone."""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids none of which is hidden."""


class SentencePieces:
    """Ids are those of the SentencePiece model."""

    def __init__(self, processor: SentencePieceProcessor) -> None:
        self.size: int = processor.get_piece_size()
        self._processor = processor

    def encode(self, text: str) -> list[int]:
        """The ids of a text alone."""
        return list(self._processor.encode(text))

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids none of which is hidden."""
        return str(self._processor.decode([index for index in ids if index < self.size]))


class NumberedPieces:
    """Pieces are those of a SentencePiece model, ids those of a table; what it does not list is the unknown word."""

    def __init__(self, processor: SentencePieceProcessor, ids: dict[str, int], unk_id: int) -> None:
        self._processor = processor
        self._ids = ids
        self._pieces = {index: piece for piece, index in ids.items()}
        self._unk_id = unk_id
        self.size = max(self._pieces, default=-1) + 1

    def encode(self, text: str) -> list[int]:
        """The ids of a text alone."""
        return [self._ids.get(piece, self._unk_id) for piece in self._processor.encode(text, out_type=str)]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids none of which is hidden."""
        pieces = [self._pieces[index] for index in ids if index in self._pieces]
        # A piece that the SentencePiece model of this side does not have keeps its mark of a space.
        return str(self._processor.decode(pieces)).replace("\u2581", " ").strip()


class FastPieces:
    """A `tokenizer.json`, by the library that defines it."""

    def __init__(self, tokenizer: FastTokenizer, hidden: frozenset[int]) -> None:
        self._tokenizer = tokenizer
        tokenizer.encode_special_tokens = True  # the names of special tokens in a text are text
        self.size = (
            max((i for i in tokenizer.get_vocab(with_added_tokens=True).values() if i not in hidden), default=-1) + 1
        )

    def encode(self, text: str) -> list[int]:
        """The ids of a text alone."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids none of which is hidden."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))


def open_vocabulary(bundle: Bundle, side: Literal["source", "target"]) -> Vocabulary:
    """The vocabulary of one side. Raises StartError where a file is not what the manifest says."""
    facts = bundle.manifest.tokenizer
    path = bundle.path(getattr(facts, side))
    if facts.kind == "tokenizers":
        return FastPieces(_fast(path), frozenset(facts.hidden_ids))
    if facts.kind == "sentencepiece":
        return SentencePieces(_sentencepiece(path))
    ids = _table(bundle.path(getattr(facts, f"{side}_vocabulary")))
    if facts.kind == "moses-fastbpe":
        [pair] = bundle.manifest.pairs
        return MosesPieces(getattr(pair, side), path, ids, facts.unk_id)
    return NumberedPieces(_sentencepiece(path), ids, facts.unk_id)


def _sentencepiece(path: Path) -> SentencePieceProcessor:
    processor = SentencePieceProcessor()
    try:
        processor.load(str(path))
    except (OSError, RuntimeError) as error:
        raise StartError(f"{path} is not a SentencePiece model: {error}") from error
    return processor


def _fast(path: Path) -> FastTokenizer:
    try:
        return FastTokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        raise StartError(f"{path} is not a tokenizer.json: {error}") from error


def _table(path: Path) -> dict[str, int]:
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise StartError(f"{path} is not JSON: {error}") from error
    if not isinstance(table, dict) or not all(type(index) is int and index >= 0 for index in table.values()):
        raise StartError(f"{path} is not a vocabulary: an object from pieces to ids")
    return table

"""Vocabularies: text to a model's ids and back, by each of the kinds that a bundle may have.

A text never becomes a control token (an end, a language): whoever writes `</s>` gets the pieces of those four
characters, because neither tables nor the words of a `tokenizer.json` list control tokens. Hidden ids are filtered by
the caller before a vocabulary turns ids into text; an id that a vocabulary does not know has no text.
"""

import json
import re
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

from sentencepiece import SentencePieceProcessor, sentencepiece_pb2
from tokenizers import Tokenizer as FastTokenizer

from dragoman.bundle.reader import Bundle
from dragoman.server.core.errors import StartError
from dragoman.server.core.spans import Span
from dragoman.server.text.moses import MosesPieces
from dragoman.server.text.parlai import ParlaiPieces
from dragoman.server.text.surfaces import surfaces_of

BYTE = re.compile(r"<0x[0-9A-F]{2}>")
_SHOWN = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_HIDDEN = [byte for byte in range(0x100) if byte not in _SHOWN]
LETTERS = "".join(chr(0x100 + _HIDDEN.index(byte) if byte in _HIDDEN else byte) for byte in range(0x100))
"""Byte-level tokenizers write a letter for each byte: itself, or, for those that cannot be seen, one from 0x100 on."""


class Vocabulary(Protocol):
    """One side of a bundle's tokenizer."""

    size: int
    """One more than the largest id that a text can become."""

    def encode(self, text: str) -> list[int]:
        """The ids of a text alone."""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids none of which is hidden."""

    def spans(self, text: str) -> list[Span]:
        """What each id of `encode(text)` stands for, in order; all but the last id of one character have none of it."""

    def surfaces(self, ids: Sequence[int]) -> list[str]:
        """What each id adds to `decode(ids)`."""

    def token(self, index: int) -> str | None:
        """An id as the vocabulary writes it; None where it does not list it."""

    def raw_bytes(self, index: int) -> bytes | None:
        """The bytes that an id stands for, where they may be a part of a character."""

    def token_id(self, token: str) -> int | None:
        """The id of a token as the vocabulary writes it; None where it has no such token."""


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
        is_known = max(ids, default=0) < self.size
        return str(self._processor.decode(list(ids) if is_known else [index for index in ids if index < self.size]))

    def spans(self, text: str) -> list[Span]:
        """What each id of `encode(text)` stands for, in order."""
        return _spans(self._processor, text)

    def surfaces(self, ids: Sequence[int]) -> list[str]:
        """What each id adds to `decode(ids)`."""
        known = [index for index in ids if index < self.size]
        pieces = iter(_parsed(self._processor.decode(known, out_type="serialized_proto")).pieces)
        return [next(pieces).surface if index < self.size else "" for index in ids]

    def token(self, index: int) -> str | None:
        """An id as the vocabulary writes it; None where it does not list it."""
        return str(self._processor.id_to_piece(index)) if index < self.size else None

    def raw_bytes(self, index: int) -> bytes | None:
        """The bytes that an id stands for, where they may be a part of a character."""
        return _byte_of(self._processor, str(self._processor.id_to_piece(index))) if index < self.size else None

    def token_id(self, token: str) -> int | None:
        """The id of a token as the vocabulary writes it; None where it has no such token."""
        index = int(self._processor.piece_to_id(token))
        return index if self._processor.id_to_piece(index) == token else None


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

    def spans(self, text: str) -> list[Span]:
        """What each id of `encode(text)` stands for, in order."""
        return _spans(self._processor, text)

    def surfaces(self, ids: Sequence[int]) -> list[str]:
        """What each id adds to `decode(ids)`."""
        return surfaces_of(self.decode, ids)

    def token(self, index: int) -> str | None:
        """An id as the vocabulary writes it; None where it does not list it."""
        return self._pieces.get(index)

    def raw_bytes(self, index: int) -> bytes | None:
        """The bytes that an id stands for, where they may be a part of a character."""
        piece = self._pieces.get(index)
        return None if piece is None else _byte_of(self._processor, piece)

    def token_id(self, token: str) -> int | None:
        """The id of a token as the vocabulary writes it; None where it has no such token."""
        return self._ids.get(token)


class FastPieces:
    """A `tokenizer.json`, by the library that defines it."""

    def __init__(self, tokenizer: FastTokenizer, hidden: frozenset[int]) -> None:
        self._tokenizer = tokenizer
        tokenizer.encode_special_tokens = True  # the names of special tokens in a text are text
        self.size = (
            max((i for i in tokenizer.get_vocab(with_added_tokens=True).values() if i not in hidden), default=-1) + 1
        )

    @cached_property
    def _bytes_of(self) -> Callable[[str], bytes | None]:
        """What the library says of bytes: letters that stand for them, or names such as <0x0A>."""
        decoder = json.dumps(json.loads(self._tokenizer.to_str())["decoder"])
        if '"ByteLevel"' in decoder:
            return lambda token: bytes(map(LETTERS.index, token)) if set(token) <= set(LETTERS) else None
        if '"ByteFallback"' in decoder:
            return lambda token: bytes([int(token[3:5], 16)]) if BYTE.fullmatch(token) else None
        return lambda _: None

    def encode(self, text: str) -> list[int]:
        """The ids of a text alone."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids none of which is hidden."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))

    def spans(self, text: str) -> list[Span]:
        """What each id of `encode(text)` stands for, in order."""
        spans: list[Span] = []
        following = len(text)
        # Bytes of one character, and what was put in, have the same place as their neighbours.
        for start, end in reversed(self._tokenizer.encode(text, add_special_tokens=False).offsets):
            following, until = min(start, following), min(end, following)
            spans.append(Span(following, max(following, until)))
        return spans[::-1]

    def surfaces(self, ids: Sequence[int]) -> list[str]:
        """What each id adds to `decode(ids)`."""
        return surfaces_of(self.decode, ids)

    def token(self, index: int) -> str | None:
        """An id as the vocabulary writes it; None where it does not list it."""
        token: str | None = self._tokenizer.id_to_token(index)
        return token

    def raw_bytes(self, index: int) -> bytes | None:
        """The bytes that an id stands for, where they may be a part of a character."""
        token = self.token(index)
        return None if token is None else self._bytes_of(token)

    def token_id(self, token: str) -> int | None:
        """The id of a token as the vocabulary writes it; None where it has no such token."""
        index: int | None = self._tokenizer.token_to_id(token)
        return index


def open_vocabulary(bundle: Bundle, side: Literal["source", "target"]) -> Vocabulary:
    """The vocabulary of one side. Raises StartError where a file is not what the manifest says."""
    facts = bundle.manifest.tokenizer
    name = getattr(facts, side)
    path, content = bundle.path(name), bundle.read(name)
    if facts.kind == "tokenizers":
        return FastPieces(_fast(path, content), frozenset(facts.hidden_ids))
    if facts.kind == "sentencepiece":
        return SentencePieces(_sentencepiece(path, content))
    table = getattr(facts, f"{side}_vocabulary")
    ids = _table(bundle.path(table), bundle.read(table))
    if facts.kind == "moses-fastbpe":
        [pair] = bundle.manifest.pairs
        return MosesPieces(getattr(pair, side), path, content, ids, facts.unk_id)
    if facts.kind == "parlai-bpe":
        return ParlaiPieces(path, content, ids, facts.unk_id)
    return NumberedPieces(_sentencepiece(path, content), ids, facts.unk_id)


def _byte_of(processor: SentencePieceProcessor, piece: str) -> bytes | None:
    """The byte that a piece stands for; nothing for a space, which has a letter of its own."""
    index = processor.piece_to_id(piece)
    if not processor.is_byte(index) or processor.id_to_piece(index) != piece:
        return None
    byte = bytes([int(piece[3:5], 16)])
    return b"" if byte == b" " else byte


def _spans(processor: SentencePieceProcessor, text: str) -> list[Span]:
    parsed = _parsed(processor.encode(text, out_type="serialized_proto"))
    data, position, reached = text.encode(), 0, 0
    spans: list[Span] = []
    for piece in parsed.pieces:
        start = position + len(data[reached : piece.begin].decode())
        position = start + len(data[piece.begin : piece.end].decode())
        reached = piece.end
        spans.append(Span(start, position))
    return spans


def _parsed(data: bytes) -> Any:
    """SentencePiece's own account of an encoding, whose generated code has no types."""
    return sentencepiece_pb2.SentencePieceText.FromString(data)  # type: ignore[attr-defined]


def _sentencepiece(path: Path, content: bytes) -> SentencePieceProcessor:
    processor = SentencePieceProcessor()
    try:
        processor.load_from_serialized_proto(content)
    except (OSError, RuntimeError) as error:
        raise StartError(f"{path} is not a SentencePiece model: {error}") from error
    return processor


def _fast(path: Path, content: bytes) -> FastTokenizer:
    try:
        return FastTokenizer.from_buffer(content)
    except Exception as error:  # the library raises nothing narrower
        raise StartError(f"{path} is not a tokenizer.json: {error}") from error


def _table(path: Path, content: bytes) -> dict[str, int]:
    try:
        table = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise StartError(f"{path} is not JSON: {error}") from error
    if not isinstance(table, dict) or not all(type(index) is int and index >= 0 for index in table.values()):
        raise StartError(f"{path} is not a vocabulary: an object from pieces to ids")
    return table

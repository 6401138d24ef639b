"""Text to ids and back, with the SentencePiece models of a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sentencepiece import SentencePieceProcessor, sentencepiece_pb2

from dragoman.bundle.reader import Bundle
from dragoman.server.domain import Span
from dragoman.server.errors import StartError


class Tokenizer:
    """A bundle's source and target vocabularies. Thread-safe: the processors are only read."""

    def __init__(self, bundle: Bundle) -> None:
        names, shape = bundle.manifest.tokenizer, bundle.manifest.architecture
        self.eos_id, self.unk_id = names.eos_id, names.unk_id
        self._source = _load(bundle, names.source)
        self._target = self._source if names.target == names.source else _load(bundle, names.target)
        _check_size(bundle, names.source, self._source, "source", shape.source_vocabulary)
        _check_size(bundle, names.target, self._target, "target", shape.target_vocabulary)

    def encode(self, text: str) -> tuple[int, ...]:
        """Source ids with the end token; empty where the text has nothing that the model could read."""
        ids = self._source.encode(text)
        return (*ids, self.eos_id) if ids else ()

    def decode(self, ids: Sequence[int]) -> str:
        """The text of target ids, without an end token."""
        return str(self._target.decode(list(ids)))

    def encode_target(self, text: str) -> tuple[int, ...]:
        """Target ids, without an end token."""
        return tuple(self._target.encode(text))

    def source_spans(self, text: str) -> tuple[Span, ...]:
        """What each id of `encode(text)`, the end token's excepted, stands for in the text.

        Where one character became several ids, all but the last of them have an empty span.
        """
        found = _parsed(self._source.encode(text, out_type="serialized_proto"))
        data, spans, position, reached = text.encode(), [], 0, 0
        for piece in found.pieces:
            start = position + len(data[reached : piece.begin].decode())
            position = start + len(data[piece.begin : piece.end].decode())
            reached = piece.end
            spans.append(Span(start, position))
        return tuple(spans)

    def surfaces(self, ids: Sequence[int]) -> tuple[str, ...]:
        """What each target id adds to the text: joined, they are `decode(ids)`."""
        found = _parsed(self._target.decode(list(ids), out_type="serialized_proto"))
        return tuple(piece.surface for piece in found.pieces)

    def token(self, target_id: int) -> str:
        """A target id as the vocabulary writes it."""
        return str(self._target.id_to_piece(target_id))

    def token_id(self, token: str) -> int | None:
        """The target id of a token as the vocabulary writes it; None where it has no such token."""
        found = int(self._target.piece_to_id(token))
        return found if self._target.id_to_piece(found) == token else None


def _parsed(data: bytes) -> Any:
    """SentencePiece's own account of an encoding, whose generated code has no types."""
    return sentencepiece_pb2.SentencePieceText.FromString(data)  # type: ignore[attr-defined]


def _load(bundle: Bundle, name: str) -> SentencePieceProcessor:
    processor = SentencePieceProcessor()
    try:
        processor.load(str(bundle.path(name)))
    except (OSError, RuntimeError) as error:
        raise StartError(f"{bundle.path(name)} is not a SentencePiece model: {error}") from error
    return processor


def _check_size(bundle: Bundle, name: str, processor: SentencePieceProcessor, side: str, most: int) -> None:
    # An id beyond the network's table would be read outside of it.
    pieces = processor.get_piece_size()
    if pieces > most:
        raise StartError(
            f"{bundle.path(name)} has {pieces} pieces, and the network's {side} vocabulary has room for {most}: "
            "export the bundle again with the vocabulary that the model was trained with"
        )

"""Texts as the ids of a model whose tokenizer is SentencePiece on both sides, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dragoman.export.core.checkpoint import Checkpoint
from dragoman.export.core.errors import ExportError

if TYPE_CHECKING:
    from sentencepiece import SentencePieceProcessor


class Pieces:
    """The two SentencePiece models of a checkpoint; `purpose` says in an error what they are needed for."""

    def __init__(self, checkpoint: Checkpoint, purpose: str) -> None:
        words = checkpoint.tokenizer
        if words.kind != "sentencepiece":
            raise ExportError(
                f"{purpose} reads texts with SentencePiece alone, and this model's tokenizer is of kind {words.kind}"
            )
        if not words.source_end:
            raise ExportError(f"{purpose} ends sources with the end token, and this model reads them without one")
        self._eos_id = words.eos_id
        self._source, self._target = (_opened(checkpoint, name) for name in (words.source, words.target))

    def source(self, text: str) -> list[int]:
        """Ids of a source text without the end token."""
        ids: list[int] = self._source.encode(text)
        return ids

    def target(self, text: str) -> list[int]:
        """Ids of a target text without the end token."""
        ids: list[int] = self._target.encode(text)
        return ids

    def text(self, ids: Sequence[int]) -> str:
        """The text of target ids."""
        text: str = self._target.decode(list(ids))
        return text


def _opened(checkpoint: Checkpoint, name: str) -> SentencePieceProcessor:
    from sentencepiece import SentencePieceProcessor

    model = checkpoint.tokenizer_files[name]
    if isinstance(model, bytes):
        return SentencePieceProcessor(model_proto=model)
    return SentencePieceProcessor(model_file=str(model))

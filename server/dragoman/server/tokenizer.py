"""Text to ids and back, with the SentencePiece models of a bundle."""

from __future__ import annotations

from collections.abc import Sequence

from sentencepiece import SentencePieceProcessor

from dragoman.bundle.reader import Bundle
from dragoman.server.errors import StartError


class Tokenizer:
    """A bundle's source and target vocabularies. Thread-safe: the processors are only read."""

    def __init__(self, bundle: Bundle) -> None:
        names, shape = bundle.manifest.tokenizer, bundle.manifest.architecture
        self.eos_id = names.eos_id
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

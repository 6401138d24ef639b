"""SentencePiece models as files of a checkpoint."""

from pathlib import Path

import sentencepiece

from dragoman.export.core.reasons import Reasons


def open_sentencepiece(path: Path, reasons: Reasons) -> sentencepiece.SentencePieceProcessor | None:
    """The model in a file; None, with a reason, where there is none."""
    if not path.is_file():
        reasons.add(f"{path.name} is missing")
        return None
    try:
        return sentencepiece.SentencePieceProcessor(model_file=str(path))
    except (OSError, RuntimeError, ValueError):
        reasons.add(f"{path.name} is not a SentencePiece model")
        return None

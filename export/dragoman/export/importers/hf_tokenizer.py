"""The tokenizer of a Hugging Face directory: SentencePiece models whose ids are the network's own, as T5 has them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sentencepiece

from dragoman.bundle.manifest import LanguagePair, Tokenizer
from dragoman.export.reasons import Reasons

FILE, BUNDLED = "spiece.model", "vocabulary.spm"
TAG = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")


@dataclass(frozen=True)
class TokenizerSource:
    """What a directory says about text and languages."""

    tokenizer: Tokenizer
    files: Mapping[str, Path]
    """Name inside the bundle -> file to copy."""
    pairs: tuple[LanguagePair, ...]
    read: tuple[Path, ...]
    """Every file that was read."""
    notes: tuple[str, ...] = ()


def read_tokenizer(
    path: Path, config: dict[str, Any], *, source: str | None = None, target: str | None = None
) -> TokenizerSource:
    """The tokenizer in the directory `path`, whose `config.json` holds `config`. Raises `UnsupportedModel`."""
    reasons, file = Reasons(), path / FILE
    for option, tag in (("--from", source), ("--to", target)):
        is_tag = tag is not None and TAG.fullmatch(tag)
        reasons.require(is_tag, f"{option} must name a language, such as en or pt-BR")
    pieces = sentencepiece.SentencePieceProcessor()
    if config.get("model_type") not in ("t5", "mt5") or not file.is_file():
        reasons.add(f"of tokenizers only {FILE} of T5 and mT5 is read")
    else:
        try:
            pieces.load(str(file))
        except (OSError, RuntimeError):
            reasons.add(f"{FILE} is not a SentencePiece model: fetch it again")
    reasons.raise_if_any(path)
    count, rows = pieces.get_piece_size(), config.get("vocab_size")
    is_own = type(rows) is int and count <= rows
    reasons.require(is_own, f"{FILE} has {count} pieces, the embedding {rows} rows: put the model's own beside it")
    reasons.raise_if_any(path)
    tokenizer = Tokenizer("sentencepiece", BUNDLED, BUNDLED, pieces.eos_id(), pieces.unk_id(), start_id=0)
    return TokenizerSource(tokenizer, {BUNDLED: file}, (LanguagePair(str(source), str(target)),), (file,))

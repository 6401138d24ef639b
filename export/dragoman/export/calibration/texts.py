"""Source ids to measure int8 scales on: from texts in a file, or from no text at all.

Where no texts are given, words are drawn from the model's own vocabulary, frequent ones more often: vocabularies list
their words by frequency, or nearly so. Any model has such a sample, whatever its languages and tokenizer. Scales
measured on it err to the wide side, as random words are stranger than any text.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sentencepiece import SentencePieceProcessor
from tokenizers import Tokenizer as FastTokenizer

from dragoman.bundle.manifest import Slot, Tokenizer
from dragoman.export.core.checkpoint import Checkpoint
from dragoman.export.core.errors import ExportError

LINES = 100
LONGEST = 40
"""Words of a drawn source at most."""
RANKS = 10
"""Added to a word's rank before it becomes a weight, so that more than the first few words are drawn."""
RULES = {"moses-fastbpe": "Moses'", "parlai-bpe": "ParlAI's"}
"""Kinds of tokenizers that cut words by rules that only the server has."""
Ids = list[list[int]]


def read_texts(checkpoint: Checkpoint, path: Path) -> Ids:
    """The first lines of a file, as the encoder reads them."""
    encode = encoder_of(checkpoint)
    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()][:LINES]
    except UnicodeDecodeError as error:
        raise ExportError(f"{path}: not UTF-8 text: {error}") from error
    if not lines:
        raise ExportError(f"{path}: no text in it to measure scales on")
    return [framed(checkpoint, encode(line), n) for n, line in enumerate(lines)]


def draw_texts(checkpoint: Checkpoint) -> Ids:
    """Words drawn from the vocabulary, the same ones each time."""
    rng, words = np.random.default_rng(17), checkpoint.tokenizer
    special = {words.eos_id, words.unk_id, words.start_id, *words.suppressed_ids, *words.hidden_ids}
    languages = {
        index for table in (words.source_languages, words.target_languages) for ids in table.values() for index in ids
    }
    ids = np.setdiff1d(np.arange(checkpoint.architecture.source_vocabulary), [*special, *languages])
    if not len(ids):
        raise ExportError("the vocabulary has nothing but special words: name texts, --calibrate FILE")
    weights = 1.0 / (np.arange(len(ids)) + RANKS)
    lengths = rng.integers(1, LONGEST + 1, LINES)
    drawn = [rng.choice(ids, length, p=weights / weights.sum()).tolist() for length in lengths]
    return [framed(checkpoint, source, n) for n, source in enumerate(drawn)]


def framed(checkpoint: Checkpoint, ids: list[int], number: int) -> list[int]:
    """A text's ids with what the model reads around them; where there are several languages, each text has the next."""
    words = checkpoint.tokenizer

    def filled(parts: tuple[int | Slot, ...]) -> list[int]:
        around: list[int] = []
        for part in parts:
            if isinstance(part, int):
                around.append(part)
            else:
                table = words.source_languages if part == "source" else words.target_languages
                around += list(table.values())[number % len(table)]
        return around

    before, after = filled(words.prefix), [*[words.eos_id] * words.source_end, *filled(words.suffix)]
    most = max(0, checkpoint.limits.max_source_tokens - len(before) - len(after))
    return [*before, *ids[:most], *after]


def encoder_of(checkpoint: Checkpoint) -> Callable[[str], list[int]]:
    """A function from a text to its source ids, without what is put around them."""
    words = checkpoint.tokenizer
    if words.kind in RULES:
        raise ExportError(
            f"{checkpoint.name} cuts words by {RULES[words.kind]} rules, which an export does not run: it can take in "
            "neither texts to measure scales on (--calibrate without a file draws words from the vocabulary), nor a "
            "prompt or a separator (--context '' has none)"
        )
    if words.kind == "tokenizers":
        fast = FastTokenizer.from_buffer(_content(checkpoint, words.source))
        fast.encode_special_tokens = True
        return lambda text: list(fast.encode(text, add_special_tokens=False).ids)
    pieces = SentencePieceProcessor(model_proto=_content(checkpoint, words.source))
    if words.kind == "sentencepiece":
        return lambda text: list(pieces.encode(text))
    table: dict[str, int] = json.loads(_content(checkpoint, _table(words)))
    return lambda text: [table.get(piece, words.unk_id) for piece in pieces.encode(text, out_type=str)]


def id_of(checkpoint: Checkpoint, token: str) -> int | None:
    """The source id of a token by its name; None where there is none of that name."""
    words = checkpoint.tokenizer
    if words.kind in RULES or not token:
        return None
    if words.kind == "tokenizers":
        return FastTokenizer.from_buffer(_content(checkpoint, words.source)).token_to_id(token)
    if words.kind == "sentencepiece":
        pieces = SentencePieceProcessor(model_proto=_content(checkpoint, words.source))
        index = pieces.piece_to_id(token)
        return int(index) if pieces.id_to_piece(index) == token else None
    table: dict[str, int] = json.loads(_content(checkpoint, _table(words)))
    return table.get(token)


def _table(words: Tokenizer) -> str:
    assert words.source_vocabulary is not None, "pieces with ids of their own have a table"
    return words.source_vocabulary


def _content(checkpoint: Checkpoint, name: str) -> bytes:
    file = checkpoint.tokenizer_files[name]
    return file if isinstance(file, bytes) else file.read_bytes()

"""Vocabularies that are lists of words, and the program that cuts texts into these words, found by its files.

source.spm and target.spm, or one *.model or *.spm       SentencePiece: pieces begin with a mark of a space
none, when asked                                         whole words, with spaces between them, or characters
"""

import json
from dataclasses import dataclass
from pathlib import Path

from dragoman.bundle.manifest import TokenizerKind
from dragoman.export.core.reasons import Reasons
from dragoman.export.importers.files.sentencepiece_models import open_sentencepiece
from dragoman.export.importers.files.word_tables import SPACES, Cut, word_table

PATTERNS = ("*.model", "*.spm")
LEAST_KNOWN = 0.5
"""Share of a list's words that a SentencePiece model must have."""
Pair = tuple[str, str]


@dataclass(frozen=True)
class ListedWords:
    """How text becomes ids of two lists, which may be one."""

    kind: TokenizerKind
    models: Pair
    """Names of files in the bundle, of source and target."""
    tables: tuple[str | None, str | None]
    files: dict[str, Path | bytes]
    read: tuple[Path, ...]


def read_listed_words(
    folders: tuple[Path, ...],
    lists: tuple[tuple[str, ...], tuple[str, ...]],
    special: frozenset[str],
    unknown: str,
    words: Cut | None,
    reasons: Reasons,
) -> ListedWords | None:
    """The words of both sides without `special` ones, and what lies in the first of the folders that has something."""
    ids = [{word: n for n, word in enumerate(side) if word not in special} for side in lists]
    if words is not None:
        tables = [_whole(side, listed, unknown, words) for side, listed in zip(ids, lists, strict=True)]
        names = _names(tables[0] == tables[1], "json")
        return ListedWords("tokenizers", names, (None, None), dict(zip(names, tables, strict=True)), ())
    for folder in folders:
        if (folder / "source.spm").is_file() and (folder / "target.spm").is_file():
            return _pieces((folder / "source.spm", folder / "target.spm"), ids, reasons)
        found = sorted({file for pattern in PATTERNS for file in folder.glob(pattern) if file.is_file()})
        if len(found) > 1:
            reasons.add(f"several files could hold the SentencePiece model: {', '.join(file.name for file in found)}")
            return None
        if found:
            return _pieces((found[0], found[0]), ids, reasons)
    reasons.add(
        f"the SentencePiece model that texts were cut with is missing ({', '.join(PATTERNS)}): put it beside the "
        "model, or say with --words that the vocabularies are of whole words or characters"
    )
    return None


def _whole(ids: dict[str, int], listed: tuple[str, ...], unknown: str, cut: Cut) -> bytes:
    known = ids | ({unknown: listed.index(unknown)} if unknown in listed else {})
    space = next((sign for sign in SPACES if sign in ids), None) if cut == "characters" else None
    return word_table(known, unknown, cut, space=space)


def _pieces(models: tuple[Path, Path], ids: list[dict[str, int]], reasons: Reasons) -> ListedWords | None:
    for model, side in zip(models, ids, strict=True):
        processor = open_sentencepiece(model, reasons)
        if processor is None:
            return None
        pieces = {processor.id_to_piece(index) for index in range(processor.get_piece_size())}
        known = sum(word in pieces for word in side)
        if known < LEAST_KNOWN * len(side):
            reasons.add(f"{model.name} has {known} of {len(side)} words: it belongs to another model")
            return None
    names, listed = _names(models[0] == models[1], "spm"), _names(ids[0] == ids[1], "json")
    tables = [json.dumps(side, ensure_ascii=False, indent=0).encode() for side in ids]
    files: dict[str, Path | bytes] = dict(zip(names, models, strict=True)) | dict(zip(listed, tables, strict=True))
    return ListedWords("sentencepiece-vocabulary", names, listed, files, tuple(dict.fromkeys(models)))


def _names(are_alike: bool, ending: str) -> Pair:  # noqa: FBT001 - it is what the name says
    return (f"vocabulary.{ending}",) * 2 if are_alike else (f"source.{ending}", f"target.{ending}")

"""Vocabularies that are lists of words, and the program that cuts texts into these words, found by its files.

source.spm and target.spm, or one *.model or *.spm       SentencePiece: pieces begin with a mark of a space
none, when asked                                         whole words, with spaces between them, or characters
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from dragoman.bundle.manifest import TokenizerKind
from dragoman.export.core.reasons import Reasons, short
from dragoman.export.importers.files.sentencepiece_models import open_sentencepiece
from dragoman.export.importers.files.word_tables import Cut, space_of, word_table

PATTERNS = ("*.model", "*.spm")
LEAST_KNOWN = 0.5
"""Share of a list's words that a SentencePiece model must have."""
LANGUAGE = re.compile(r"[a-z]{3}_[A-Z][a-z]{3}|__[a-z]{2,3}__|\[?[a-z]{2}_[A-Z]{2}\]?|>>[\w-]+<<")
"""Languages as words: of NLLB, M2M100, mBART and OPUS-MT."""
Pair = tuple[str, str]
Lists = tuple[tuple[str, ...], tuple[str, ...]]


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
    folders: tuple[Path, ...], lists: Lists, special: frozenset[str], unknown: str, words: Cut | None, reasons: Reasons
) -> ListedWords | None:
    """The words of both sides without `special` ones, and what lies in the first of the folders that has something.

    A word that is listed twice has its first id, as in CTranslate2: T5's spare words are.
    """
    if not _are_fit(lists, unknown, reasons):
        return None
    ids = [_ids(side, special) for side in lists]
    if words is not None:
        tables = [_whole(side, listed, unknown, words) for side, listed in zip(ids, lists, strict=True)]
        names = file_names(tables[0] == tables[1], "json")
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


def _are_fit(lists: Lists, unknown: str, reasons: Reasons) -> bool:
    """Whether both lists are of words, and of one pair of languages; a reason where they are not."""
    before = len(reasons)
    for name, listed in zip(("source", "target"), lists, strict=True):
        reasons.require(unknown in listed, f"the unknown word {short(unknown)} is not in the {name} vocabulary")
        broken = [number for number, word in enumerate(listed) if any("\ud800" <= each <= "\udfff" for each in word)]
        reasons.require(not broken, f"the {name} vocabulary has half a character in word {broken[:1]}")
    reasons.require(
        len({listed.index(unknown) for listed in lists if unknown in listed}) < 2,
        "source and target number the unknown word differently",
    )
    languages = sorted({word for listed in lists for word in listed if LANGUAGE.fullmatch(word)})
    # One such word may be a text's own: en_US, __eq__.
    if len(languages) > 1 or any(word.startswith(">>") for word in languages):
        reasons.add(
            f"the vocabulary has words for {len(languages)} languages, such as {', '.join(languages[:3])}, and nothing "
            "says where they stand in a text: export the model that it was converted from"
        )
    return len(reasons) == before


def _ids(listed: tuple[str, ...], special: frozenset[str]) -> dict[str, int]:
    ids: dict[str, int] = {}
    for number, word in enumerate(listed):
        if word not in special:
            ids.setdefault(word, number)
    return ids


def _whole(ids: dict[str, int], listed: tuple[str, ...], unknown: str, cut: Cut) -> bytes:
    return word_table(ids | {unknown: listed.index(unknown)}, unknown, cut, space=space_of(ids, cut))


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
    names, listed = file_names(models[0] == models[1], "spm"), file_names(ids[0] == ids[1], "json")
    tables = [json.dumps(side, ensure_ascii=False, indent=0).encode() for side in ids]
    files: dict[str, Path | bytes] = dict(zip(names, models, strict=True)) | dict(zip(listed, tables, strict=True))
    return ListedWords("sentencepiece-vocabulary", names, listed, files, tuple(dict.fromkeys(models)))


def file_names(are_alike: bool, ending: str) -> Pair:  # noqa: FBT001 - it is what the name says
    """Names in the bundle of what both sides have: one, where they are alike."""
    return (f"vocabulary.{ending}",) * 2 if are_alike else (f"source.{ending}", f"target.{ending}")

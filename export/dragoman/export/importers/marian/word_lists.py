"""Marian's vocabularies that are lists of words: YAML or JSON of words and ids, or a text of a word a line."""

from pathlib import Path

import yaml

from dragoman.export.core.reasons import Reasons, short
from dragoman.export.importers.files.texts import read_text

END, UNKNOWN = "</s>", "<unk>"
LISTS = (".yml", ".yaml", ".json", ".txt", ".vocab")
NEMATUS = {END: ("eos", 0), UNKNOWN: ("UNK", 1)}
"""What Nematus calls them, and where; there Marian takes an empty word for them, too."""
_NAMELESS = "\0"
_MOST_DIGITS = 9
"""Of an id: more would be no id of a list that anybody could keep."""


def is_nameless(word: str) -> bool:
    """Whether a word of a list stands for an id that the file has no word for."""
    return word.startswith(_NAMELESS)


def read_word_list(file: Path, size: int, reasons: Reasons) -> tuple[str, ...] | None:
    """So many words by id, as Marian reads them; None where there is a reason against it."""
    text = read_text(file, reasons)
    if text is None:
        return None
    ids = _lines(file, text, reasons) if file.suffix in (".txt", ".vocab") else _mapping(file, text, reasons)
    if ids is None:
        return None
    listed = [f"{_NAMELESS}{number}" for number in range(size)]
    for word, number in ids.items():
        if number < size:  # Marian's limit: later words are unknown
            listed[number] = word
    for word, (old, number) in NEMATUS.items():
        if file.suffix not in (".txt", ".vocab") and number < size and listed[number] in ("", old):
            listed[number] = word
        if listed.count(word) != 1:
            reasons.add(f"{file.name} has no word {word}, or two")
            return None
    return tuple(word or f"{_NAMELESS}{number}" for number, word in enumerate(listed))


def _lines(file: Path, text: str, reasons: Reasons) -> dict[str, int] | None:
    words = text.removesuffix("\n").split("\n")
    if "" in words or len({*words}) < len(words):
        reasons.add(f"{file.name} has an empty line, or a word twice, which Marian refuses")
        return None
    return {word: number for number, word in enumerate(words)}


def _mapping(file: Path, text: str, reasons: Reasons) -> dict[str, int] | None:
    try:
        found = yaml.load(text, Loader=_Texts)  # noqa: S506 - a loader of texts alone
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reasons.add(f"{file.name} is not YAML that can be read: {' '.join(str(error).split())}")
        return None
    if not isinstance(found, dict) or not all(map(_is_id, found.values())):
        reasons.add(f"{file.name} is not a list of words with their ids, but {short(found)}")
        return None
    ids = {str(word): int(number) for word, number in found.items()}
    if len({*ids.values()}) < len(ids):
        reasons.add(f"{file.name} gives an id to several words")
        return None
    return ids


def _is_id(value: object) -> bool:
    return isinstance(value, str) and value.isdecimal() and len(value) <= _MOST_DIGITS


class _Texts(yaml.BaseLoader):
    """Takes every scalar for what is written: `no`, `1.5` and `null` are words."""

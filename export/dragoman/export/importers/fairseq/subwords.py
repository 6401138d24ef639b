"""The program that cut a fairseq model's texts into the words of its dictionaries, found by its files.

    SentencePiece           sentencepiece.bpe.model, spm.model, *.model        pieces begin with a mark of a space
    subword-nmt, fastBPE    bpecodes, codes, *.codes, *.bpe                    pieces end in @@ where a word goes on
    none, when asked        dictionaries of whole words, or of characters      white space is a word of its own, or none

The server's Moses tokenizer ends pieces in `</w>` where a word ends, as the merges do, so dictionaries are written so.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from dragoman.bundle.manifest import TokenizerKind
from dragoman.export.core.reasons import Reasons, short
from dragoman.export.importers.fairseq.dictionary import UNKNOWN, UNKNOWN_ID, Dictionary
from dragoman.export.importers.files.listed_words import Pair, file_names
from dragoman.export.importers.files.sentencepiece_models import open_sentencepiece
from dragoman.export.importers.files.texts import read_text
from dragoman.export.importers.files.word_tables import Cut, space_of, word_table

SENTENCEPIECE = ("*.model", "*.spm")
MERGES = ("bpecodes*", "bpe.codes*", "codes*", "code", "code.*", "*.codes", "*.bpe", "*.bpecodes")
BYTE_LEVEL = ("encoder.json", "vocab.bpe")
FILLER = re.compile(r"madeupword\d+")
GOES_ON, END_OF_WORD = "@@", "</w>"
LEAST_KNOWN = 0.5
"""Share of a dictionary's words that the subwords' model must be able to make."""
LEAST_WORDS = 100
"""A dictionary of so few proves nothing by its letters."""


@dataclass(frozen=True)
class Subwords:
    """How text becomes the words of two dictionaries."""

    kind: TokenizerKind
    models: Pair
    """Names of files in the bundle, of source and target."""
    tables: tuple[str | None, str | None]
    files: dict[str, Path | bytes]
    read: tuple[Path, ...]
    notes: tuple[str, ...]


def read_subwords(
    folder: Path,
    sides: tuple[Dictionary, Dictionary],
    codes: Pair,
    special: frozenset[str],
    reasons: Reasons,
    words: Cut | None = None,
) -> Subwords | None:
    """Find and read the files in `folder`, none with `words`; `codes` are fairseq's names of the languages."""
    if words is not None:
        return _whole(sides, special, words)
    has_pieces = any(word.startswith("\u2581") for side in sides for word in side.words)
    form, patterns = ("a SentencePiece model", SENTENCEPIECE) if has_pieces else ("merges of BPE", MERGES)
    if not has_pieces and any((folder / name).is_file() for name in BYTE_LEVEL):
        reasons.add(f"{' and '.join(BYTE_LEVEL)}: byte-level BPE of GPT-2 is not read for fairseq")
        return None
    files = sorted({file for pattern in patterns for file in folder.glob(pattern) if file.is_file()})
    if not files:
        names = ", ".join(patterns[:3])
        reasons.add(
            f"the dictionaries are made of {form}, which is missing ({names}): put it beside the checkpoint, or say "
            "with --words that they are of whole words or characters"
        )
        return None
    chosen = [_of_side(files, code) for code in codes]
    first, second = chosen
    if first is None or second is None:
        reasons.add(f"several files could hold {form}: {', '.join(file.name for file in files)}; leave the one it is")
        return None
    read = _pieces if has_pieces else _merges
    return read((first, second), sides, special, reasons)


def _of_side(files: list[Path], code: str) -> Path | None:
    """The only file, or the one that is called after a language."""
    named = [file for file in files if code and code in re.split(r"[.\-_]", file.name)]
    candidates = named if len(files) > 1 and named else files
    return candidates[0] if len(candidates) == 1 else None


def _pieces(
    models: tuple[Path, Path], sides: tuple[Dictionary, Dictionary], special: frozenset[str], reasons: Reasons
) -> Subwords | None:
    for model, side in zip(models, sides, strict=True):
        processor = open_sentencepiece(model, reasons)
        if processor is None:
            return None
        known = {processor.id_to_piece(index) for index in range(processor.get_piece_size())}
        _check_fit(model, side, [word in known for word in _words(side, special)], reasons)
    tables = [{word: side.ids[word] for word in _words(side, special)} for side in sides]
    return _subwords("sentencepiece-vocabulary", "spm", models, tables, models, ())


def _merges(
    models: tuple[Path, Path], sides: tuple[Dictionary, Dictionary], special: frozenset[str], reasons: Reasons
) -> Subwords | None:
    tables, contents = [], []
    for model, side in zip(models, sides, strict=True):
        merges = _read_merges(model, reasons)
        if merges is None:
            return None
        ended = {_ended(word): side.ids[word] for word in _words(side, special)}
        made = {left + right for left, right in merges}
        known = [piece in made or len(piece.removesuffix(END_OF_WORD)) == 1 for piece in ended]
        _check_fit(model, side, known, reasons)
        tables.append(ended)
        contents.append("".join(f"{left} {right}\n" for left, right in merges).encode())
    both = "".join(word for table in tables for word in table)
    notes = ["texts are normalised and cut into words by Moses' rules, as fairseq's recipes do before BPE"]
    if both.lower() == both and min(map(len, tables)) > LEAST_WORDS:
        notes.append("the dictionaries have no capital letters: send texts in small ones, as it was trained")
    return _subwords("moses-fastbpe", "merges", (contents[0], contents[1]), tables, models, tuple(notes))


def _whole(sides: tuple[Dictionary, Dictionary], special: frozenset[str], cut: Cut) -> Subwords:
    """Words or characters as they stand in the dictionaries; what these lack is the unknown word."""
    tables = []
    for side in sides:
        ids = {word: side.ids[word] for word in _words(side, special)} | {UNKNOWN: UNKNOWN_ID}
        tables.append(word_table(ids, UNKNOWN, cut, space=space_of(ids, cut)))
    names = file_names(tables[0] == tables[1], "json")
    note = {
        "spaces": "texts must come as the training's: words and signs of the dictionaries, with spaces between them",
        "characters": "texts are read letter by letter, as they come",
    }[cut]
    return Subwords("tokenizers", names, (None, None), dict(zip(names, tables, strict=True)), (), (note,))


def _words(side: Dictionary, special: frozenset[str]) -> list[str]:
    """The words of a dictionary that are pieces of text."""
    return [word for word in side.ids if word and word not in special and not FILLER.fullmatch(word)]


def _ended(word: str) -> str:
    """A piece as the merges write it: `wor@@` -> `wor`, `d` -> `d</w>`."""
    return word.removesuffix(GOES_ON) if word.endswith(GOES_ON) and word != GOES_ON else word + END_OF_WORD


def _read_merges(path: Path, reasons: Reasons) -> list[Pair] | None:
    """The merges of a file, best first. fastBPE adds their counts; subword-nmt begins with a line for its version."""
    text = read_text(path, reasons)
    if text is None:
        return None
    lines = text.rstrip("\n").split("\n")
    version = lines.pop(0).partition(":")[2].strip() if lines[0].startswith("#version:") else None
    pairs: list[Pair] = []
    for number, line in enumerate(lines, 1):
        parts = line.split(" ")
        if len(parts) not in (2, 3) or not all(parts):
            reasons.add(f"{path.name}, merge {number}: expected two pieces, found {short(line)}")
            return None
        pairs.append((parts[0], parts[1]))
    if version not in (None, "0.2") or any(right == END_OF_WORD for _, right in pairs):
        reasons.add(f"{path.name} has the form of subword-nmt before 0.2, in which a word's end is a piece of its own")
        return None
    return pairs


def _check_fit(model: Path, side: Dictionary, known: list[bool], reasons: Reasons) -> None:
    if sum(known) < LEAST_KNOWN * len(known):
        reasons.add(
            f"{model.name} makes {sum(known)} of the {len(known)} words of {side.path.name}: it belongs to another "
            "model; put the one beside the checkpoint that its texts were cut with"
        )


def _subwords(
    kind: TokenizerKind,
    ending: str,
    contents: tuple[Path | bytes, Path | bytes],
    tables: list[dict[str, int]],
    read: tuple[Path, Path],
    notes: tuple[str, ...],
) -> Subwords:
    """Files of the bundle, one for both sides where they are alike."""
    models = file_names(contents[0] == contents[1], ending)
    listed = file_names(tables[0] == tables[1], "json")
    words = [json.dumps(table, ensure_ascii=False, indent=0).encode() for table in tables]
    files: dict[str, Path | bytes] = dict(zip(models, contents, strict=True)) | dict(zip(listed, words, strict=True))
    return Subwords(kind, models, listed, files, tuple(dict.fromkeys(read)), notes)

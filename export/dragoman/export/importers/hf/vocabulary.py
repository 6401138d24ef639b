"""The vocabulary of a Hugging Face directory, in a form that the server reads.

Three kinds come out. A `tokenizer.json` stays one, freed of what only gets in the way (template, padding, truncation);
byte-level BPE files (`vocab.json`, `merges.txt`) become one. A SentencePiece model stays as it is, with a table from
pieces to ids where the model counts otherwise than SentencePiece does.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as FastTokenizer
from tokenizers import decoders, models, normalizers, pre_tokenizers

from dragoman.bundle.manifest import TokenizerKind
from dragoman.export.core.reasons import Reasons, short
from dragoman.export.importers.files.json_files import read_json
from dragoman.export.importers.files.sentencepiece_models import open_sentencepiece

SHARED, SOURCE, TARGET = "vocabulary", "source", "target"


@dataclass(frozen=True)
class Side:
    """The vocabulary of one language, or of both."""

    ids: dict[str, int]
    """The id of every token, special ones included."""
    special: frozenset[str]
    """Tokens that are no text."""

    def ids_of(self, tokens: Iterable[str]) -> set[int]:
        """The ids of those tokens that there are."""
        return {self.ids[token] for token in tokens if token in self.ids}

    def reachable(self) -> int:
        """One more than the largest id that stands for text."""
        return max((index for token, index in self.ids.items() if token not in self.special), default=-1) + 1


@dataclass(frozen=True)
class Vocabulary:
    """What a directory's files say about text and ids."""

    kind: TokenizerKind
    source: Side
    target: Side
    source_file: str
    target_file: str
    files: dict[str, Path | bytes]
    """Name inside the bundle -> what it holds."""
    read: tuple[Path, ...]
    tables: tuple[str | None, str | None] = (None, None)
    """Names of the files with the ids of pieces."""
    encode: Callable[[str], list[int]] | None = None
    """The ids of a text alone, where whoever reads the vocabulary needs them: for T5's prompts."""
    ends_source: bool = True
    """Whether a text that is read has the end token behind it."""
    notes: tuple[str, ...] = field(default=())


def sentencepiece_with_tables(
    models_of: tuple[Path, Path], tables: tuple[Path, Path], is_special: Callable[[str], object], reasons: Reasons
) -> Vocabulary | None:
    """SentencePiece models of both sides and the directory's own tables from pieces to ids (MarianMT, M2M100)."""
    processors = [open_sentencepiece(path, reasons) for path in models_of]
    sides = [_side(_table(path, reasons), is_special) for path in tables]
    if None in processors or not all(side.ids for side in sides):
        return None
    names = [f"{SHARED}.spm"] * 2 if models_of[0] == models_of[1] else [f"{SOURCE}.spm", f"{TARGET}.spm"]
    listed = [f"{SHARED}.json"] * 2 if tables[0] == tables[1] else [f"{SOURCE}.json", f"{TARGET}.json"]
    words = dict(zip(listed, (_words(side) for side in sides), strict=True))
    return Vocabulary(
        kind="sentencepiece-vocabulary",
        source=sides[0],
        target=sides[1],
        source_file=names[0],
        target_file=names[1],
        files={**dict(zip(names, models_of, strict=True)), **words},
        read=tuple(dict.fromkeys((*models_of, *tables))),
        tables=(listed[0], listed[1]),
    )


def merges_with_tables(
    merges: Path, tables: tuple[Path, Path], is_special: Callable[[str], object], reasons: Reasons
) -> Vocabulary | None:
    """fastBPE's merges, and the tables from pieces to ids of both sides (FSMT)."""
    sides = [_side(_table(path, reasons), is_special) for path in tables]
    reasons.require(merges.is_file(), f"{merges.name} is missing")
    if not all(side.ids for side in sides):
        return None
    return Vocabulary(
        kind="moses-fastbpe",
        source=sides[0],
        target=sides[1],
        source_file=merges.name,
        target_file=merges.name,
        files={merges.name: merges, f"{SOURCE}.json": _words(sides[0]), f"{TARGET}.json": _words(sides[1])},
        read=(merges, *tables),
        tables=(f"{SOURCE}.json", f"{TARGET}.json"),
    )


def parlai_bpe(table: Path, merges: Path, special: tuple[str, ...], reasons: Reasons) -> Vocabulary | None:
    """ParlAI's merges, without their first line, and the table from pieces to ids (Blenderbot Small)."""
    side = _side(_table(table, reasons, special[2:]), special.__contains__)
    try:
        lines = merges.read_text("utf-8").split("\n")[1:-1]
    except (OSError, ValueError) as error:
        reasons.add(f"{merges.name} cannot be read: {short(str(error))}")
        return None
    is_list = all(len(line.split()) == 2 for line in lines)
    reasons.require(is_list, f"{merges.name} is not a list of merges: two pieces a line, behind a first line")
    if not side.ids or not is_list:
        return None
    return Vocabulary(
        kind="parlai-bpe",
        source=side,
        target=side,
        source_file=merges.name,
        target_file=merges.name,
        files={merges.name: "".join(f"{line}\n" for line in lines).encode(), f"{SHARED}.json": _words(side)},
        read=(merges, table),
        tables=(f"{SHARED}.json", f"{SHARED}.json"),
        ends_source=False,
    )


def sentencepiece_with_offset(
    path: Path, offset: int, fixed: dict[str, int], more: dict[str, int], reasons: Reasons
) -> Vocabulary | None:
    """A SentencePiece model whose ids are shifted (mBART, NLLB, Pegasus); `fixed` and `more` are special tokens."""
    processor = open_sentencepiece(path, reasons)
    if processor is None:
        return None
    pieces = range(processor.get_piece_size())
    # What SentencePiece itself calls unknown, unused or a control piece has its id from `fixed`, if it has one.
    words = [i for i in pieces if not (processor.is_control(i) or processor.is_unknown(i) or processor.is_unused(i))]
    ids = {processor.id_to_piece(index): index + offset for index in words} | fixed | more
    side = Side(ids, frozenset((*fixed, *more)))
    return Vocabulary(
        kind="sentencepiece-vocabulary",
        source=side,
        target=side,
        source_file=f"{SHARED}.spm",
        target_file=f"{SHARED}.spm",
        files={f"{SHARED}.spm": path, f"{SHARED}.json": _words(side)},
        read=(path,),
        tables=(f"{SHARED}.json", f"{SHARED}.json"),
    )


def sentencepiece_alone(path: Path, reasons: Reasons) -> Vocabulary | None:
    """A SentencePiece model whose ids are the model's (T5)."""
    processor = open_sentencepiece(path, reasons)
    if processor is None:
        return None
    ids = {processor.id_to_piece(index): index for index in range(processor.get_piece_size())}
    special = {piece for piece, i in ids.items() if processor.is_control(i) or processor.is_unknown(i)}
    side = Side(ids, frozenset(special))
    return Vocabulary(
        kind="sentencepiece",
        source=side,
        target=side,
        source_file=f"{SHARED}.spm",
        target_file=f"{SHARED}.spm",
        encode=lambda text: list(processor.encode(text)),
        files={f"{SHARED}.spm": path},
        read=(path,),
    )


def tokenizer_json(path: Path, also_special: Callable[[str], object], reasons: Reasons) -> Vocabulary | None:
    """A `tokenizer.json`. Tokens of which `also_special` is true are no text either."""
    content = read_json(path, reasons)
    if len(reasons):
        return None
    return _fast(content, path, (path,), also_special, reasons)


def byte_level_bpe(
    vocabulary: Path, merges: Path, special: Iterable[str], reasons: Reasons, *, begins_with_space: bool = False
) -> Vocabulary | None:
    """BART's older files, as the `tokenizer.json` that they amount to; some models read a space before every text."""
    try:
        model = models.BPE.from_file(str(vocabulary), str(merges), continuing_subword_prefix="", end_of_word_suffix="")
    except Exception as error:  # noqa: BLE001 - the library raises nothing narrower
        reasons.add(f"{vocabulary.name} and {merges.name} are not a byte-level BPE vocabulary: {short(str(error))}")
        return None
    fast = FastTokenizer(model)
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=begins_with_space)
    fast.decoder = decoders.ByteLevel()
    fast.add_special_tokens([token for token in special if fast.token_to_id(token) is not None])
    return _fast(json.loads(fast.to_str()), vocabulary, (vocabulary, merges), lambda _: False, reasons)


def word_pieces(path: Path, settings: dict[str, Any], special: Iterable[str], reasons: Reasons) -> Vocabulary | None:
    """BERT's older file, as the `tokenizer.json` that it amounts to with the settings beside it."""
    try:
        words = {word: n for n, word in enumerate(path.read_text("utf-8").removesuffix("\n").split("\n"))}
        model = models.WordPiece(words, unk_token=str(settings.get("unk_token") or "[UNK]"))
    except Exception as error:  # noqa: BLE001 - the library raises nothing narrower
        reasons.add(f"{path.name} is not a list of word pieces: {short(str(error))}")
        return None
    fast = FastTokenizer(model)
    fast.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=settings.get("tokenize_chinese_chars") is not False,
        strip_accents=settings.get("strip_accents"),
        lowercase=settings.get("do_lower_case") is not False,
    )
    fast.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    fast.decoder = decoders.WordPiece(prefix="##")
    fast.add_special_tokens([token for token in special if token in words])
    return _fast(json.loads(fast.to_str()), path, (path,), lambda _: False, reasons)


def _fast(
    content: dict[str, Any], path: Path, read: tuple[Path, ...], also_special: Callable[[str], object], reasons: Reasons
) -> Vocabulary | None:
    try:
        ids = FastTokenizer.from_str(json.dumps(content)).get_vocab(with_added_tokens=True)
        flagged = {token["content"] for token in content.get("added_tokens", ()) if token["special"]}
        special = frozenset(flagged | set(filter(also_special, ids)))
        text = json.dumps(_freed(content, special), ensure_ascii=False)
        fast = FastTokenizer.from_str(text)
    except Exception as error:  # noqa: BLE001 - the library raises nothing narrower
        reasons.add(f"{path.name} is not a tokenizer.json that can be read: {short(str(error))}")
        return None
    fast.encode_special_tokens = True
    side = Side(ids, special)
    _check_text_stays_text(fast, side, path, reasons)
    return Vocabulary(
        kind="tokenizers",
        source=side,
        target=side,
        source_file="tokenizer.json",
        target_file="tokenizer.json",
        encode=lambda text: list(fast.encode(text, add_special_tokens=False).ids),
        files={"tokenizer.json": text.encode()},
        read=read,
    )


def _freed(content: dict[str, Any], special: frozenset[str]) -> dict[str, Any]:
    """The tokenizer without template, padding and truncation, and with special tokens that no text can spell.

    A Unigram model would find `</s>` in a text, because its special tokens lie among its words. They get names that
    begin with a space, which no text reaches the model with; their ids stay.
    """
    freed = {**content, "post_processor": None, "padding": None, "truncation": None}
    if content["model"].get("type") == "Unigram":
        words = [[f" {word}" if word in special else word, score] for word, score in content["model"]["vocab"]]
        freed["model"] = {**content["model"], "vocab": words}
        freed["added_tokens"] = [
            {**token, "content": f" {token['content']}"} if token["content"] in special else token
            for token in content.get("added_tokens", ())
        ]
    return freed


def _check_text_stays_text(fast: FastTokenizer, side: Side, path: Path, reasons: Reasons) -> None:
    control = {
        side.ids[token]: token
        for token in side.special
        if token in side.ids and not token.startswith(("<unk", "[UNK]"))
    }
    for token in control.values():
        for probe in (token, f" {token}", f"a {token} b"):
            read_as_control = control.keys() & set(fast.encode(probe, add_special_tokens=False).ids)
            if read_as_control:
                names = ", ".join(sorted(control[index] for index in read_as_control))
                reasons.add(f"{path.name} reads {short(probe)} in a text as the control token {names}")
                return


def _side(ids: dict[str, int], is_special: Callable[[str], object]) -> Side:
    return Side(ids, frozenset(filter(is_special, ids)))


def _words(side: Side) -> bytes:
    """The table that the server reads. A run of unknown characters is one piece, which may spell a special token."""
    words = {token: index for token, index in side.ids.items() if token not in side.special}
    return json.dumps(words, ensure_ascii=False, indent=0).encode()


def _table(path: Path, reasons: Reasons, needed: tuple[str, ...] = ("</s>", "<unk>")) -> dict[str, int]:
    """Pieces and their ids, the end's and the unknown word's among them."""
    if not path.is_file():
        reasons.add(f"{path.name} is missing")
        return {}
    table = read_json(path, reasons)
    if not all(type(index) is int and index >= 0 for index in table.values()):
        reasons.add(f"{path.name} must be an object from pieces to ids")
        return {}
    end, unknown = needed
    reasons.require(unknown in table and end in table, f"{path.name} has no {unknown} or no {end}")
    return table if unknown in table else {}

"""Import a CTranslate2 folder of a Transformer, whichever toolkit it was converted from.

    1. model.bin -> variables              binary
    2. variables -> canonical weights      weights, a checklist and a table of names
    3. config.json, *_vocabulary.*         here: special words, what is read around a text
    4. SentencePiece, beside it or above   files/listed_words

What a folder does not say is whether a source ends with the end token where `config.json` adds none: conversions of
OpenNMT begin with `<s>` and read none, those of Hugging Face's are given one by their tokenizers.
"""

from pathlib import Path
from typing import Any

from dragoman.bundle.manifest import Decoding, LanguagePair, Limits, Tokenizer
from dragoman.bundle.rules import MAX_LENGTH_FACTOR
from dragoman.export.core.checkpoint import Checkpoint
from dragoman.export.core.reasons import Reasons, short
from dragoman.export.importers.ctranslate2.binary import Variables, read_variables
from dragoman.export.importers.ctranslate2.folder import CONFIG, MODEL, recognises
from dragoman.export.importers.ctranslate2.weights import place_variables
from dragoman.export.importers.files.json_files import model_folder, read_json_if_there
from dragoman.export.importers.files.language_tags import tag_of
from dragoman.export.importers.files.listed_words import ListedWords, read_listed_words
from dragoman.export.importers.files.model_card import CARD, licence_of
from dragoman.export.importers.files.placed import Placed
from dragoman.export.importers.files.texts import read_text
from dragoman.export.importers.files.word_tables import Cut

BEAM, LONGEST = 2, 256
"""CTranslate2's own."""
BLANKS = ("<blank>", "<pad>")
PACKAGE = "metadata.json"
"""What Argos Translate puts beside a model's folder."""
Lists = tuple[tuple[str, ...], tuple[str, ...]]


def read_ctranslate2(
    path: Path, source_language: str | None, target_language: str | None, words: Cut | None = None
) -> Checkpoint:
    """Read the model at `path`, a folder or its `model.bin`. Raises `ExportError`."""
    reasons, folder = Reasons(), model_folder(path)
    reasons.require(recognises(path), f"{MODEL} is no Transformer that CTranslate2 saved")
    reasons.raise_if_any(path)
    variables = read_variables(folder, reasons)
    settings = read_json_if_there(folder / CONFIG, reasons)
    lists = _lists(folder, reasons)
    pair = _pair(folder, source_language, target_language, reasons)
    reasons.raise_if_any(path)
    assert variables is not None, "variables that are not read have a reason"
    assert lists is not None, "vocabularies that are not read have a reason"
    assert pair is not None, "languages that are not known are a reason"
    settings = _settings(settings, variables)
    epsilon = settings.get("layer_norm_epsilon")
    placed = place_variables(variables, epsilon if isinstance(epsilon, float) else None)
    found = _tokenizer(folder, settings, lists, placed, words, variables, reasons)
    reasons.raise_if_any(path)
    assert placed is not None, "weights that are not placed have a reason"
    assert found is not None, "a tokenizer that is not read has a reason"
    tokenizer, listed, notes = found
    longest = placed.architecture.max_positions
    licence = licence_of(folder / CARD)
    return Checkpoint(
        name=str(pair),
        pairs=(pair,),
        architecture=placed.architecture,
        weights=placed.weights,
        quantized={},
        tokenizer=tokenizer,
        tokenizer_files=listed.files,
        decoding=Decoding(
            profile="ct2",
            beam_size=BEAM,
            min_length=1,
            max_length=min(LONGEST, longest),
            max_length_factor=MAX_LENGTH_FACTOR,
            unknown_handling="allow",
        ),
        limits=Limits(longest, longest),
        source_format="ctranslate2",
        source_files=(folder / MODEL, *listed.read),
        licence=licence,
        notes=(*placed.notes, *notes, *(() if licence else ("the files state no licence",))),
    )


def _settings(given: dict[str, Any], variables: Variables) -> dict[str, Any]:
    """`config.json`, or what stood for it among the variables of earlier files."""
    named = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    if variables.version >= 6:
        return {**named, "decoder_start_token": "<s>", **given}
    begins = bool(variables.scalar("with_target_bos", default=1))
    return {
        **named,
        "decoder_start_token": "<s>" if begins else "</s>",
        "add_source_bos": bool(variables.scalar("with_source_bos", default=0)),
        "add_source_eos": bool(variables.scalar("with_source_eos", default=0)),
    }


def _lists(folder: Path, reasons: Reasons) -> Lists | None:
    """The words of both sides."""
    shared = _list(folder, "shared_vocabulary", reasons)
    sides = [shared or _list(folder, f"{side}_vocabulary", reasons) for side in ("source", "target")]
    if sides[0] is None or sides[1] is None:
        reasons.add("there is no shared_vocabulary.json, nor both of source_vocabulary.json and target_vocabulary.json")
        return None
    return sides[0], sides[1]


def _list(folder: Path, name: str, reasons: Reasons) -> tuple[str, ...] | None:
    if (folder / f"{name}.txt").is_file():
        text = read_text(folder / f"{name}.txt", reasons)
        return None if text is None else tuple(text.removesuffix("\n").split("\n"))
    file = folder / f"{name}.json"
    if not file.is_file():
        return None
    text = read_text(file, reasons)
    listed = None if text is None else parse_list(text)
    reasons.require(listed is not None or text is None, f"{file.name} is not a list of words")
    return listed


def parse_list(text: str) -> tuple[str, ...] | None:
    """The words of a JSON list; None where it is something else."""
    import json

    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    is_list = isinstance(value, list) and all(isinstance(word, str) for word in value)
    return tuple(value) if is_list else None


def _pair(folder: Path, source: str | None, target: str | None, reasons: Reasons) -> LanguagePair | None:
    """As asked for, or as the package says that the folder lies in."""
    facts = read_json_if_there(folder.parent / PACKAGE, reasons) if folder.name == "model" else {}
    source = source or tag_of(str(facts.get("from_code", "")))
    target = target or tag_of(str(facts.get("to_code", "")))
    if source is None or target is None:
        reasons.add("the folder does not say its languages: name them with --from and --to")
        return None
    return LanguagePair(source, target)


def _tokenizer(
    folder: Path,
    settings: dict[str, Any],
    lists: Lists,
    placed: Placed | None,
    words: Cut | None,
    variables: Variables,
    reasons: Reasons,
) -> tuple[Tokenizer, ListedWords, tuple[str, ...]] | None:
    source, target = lists
    names = {key: settings.get(key) for key in ("unk_token", "bos_token", "eos_token", "decoder_start_token")}
    begin, end, unknown, start = (names[key] for key in ("bos_token", "eos_token", "unk_token", "decoder_start_token"))
    zero = bool(variables.scalar("decoder/start_from_zero_embedding", default=0))
    if start is None:
        reasons.add("decoder_start_token is not said: callers give a language there; export what it was converted from")
    for key, word in names.items():
        if key != "bos_token" and word is not None and word not in target:
            reasons.add(f"{key} {short(word)} is not in the target vocabulary")
    adds_end, adds_begin = bool(settings.get("add_source_eos")), bool(settings.get("add_source_bos"))
    is_opennmt = start == begin and not zero
    ends = adds_end or not is_opennmt
    for wanted, key, word in ((ends, "eos_token", end), (adds_begin, "bos_token", begin)):
        reasons.require(not wanted or word in source, f"{key} {short(word)} is not in the source vocabulary")
    if placed is not None:
        sizes = placed.architecture.source_vocabulary, placed.architecture.target_vocabulary
        reasons.require(sizes == (len(source), len(target)), "the vocabularies are not as long as the embeddings")
    if len(reasons):
        return None
    special = frozenset(str(word) for word in (*names.values(), *BLANKS) if word is not None)
    above = (folder.parent,) if folder.name == "model" else ()
    listed = read_listed_words((folder, *above), lists, special, str(unknown), words, reasons)
    if listed is None:
        return None
    eos = target.index(str(end))
    is_same = ends and source.index(str(end)) == eos
    blanks = {target.index(word) for word in BLANKS if word in target}
    hidden = {target.index(word) for word in special if word in target}
    tokenizer = Tokenizer(
        kind=listed.kind,
        source=listed.models[0],
        target=listed.models[1],
        eos_id=eos,
        unk_id=target.index(str(unknown)),
        start_id=len(target) if zero else target.index(str(start)),
        source_vocabulary=listed.tables[0],
        target_vocabulary=listed.tables[1],
        prefix=(source.index(str(begin)),) if adds_begin else (),
        suffix=(source.index(str(end)),) if ends and not is_same else (),
        source_end=is_same,
        suppressed_ids=(),
        hidden_ids=tuple(sorted(hidden | blanks)),
    )
    if source.index(str(unknown)) != tokenizer.unk_id if unknown in source else False:
        reasons.add("source and target number the unknown word differently")
        return None
    guessed = "" if adds_end or is_opennmt else "config.json adds no end to sources: the end token is put behind them"
    return tokenizer, listed, (guessed,) if guessed else ()

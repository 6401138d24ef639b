"""Import a CTranslate2 folder of a Transformer, whichever toolkit it was converted from.

    1. model.bin -> variables                  binary
    2. variables -> canonical weights          weights, a checklist and a table of names
    3. config.json -> special words            settings, a checklist
    4. *_vocabulary.*, SentencePiece           here, files/listed_words

What a folder does not say is whether a source ends with the end token where `config.json` adds none: conversions of
OpenNMT begin with `<s>` and read none, those of Hugging Face's are given one by their tokenizers.
"""

import json
from pathlib import Path

from dragoman.bundle.manifest import Decoding, LanguagePair, Limits, Tokenizer
from dragoman.bundle.rules import MAX_LENGTH_FACTOR
from dragoman.export.core.checkpoint import Checkpoint
from dragoman.export.core.reasons import Reasons, short
from dragoman.export.importers.ctranslate2.binary import read_variables
from dragoman.export.importers.ctranslate2.folder import MODEL, PACKAGE, TRANSFORMER, kind_of, model_at, package_of
from dragoman.export.importers.ctranslate2.settings import Settings, read_settings
from dragoman.export.importers.ctranslate2.weights import place_variables
from dragoman.export.importers.files.json_files import read_json_if_there
from dragoman.export.importers.files.language_tags import tag_of
from dragoman.export.importers.files.listed_words import ListedWords, Lists, read_listed_words
from dragoman.export.importers.files.model_card import CARD, licence_of
from dragoman.export.importers.files.placed import Placed
from dragoman.export.importers.files.texts import read_text
from dragoman.export.importers.files.word_tables import Cut

BEAM, LONGEST = 2, 256
"""CTranslate2's own."""
BLANKS = ("<blank>", "<pad>")
OPENNMT = "<s>"
"""What translations of OpenNMT's begin with; its sources have no end."""


def read_ctranslate2(
    path: Path, source_language: str | None, target_language: str | None, words: Cut | None = None
) -> Checkpoint:
    """Read the model at `path`, a folder, its `model.bin` or a package. Raises `ExportError`."""
    reasons, folder, kind = Reasons(), model_at(path), kind_of(path)
    reasons.require(
        kind == TRANSFORMER,
        f"{MODEL} is {'no file of CTranslate2' if kind is None else f'a {kind}'}: {TRANSFORMER}, an encoder and a "
        "decoder of text, is read",
    )
    reasons.raise_if_any(path)
    variables = read_variables(folder, reasons)
    lists = _lists(folder, reasons)
    pair = _pair(folder, source_language, target_language, reasons)
    if variables is not None:
        settings = read_settings(folder, variables, reasons)
        zero = bool(variables.scalar("decoder/start_from_zero_embedding", default=0))
    reasons.raise_if_any(path)
    assert variables is not None, "variables that are not read have a reason"
    assert lists is not None, "vocabularies that are not read have a reason"
    assert pair is not None, "languages that are not known are a reason"
    placed = place_variables(variables, settings.epsilon)
    found = _tokenizer(folder, settings, lists, placed, words, reasons, starts_with_nothing=zero)
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


def _lists(folder: Path, reasons: Reasons) -> Lists | None:
    """The words of both sides."""
    before = len(reasons)
    shared = _list(folder, "shared_vocabulary", reasons)
    if len(reasons) > before:
        return None
    if shared is not None:
        return shared, shared
    source, target = (_list(folder, f"{side}_vocabulary", reasons) for side in ("source", "target"))
    if source is not None and target is not None:
        return source, target
    if len(reasons) == before:
        reasons.add("there is no shared_vocabulary.json, nor both of source_vocabulary.json and target_vocabulary.json")
    return None


def _list(folder: Path, name: str, reasons: Reasons) -> tuple[str, ...] | None:
    """The words of a file, of the JSON where there is a text of lines, too: so does the library."""
    file = folder / f"{name}.json"
    if file.is_file():
        text = read_text(file, reasons)
        listed = None if text is None else parse_list(text)
        reasons.require(listed is not None or text is None, f"{file.name} is not a list of words")
        return listed
    lines = folder / f"{name}.txt"
    text = read_text(lines, reasons, newline="\n") if lines.is_file() else None
    return None if text is None else tuple(text.removesuffix("\n").split("\n"))


def parse_list(text: str) -> tuple[str, ...] | None:
    """The words of a JSON list; None where it is something else."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    is_list = isinstance(value, list) and all(isinstance(word, str) for word in value)
    return tuple(value) if is_list else None


def _pair(folder: Path, source: str | None, target: str | None, reasons: Reasons) -> LanguagePair | None:
    """As asked for, or as the package says that the folder lies in."""
    package = package_of(folder)
    facts = {} if package is None else read_json_if_there(package / PACKAGE, reasons)
    source = source or tag_of(str(facts.get("from_code", "")))
    target = target or tag_of(str(facts.get("to_code", "")))
    if source is None or target is None:
        reasons.add("the folder does not say its languages: name them with --from and --to")
        return None
    return LanguagePair(source, target)


def _tokenizer(
    folder: Path,
    settings: Settings,
    lists: Lists,
    placed: Placed | None,
    words: Cut | None,
    reasons: Reasons,
    *,
    starts_with_nothing: bool,
) -> tuple[Tokenizer, ListedWords, tuple[str, ...]] | None:
    source, target = lists
    begin, end, start = settings.begin, settings.end, settings.start
    if start is None:
        reasons.add("decoder_start_token is not said: callers give a language there; export what it was converted from")
    for key, word in (("eos_token", end), ("decoder_start_token", start)):
        reasons.require(word is None or word in target, f"{key} {short(word)} is not in the target vocabulary")
    is_relative = placed is not None and placed.architecture.positions == "relative"
    is_opennmt = start == OPENNMT and not starts_with_nothing and not is_relative
    ends = settings.adds_end or not is_opennmt
    for wanted, key, word in ((ends, "eos_token", end), (settings.adds_begin, "bos_token", begin)):
        reasons.require(not wanted or word in source, f"{key} {short(word)} is not in the source vocabulary")
    if placed is not None:
        sizes = placed.architecture.source_vocabulary, placed.architecture.target_vocabulary
        reasons.require(sizes == (len(source), len(target)), "the vocabularies are not as long as the embeddings")
    special = frozenset(word for word in (settings.unknown, begin, end, start, *BLANKS) if word is not None)
    package = package_of(folder)
    above = () if package is None else (package,)
    listed = read_listed_words((folder, *above), lists, special, settings.unknown, words, reasons)
    if listed is None or start is None or len(reasons):
        return None
    eos = target.index(end)
    is_same = ends and source.index(end) == eos
    tokenizer = Tokenizer(
        kind=listed.kind,
        source=listed.models[0],
        target=listed.models[1],
        eos_id=eos,
        unk_id=target.index(settings.unknown),
        start_id=len(target) if starts_with_nothing else target.index(start),
        source_vocabulary=listed.tables[0],
        target_vocabulary=listed.tables[1],
        prefix=(source.index(begin),) if settings.adds_begin else (),
        suffix=(source.index(end),) if ends and not is_same else (),
        source_end=is_same,
        suppressed_ids=(),
        hidden_ids=tuple(sorted(target.index(word) for word in special if word in target)),
    )
    is_guessed = not settings.adds_end and not is_opennmt
    guess = "config.json adds no end to sources: the end token is put behind them"
    return tokenizer, listed, (guess,) if is_guessed else ()

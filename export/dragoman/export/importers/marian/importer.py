"""Import a Marian model: the student models of Bergamot and Firefox, and what Marian's trainer saves.

    1. find the files                     folder
    2. read the weights                   files, bin
    3. options -> architecture            options, a checklist; recurrent
    4. parameters -> canonical weights    weights, a table of names; recurrent
    5. vocabularies and shortlist         SentencePiece, or lists of words; shortlist
    6. decoding settings                  here

Every step adds what stands against the model to the same reasons, and the import is refused with all of them.
What cannot be read at all (a damaged file) is its own error.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from dragoman.bundle.manifest import Architecture, Decoding, Limits, Tokenizer
from dragoman.bundle.rules import MAX_BEAM_SIZE, MAX_LENGTH_FACTOR, MAX_LENGTH_PENALTY
from dragoman.export.core.checkpoint import Checkpoint, Shortlist
from dragoman.export.core.digests import sha256
from dragoman.export.core.reasons import Reasons, short
from dragoman.export.importers.files.listed_words import file_names, read_listed_words
from dragoman.export.importers.files.sentencepiece_models import open_sentencepiece
from dragoman.export.importers.files.word_tables import Cut
from dragoman.export.importers.marian.files import read_model
from dragoman.export.importers.marian.folder import MarianFolder, language_pair, read_folder
from dragoman.export.importers.marian.options import Options, read_architecture, read_options, shares_source_and_target
from dragoman.export.importers.marian.recurrent import is_recurrent, place_recurrent, read_recurrent
from dragoman.export.importers.marian.shortlist import read_shortlist
from dragoman.export.importers.marian.weights import Weights, place_weights
from dragoman.export.importers.marian.word_lists import END, LISTS, UNKNOWN, is_nameless, read_word_list

# Marian's own, for a model without decoding settings.
DEFAULT_BEAM, DEFAULT_NORMALIZE, DEFAULT_LENGTH_FACTOR = 12, 0.0, 3.0

MAX_TOKENS = 512
"""Students are trained on single sentences; beyond this they have never seen a position."""

# Weights that carry no licence themselves, by SHA-256: files of Mozilla's firefox-translations-models.
KNOWN_LICENCES = {
    "d968735704c75e33c2e183b9241f14c0b2a560d01d88a2728e5c0119a4d7fb22": "MPL-2.0",  # en-pt tiny
    "6c3b7af01772022a19712410c63342ba581468c2f1aac34d7488409c4043e697": "MPL-2.0",  # pt-en tiny
}


def read_marian(
    path: Path, source_language: str | None, target_language: str | None, words: Cut | None = None
) -> Checkpoint:
    """Read the model at `path`, a folder or the model's file. Raises `ExportError`."""
    reasons = Reasons()
    folder = read_folder(path, reasons)
    if folder is None:
        reasons.raise_if_any(path)
        raise AssertionError("a folder without a model has a reason")
    pair = language_pair(folder, source_language, target_language, reasons)
    model = read_model(folder.model)
    options = read_options(model.config, "the model's own configuration", reasons)
    recurrent = is_recurrent(options)
    architecture = read_recurrent(options, reasons) if recurrent else read_architecture(options, model, reasons)
    limits = _limits(architecture)
    decoding = _decoding(folder, limits, reasons)
    if architecture is None:
        reasons.raise_if_any(path)
        raise AssertionError("an architecture that is not read has a reason")
    is_shared = shares_source_and_target(options)
    if recurrent:
        weights = Weights(place_recurrent(model, options, architecture, reasons))
    else:
        weights = place_weights(model, architecture, is_source_shared=is_shared, reasons=reasons)
    found = _tokenizer(folder, architecture, words, reasons)
    shortlist = _shortlist(folder, architecture)
    reasons.raise_if_any(path)
    assert found is not None, "a tokenizer that is not read has a reason"
    tokenizer, files, read = found
    return Checkpoint(
        name=str(pair),
        pairs=(pair,),
        architecture=architecture,
        weights=weights.floats,
        quantized=weights.quantized,
        tokenizer=tokenizer,
        tokenizer_files=files,
        decoding=decoding,
        limits=limits,
        source_format="marian-bin" if folder.model.suffix == ".bin" else "marian-npz",
        source_files=tuple(dict.fromkeys((*_source_files(folder), *read))),
        licence=_licence(folder.model),
        output_activation_scale=weights.output_activation_scale,
        shortlist=shortlist,
        notes=tuple(_notes(folder, architecture, quantized=len(weights.quantized))),
    )


def _limits(architecture: Architecture | None) -> Limits:
    tokens = MAX_TOKENS if architecture is None else min(MAX_TOKENS, architecture.max_positions)
    return Limits(max_source_tokens=tokens, max_target_tokens=tokens)


def _decoding(folder: MarianFolder, limits: Limits, reasons: Reasons) -> Decoding:
    settings = folder.settings
    beam = settings.get("beam-size", DEFAULT_BEAM)
    if type(beam) is not int or not 1 <= beam <= MAX_BEAM_SIZE:
        reasons.add(f"beam-size must be a whole number from 1 to {MAX_BEAM_SIZE}, the settings say {short(beam)}")
    normalize = _number(settings, "normalize", DEFAULT_NORMALIZE, reasons)
    reasons.require(
        normalize <= MAX_LENGTH_PENALTY,
        f"normalize must be at most {MAX_LENGTH_PENALTY:g}, the settings say {normalize:g}",
    )
    factor = _number(settings, "max-length-factor", DEFAULT_LENGTH_FACTOR, reasons)
    reasons.require(
        0 < factor <= MAX_LENGTH_FACTOR,
        f"max-length-factor must be above 0 and at most {MAX_LENGTH_FACTOR:g}, the settings say {factor:g}",
    )
    penalty = _number(settings, "word-penalty", 0.0, reasons)
    reasons.require(penalty == 0, f"word-penalty must be 0, the settings say {penalty}: only normalize is decoded with")
    models = settings.get("models", [])
    reasons.require(
        not isinstance(models, list) or len(models) <= 1, "the settings name an ensemble; only one model is read"
    )
    for key in ("output-sampling", "force-decode"):
        value = settings.get(key)
        reasons.require(not value, f"{key} must be off, the settings say {short(value)}")
    return Decoding(
        profile="marian",
        beam_size=beam,
        length_penalty=normalize,
        max_length=limits.max_target_tokens,
        max_length_factor=factor,
        unknown_handling="allow" if settings.get("allow-unk", False) else "suppress",
        shortlist=folder.shortlist is not None,
    )


def _number(settings: Options, key: str, default: float, reasons: Reasons) -> float:
    value = settings.get(key, default)
    if type(value) in (int, float) and 0 <= value < 1e6:  # also false for NaN
        return float(value)
    reasons.add(f"{key} must be a number from 0, the settings say {short(value)}")
    return default


TextFiles = tuple[Tokenizer, Mapping[str, Path | bytes], tuple[Path, ...]]
"""A tokenizer, the files that it has in the bundle, and those that were read for it besides the vocabularies."""


def _tokenizer(
    folder: MarianFolder, architecture: Architecture, words: Cut | None, reasons: Reasons
) -> TextFiles | None:
    if folder.vocabularies is None:
        return None
    if all(file.suffix in LISTS for file in folder.vocabularies):
        return _listed(folder, folder.vocabularies, architecture, words, reasons)
    reasons.require(words is None, "--words is for vocabularies that are lists of words, and these are SentencePiece's")
    source, target = folder.vocabularies
    sizes = architecture.source_vocabulary, architecture.target_vocabulary
    ids = {_special_ids(file, size, reasons) for file, size in zip((source, target), sizes, strict=True)}
    if None in ids:
        return None
    if len(ids) > 1:
        reasons.add(f"{source.name} and {target.name} number the end of a sentence or the unknown word differently")
        return None
    (special,) = ids
    assert special is not None, "checked above"
    eos, unk = special
    names = file_names(source == target, "spm")
    tokenizer = Tokenizer(
        kind="sentencepiece",
        source=names[0],
        target=names[1],
        eos_id=eos,
        unk_id=unk,
        start_id=architecture.target_vocabulary,  # no such word: Marian begins with a zero embedding
    )
    return tokenizer, dict(zip(names, folder.vocabularies, strict=True)), ()


def _listed(
    folder: MarianFolder, files: tuple[Path, Path], architecture: Architecture, words: Cut | None, reasons: Reasons
) -> TextFiles | None:
    """Vocabularies that are lists of words, cut by a SentencePiece model beside them or as `words` says."""
    sizes = architecture.source_vocabulary, architecture.target_vocabulary
    lists = [read_word_list(file, size, reasons) for file, size in zip(files, sizes, strict=True)]
    source, target = lists
    if source is None or target is None:
        return None
    if source.index(END) != target.index(END):
        reasons.add(f"{files[0].name} and {files[1].name} number the end of a sentence differently")
        return None
    nameless = frozenset(word for side in (source, target) for word in side if is_nameless(word))
    special = frozenset((END, UNKNOWN)) | nameless
    listed = read_listed_words((folder.model.parent,), (source, target), special, UNKNOWN, words, reasons)
    if listed is None:
        return None
    tokenizer = Tokenizer(
        kind=listed.kind,
        source=listed.models[0],
        target=listed.models[1],
        eos_id=target.index(END),
        unk_id=target.index(UNKNOWN),
        start_id=architecture.target_vocabulary,
        source_vocabulary=listed.tables[0],
        target_vocabulary=listed.tables[1],
        suppressed_ids=tuple(n for n, word in enumerate(target) if is_nameless(word)),
    )
    return tokenizer, listed.files, listed.read


def _special_ids(file: Path, vocabulary: int, reasons: Reasons) -> tuple[int, int] | None:
    """Ids of the end of a sentence and of the unknown word."""
    if file.suffix in LISTS:
        reasons.add(f"{file.name} lists words, and the other side's vocabulary does not: both must, or neither")
        return None
    pieces = open_sentencepiece(file, reasons)
    if pieces is None:
        return None
    if pieces.get_piece_size() != vocabulary:
        reasons.add(f"{file.name} has {pieces.get_piece_size()} pieces, the model's vocabulary is {vocabulary}")
        return None
    eos, unk = pieces.eos_id(), pieces.unk_id()
    if min(eos, unk) < 0:
        reasons.add(f"{file.name} lacks the end of a sentence or the unknown word")
        return None
    return eos, unk


def _shortlist(folder: MarianFolder, architecture: Architecture) -> Shortlist | None:
    if folder.shortlist is None:
        return None
    return read_shortlist(
        folder.shortlist,
        source_vocabulary=architecture.source_vocabulary,
        target_vocabulary=architecture.target_vocabulary,
    )


def _source_files(folder: MarianFolder) -> tuple[Path, ...]:
    files = [folder.model, folder.settings_file, *(folder.vocabularies or ()), folder.shortlist]
    return tuple(dict.fromkeys(file for file in files if file is not None))


def _licence(model: Path) -> str:
    return KNOWN_LICENCES.get(sha256(model), "")


def _notes(folder: MarianFolder, architecture: Architecture, *, quantized: int) -> Iterator[str]:
    if folder.settings_file is None:
        yield (
            f"no decoding settings name {folder.model.name}, so Marian's own hold: beam {DEFAULT_BEAM}, "
            f"no length normalisation, at most {DEFAULT_LENGTH_FACTOR:g} target tokens for each source token"
        )
    if folder.unused:
        yield f"not used, because they do not name {folder.model.name}: {', '.join(folder.unused)}"
    if quantized:
        yield f"{quantized} weights are int8 in the source; fp32 reproduces those, not the model before them"
    if architecture.positions == "learned":
        yield f"positions are learned: the longest source or target has {architecture.max_positions} tokens"
    if not _licence(folder.model):
        yield "the files state no licence; set it in the export if you know it"

"""Import a fairseq checkpoint of a Transformer or LSTM: a `.pt` file beside its dictionaries and model of its subwords.

    1. the file -> tensors and options    pickle; files/torch_pickle reads it and runs nothing
    2. options -> architecture            options, a checklist; of an LSTM, lstm
    3. tensors -> canonical weights       weights; lstm; of non-autoregressive models, nat
    4. dictionaries, subwords, languages  text: dictionary, subwords

fairseq itself is not needed. Every step adds what stands against the model to the same reasons, and the import is
refused with all of them.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

from dragoman.bundle.manifest import Decoding, Limits, Nat
from dragoman.bundle.rules import MAX_LENGTH_FACTOR
from dragoman.export.core.checkpoint import Checkpoint
from dragoman.export.core.reasons import Reasons
from dragoman.export.importers.fairseq.folder import choose_file
from dragoman.export.importers.fairseq.lstm import POSITIONS, is_lstm, read_lstm
from dragoman.export.importers.fairseq.nat import is_nat, place_nat
from dragoman.export.importers.fairseq.options import read_model
from dragoman.export.importers.fairseq.pickle import FairseqFile, read_file
from dragoman.export.importers.fairseq.text import TextFiles, read_text
from dragoman.export.importers.fairseq.weights import Weights, place_weights
from dragoman.export.importers.files.model_card import CARD, licence_of
from dragoman.export.importers.files.placed import Placed
from dragoman.export.importers.files.word_tables import Cut

BEAM = 5
LONGEST = 201
"""fairseq-generate stops after 200 words, and an end."""


def read_fairseq(
    path: Path, source_language: str | None, target_language: str | None, words: Cut | None = None
) -> Checkpoint:
    """Read the model at `path`, a checkpoint or its folder. Raises `ExportError`."""
    reasons = Reasons()
    chosen = choose_file(path, reasons)
    file = read_file(chosen, reasons) if chosen is not None else None
    reasons.raise_if_any(path)
    assert file is not None, "a file that is not read has a reason"
    text = read_text(file.path.parent, file.options, source_language, target_language, reasons, words)
    network = _recurrent(file, text, reasons) if is_lstm(file.options) else _transformer(file, text, reasons)
    reasons.raise_if_any(path)
    assert network is not None, "a model that is not read has a reason"
    assert text is not None, "a tokenizer that is not read has a reason"
    placed, limits = network.placed, network.limits
    licence = licence_of(file.path.parent / CARD)
    return Checkpoint(
        name=str(text.pairs[0]) if len(text.pairs) == 1 else network.arch.replace("_", "-"),
        pairs=text.pairs,
        architecture=placed.architecture,
        weights=placed.weights,
        quantized={},
        tokenizer=text.tokenizer,
        tokenizer_files=dict(text.files),
        decoding=decoding_of(limits),
        limits=limits,
        source_format=f"fairseq-{network.arch}",
        source_files=(file.path, *text.read),
        licence=licence,
        nat=network.decoders,
        notes=(*placed.notes, *text.notes, *(() if licence else ("the files state no licence",))),
    )


@dataclass(frozen=True)
class _Network:
    """The network of a checkpoint, whichever family it belongs to."""

    arch: str
    placed: Placed
    limits: Limits
    decoders: dict[str, Nat] = field(default_factory=dict)


def _transformer(file: FairseqFile, text: TextFiles | None, reasons: Reasons) -> _Network | None:
    """A Transformer; None when there is a reason against it."""
    model = read_model(file.options, reasons)
    if model is None:
        return None
    rows: tuple[int | None, int | None] = (None, None) if text is None else text.rows
    placed, decoders = None, dict[str, Nat]()
    if is_nat(file.options):
        nat = place_nat(file, model, text.words if text is not None else (), rows, reasons)
        placed, decoders = (nat.placed, nat.decoders) if nat is not None else (None, {})
    else:
        placed = place_weights(Weights(file, model, reasons), model, file, rows)
    if placed is None:
        return None
    placed = replace(placed, notes=(*model.notes, *placed.notes))
    # A canvas of CTC has several places for each source word.
    read = [nat.max_canvas // nat.upsample for nat in decoders.values() if nat.kind == "ctc"]
    limits = Limits(min([model.encoder.positions, *read]), model.decoder.positions)
    return _Network(model.arch, placed, limits, decoders)


def _recurrent(file: FairseqFile, text: TextFiles | None, reasons: Reasons) -> _Network | None:
    """An LSTM; None when there is a reason against it."""
    lstm = read_lstm(file, *((1, 1) if text is None else text.rows), reasons)
    return None if lstm is None else _Network(file.options.arch, Placed(*lstm, ()), Limits(POSITIONS, POSITIONS))


def decoding_of(limits: Limits) -> Decoding:
    """The defaults of fairseq-generate."""
    return Decoding(
        profile="fairseq",
        beam_size=BEAM,
        length_penalty=1.0,
        min_length=1,
        max_length=min(LONGEST, limits.max_target_tokens),
        max_length_factor=MAX_LENGTH_FACTOR,
        unknown_handling="allow",
    )

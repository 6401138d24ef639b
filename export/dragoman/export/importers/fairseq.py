"""Import a fairseq checkpoint of a Transformer: a `.pt` file beside its dictionaries and the model of its subwords.

    1. the file -> tensors and options    fairseq_file; torch_pickle reads it and runs nothing
    2. options -> architecture            fairseq_model, a table of options
    3. tensors -> canonical weights       fairseq_names
       of non-autoregressive models       fairseq_nat
    4. dictionaries, subwords, languages  fairseq_text

fairseq itself is not needed. Every step adds what stands against the model to the same reasons, and the import is
refused with all of them.
"""

from __future__ import annotations

from pathlib import Path

from dragoman.bundle.manifest import Decoding, Limits
from dragoman.bundle.rules import MAX_LENGTH_FACTOR
from dragoman.export.checkpoint import Checkpoint
from dragoman.export.reasons import Reasons

from .fairseq_file import read_file
from .fairseq_folder import choose_file
from .fairseq_model import read_model
from .fairseq_names import Weights, place_weights
from .fairseq_nat import is_nat, place_nat
from .fairseq_text import read_text
from .hf_card import licence_of
from .hf_folder import CARD

BEAM = 5
LONGEST = 201
"""fairseq-generate stops after 200 words, and an end."""


def read_fairseq(path: Path, source_language: str | None, target_language: str | None) -> Checkpoint:
    """Read the model at `path`, a checkpoint or its folder. Raises `ExportError`."""
    reasons = Reasons()
    chosen = choose_file(path, reasons)
    file = read_file(chosen, reasons) if chosen is not None else None
    reasons.raise_if_any(path)
    assert file is not None, "a file that is not read has a reason"
    text = read_text(file.path.parent, file.options, source_language, target_language, reasons)
    model = read_model(file.options, reasons)
    placed, decoders = None, {}
    if model is not None:
        rows = (None, None) if text is None else text.rows
        if is_nat(file.options):
            found = place_nat(file, model, text.words if text is not None else (), rows, reasons)
            placed, decoders = (found.placed, found.decoders) if found is not None else (None, {})
        else:
            placed = place_weights(Weights(file, model, reasons), model, file, rows)
    reasons.raise_if_any(path)
    assert model is not None, "a model that is not read has a reason"
    assert placed is not None, "weights that are not placed have a reason"
    assert text is not None, "a tokenizer that is not read has a reason"
    # A canvas of CTC has several places for each source word.
    read = [one.max_canvas // one.upsample for one in decoders.values() if one.kind == "ctc"]
    limits = Limits(min([model.encoder.positions, *read]), model.decoder.positions)
    licence = licence_of(file.path.parent / CARD)
    return Checkpoint(
        name=str(text.pairs[0]) if len(text.pairs) == 1 else model.arch.replace("_", "-"),
        pairs=text.pairs,
        architecture=placed.architecture,
        weights=placed.weights,
        quantized={},
        tokenizer=text.tokenizer,
        tokenizer_files=dict(text.files),
        decoding=decoding_of(limits),
        limits=limits,
        source_format=f"fairseq-{model.arch}",
        source_files=(file.path, *text.read),
        licence=licence,
        nat=decoders,
        notes=(*model.notes, *placed.notes, *text.notes, *(() if licence else ("the files state no licence",))),
    )


def decoding_of(limits: Limits) -> Decoding:
    """What fairseq-generate does where it is told nothing."""
    return Decoding(
        profile="fairseq",
        beam_size=BEAM,
        length_penalty=1.0,
        min_length=1,
        max_length=min(LONGEST, limits.max_target_tokens),
        max_length_factor=MAX_LENGTH_FACTOR,
        unknown_handling="allow",
    )

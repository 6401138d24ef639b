"""fairseq's non-autoregressive Transformers: a decoder that sees its whole canvas, and what says how long that is.

    nonautoregressive_transformer*, glat*    mask-predict in one pass, of masks or of the source's words at an even pace
    cmlm_transformer*                        mask-predict in ten passes
    those with an upsampled canvas           CTC: for each source word src_upsample_scale masks, or as many vectors
                                             split from the encoder's; the blank is a word of the dictionary

Their task puts <s> and </s> around both sides, and what is masked reads <unk>. There is no autoregressive decoder.
"""

import re
from dataclasses import dataclass, replace

import numpy as np

from dragoman.bundle.manifest import Architecture, Nat
from dragoman.export.core.reasons import Reasons, short
from dragoman.export.importers.fairseq.dictionary import BEGIN_ID, END_ID, UNKNOWN_ID
from dragoman.export.importers.fairseq.options import Model
from dragoman.export.importers.fairseq.pickle import FairseqFile, Options
from dragoman.export.importers.fairseq.weights import Weights, place_weights
from dragoman.export.importers.files.placed import Floats, Placed
from dragoman.export.importers.files.sizes import MOST

MODELS = re.compile(r"nonautoregressive|cmlm|glat|(^|_)nat(_|$)|ctc")
"""What the names of non-autoregressive architectures contain."""
MASK_PREDICT_PASSES = 10
LENGTHS = 256
LENGTH_HEAD = "decoder.embed_length.weight"
SPLIT = "decoder.upsampler"
BLANKS = ("<blank>", "<ctc_blank>", "<ctc>")
"""Words that versions of fairseq with CTC add to a dictionary."""
SCALES = ("src_upsample_scale", "src_upsample", "upsample_scale", "upsample_base")
REFUSED = {
    "dynamic_upsample": "a canvas whose length the source's words decide",
    "early_exit": "layers that some passes leave out",
    "layernorm_embedding": "norms of embeddings, which fairseq's own decoder of this kind leaves out",
    "use_vae": "a latent variable",
}


@dataclass(frozen=True)
class PlacedNat:
    """A checkpoint's weights and decoder, on an architecture without an autoregressive one."""

    placed: Placed
    decoders: dict[str, Nat]


def is_nat(options: Options) -> bool:
    """Whether the architecture decodes without autoregression."""
    return bool(MODELS.search(options.arch))


def place_nat(
    file: FairseqFile, model: Model, words: tuple[str, ...], rows: tuple[int | None, int | None], reasons: Reasons
) -> PlacedNat | None:
    """All weights under canonical names; None when there is a reason against it. `words` are those of the target."""
    before = len(reasons)
    options, work = file.options, Weights(file, model, reasons)
    for name, what in REFUSED.items():
        value = options.raw(name)
        reasons.require(value in (None, False, 0, "", []), f"{name} {short(value)}: {what} cannot be exported")
    reasons.require(
        "iterative" not in options.arch, f"{options.arch} reads its own output again, which is not done here"
    )
    scale = _upsample(options)
    extra: dict[str, Floats] = {}
    if scale > 1 or "ctc" in options.arch:
        nat = _ctc(options, model, scale, words, work, extra)
    else:
        nat = _mask_predict(options, model, work, extra)
    placed = place_weights(work, model, file, rows)
    if placed is None or len(reasons) > before:
        return None
    return PlacedNat(_as_nat(placed, nat, extra), {nat.kind: nat})


def _upsample(options: Options) -> int:
    return max(options.whole(name, MOST["layers"], 1) for name in SCALES)


def _mask_predict(options: Options, model: Model, work: Weights, extra: dict[str, Floats]) -> Nat:
    table = work.read(LENGTH_HEAD, (LENGTHS, model.encoder.width))
    if options.number("length_loss_factor", 0.1) == 0:
        work.reasons.add("length_loss_factor 0: lengths were not trained, and a canvas needs one")
    if table is not None:
        extra["length.weight"], extra["length.bias"] = table.T, np.zeros(LENGTHS, np.float32)
    copies = options.flag("src_embedding_copy")
    if copies and not model.shares_all:
        work.reasons.add(
            "src_embedding_copy without share_all_embeddings: a canvas of source words needs one vocabulary"
        )
    return Nat(
        kind="mask-predict",
        layers=model.decoder.layers,
        max_canvas=model.decoder.positions,
        canvas="source" if copies else "masks",
        mask_id=UNKNOWN_ID,
        first_id=BEGIN_ID,
        last_id=END_ID,
        length_classes=LENGTHS,
        length_offset=options.flag("pred_length_offset"),
        length_search="around",
        passes=MASK_PREDICT_PASSES if "cmlm" in options.arch else 1,
    )


def _ctc(
    options: Options, model: Model, scale: int, words: tuple[str, ...], work: Weights, extra: dict[str, Floats]
) -> Nat:
    is_split = f"{SPLIT}.weight" in work
    if is_split:
        table = work.read(f"{SPLIT}.weight", (scale * model.decoder.width, model.encoder.width))
        bias = work.read(f"{SPLIT}.bias", (scale * model.decoder.width,)) if f"{SPLIT}.bias" in work else None
        if table is not None:
            extra["split.weight"] = table.T
            extra["split.bias"] = np.zeros(len(table), np.float32) if bias is None else bias
    named = [words.index(word) for word in BLANKS if word in words]
    stated = options.raw("blank_id")
    blank = options.whole("blank_id", len(words) - 1, least=0) if stated is not None else next(iter(named), UNKNOWN_ID)
    return Nat(
        kind="ctc",
        layers=model.decoder.layers,
        max_canvas=model.decoder.positions,
        canvas="split" if is_split else "masks",
        mask_id=None if is_split else UNKNOWN_ID,
        upsample=scale,
        blank_id=blank,
    )


def _as_nat(placed: Placed, nat: Nat, extra: dict[str, Floats]) -> Placed:
    """The decoder's weights under the names of a non-autoregressive one."""
    prefix = f"nat.{nat.kind}."
    weights: dict[str, Floats] = {}
    for name, weight in placed.weights.items():
        part, _, rest = name.partition("decoder.")
        if part or not rest:
            weights[name] = weight
            continue
        weights[prefix + rest] = weight
        if not rest.startswith("layers."):
            weights[name] = weight  # what there is of a stack without layers
    weights |= {prefix + name: weight for name, weight in extra.items()}
    if nat.kind == "ctc" and placed.architecture.positions == "learned":
        weights[f"{prefix}canvas_positions"] = placed.weights["target_positions"][: nat.max_canvas]
    arch: Architecture = replace(placed.architecture, decoder_layers=0, alignment_head=None)
    return Placed(arch, weights, placed.notes)

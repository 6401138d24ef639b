"""Marian's options, and what each means in the canonical network.

This is the checklist: every training option that changes the computation is translated, or has to have the one value
given here. Options of other networks (average attention, ...) and of training are not read. `recurrent` reads those of
recurrent models.
"""

from collections.abc import Mapping
from typing import Any

import yaml

from dragoman.bundle.manifest import Activation, Architecture, DecoderKind, NormPlacement, Tying
from dragoman.export.core.reasons import Reasons, short
from dragoman.export.importers.marian.files import MarianFile

Options = Mapping[str, Any]

ACTIVATIONS: dict[str, Activation] = {
    "relu": "relu",
    "swish": "swish",
    "gelu": "gelu-sigmoid",  # Marian's gelu is x * sigmoid(1.702 x)
}

# (preprocess, postprocess, top) without dropout: d dropout, a add, n norm
NORMS: dict[tuple[str, str, str], NormPlacement] = {("", "an", ""): "post", ("n", "a", "n"): "pre"}

MOST_WORDS = 1 << 22

# Options that have to be these (or absent) because another value is another network.
FIXED: dict[str, tuple[object, ...]] = {
    "transformer-ffn-depth": (2,),
    "transformer-decoder-ffn-depth": (0, 2),
    "transformer-no-projection": (False,),
    "transformer-rnn-projection": (False,),
    "transformer-pool": (False,),
    "transformer-tied-layers": ([],),
    "lemma-dim-emb": (0,),
    "factors-dim-emb": (0,),
    "right-left": (False,),
    "ulr": (False,),
}

# Our name, Marian's name, and the most that is believed: layers are counted through before weights are looked at.
SIZES = (
    ("d_model", "dim-emb", 65_536),
    ("heads", "transformer-heads", 1_024),
    ("ffn", "transformer-dim-ffn", 1_048_576),
    ("encoder_layers", "enc-depth", 256),
    ("decoder_layers", "dec-depth", 256),
)


def read_architecture(options: Options, model: MarianFile, reasons: Reasons) -> Architecture | None:
    """The architecture that the options describe; None when there is a reason against it."""
    before = len(reasons)
    kind = options.get("type")
    known = "transformer, s2s, amun or nematus"
    reasons.require(kind == "transformer", f"type must be {known}, the model's is {short(kind)}")
    check_fixed(options, reasons)
    sizes = {ours: read_size(options, theirs, most, reasons) for ours, theirs, most in SIZES}
    source, target = read_vocabularies(options, reasons)
    has_whole_heads = sizes["heads"] and sizes["d_model"] % sizes["heads"] == 0
    reasons.require(has_whole_heads, "transformer-heads must divide dim-emb")
    inner = options.get("transformer-decoder-dim-ffn", 0)
    same = f"transformer-decoder-dim-ffn must equal transformer-dim-ffn ({sizes['ffn']}), the model's is {short(inner)}"
    reasons.require(inner in (0, sizes["ffn"]), same)
    decoder = _decoder(options, reasons)
    activation = _activation(options, reasons)
    norm = _norm(options, reasons)
    embedding_ops = _without_dropout(options, "postprocess-emb")
    reasons.require(
        embedding_ops in ("", "n"),
        f"transformer-postprocess-emb must be 'd' or 'dn', without dropout the model's is {embedding_ops!r}",
    )
    if len(reasons) > before:
        return None
    is_learned = _is_learned(options)
    positions = model.floats.get("Wpos")
    return Architecture(
        d_model=sizes["d_model"],
        heads=sizes["heads"],
        ffn=sizes["ffn"],
        encoder_layers=sizes["encoder_layers"],
        decoder_layers=sizes["decoder_layers"],
        source_vocabulary=source,
        target_vocabulary=target,
        decoder=decoder,
        norm=norm,
        activation=activation,
        positions="learned" if is_learned else "sinusoidal",
        sinusoid_divisor_minus_one=True,
        max_positions=len(positions) if is_learned and positions is not None else 1024,
        embedding_scale=1.0 if is_learned else float(sizes["d_model"]) ** 0.5,
        tying=read_tying(options),
        embedding_norm=embedding_ops == "n",
        output_bias=not options.get("output-omit-bias", False),
        norm_epsilon=1e-6,
        alignment_head=_alignment_head(options, sizes["decoder_layers"]),
    )


def read_options(text: str, what: str, reasons: Reasons) -> Options:
    """Options from YAML; empty when they cannot be read, which is then one of the reasons."""
    try:
        options = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reasons.add(f"{what} is not YAML that can be read: {' '.join(str(error).split())}")
        return {}
    if not isinstance(options, dict) or not all(isinstance(key, str) for key in options):
        reasons.add(f"{what} does not hold named options")
        return {}
    return options


def read_size(options: Options, key: str, most: int, reasons: Reasons) -> int:
    """A size from 1; 0 where there is a reason against it."""
    value = options.get(key)
    if type(value) is int and 1 <= value <= most:
        return value
    reasons.add(f"{key} must be a whole number from 1 to {most}, the model's is {short(value)}")
    return 0


def read_vocabularies(options: Options, reasons: Reasons) -> tuple[int, int]:
    """How many words source and target have."""
    value = options.get("dim-vocabs")
    if isinstance(value, list) and len(value) == 2 and all(type(size) is int and size >= 1 for size in value):
        if max(value) <= MOST_WORDS:
            return value[0], value[1]
        reasons.add(f"dim-vocabs must be at most {MOST_WORDS}, the model's is {short(value)}")
        return 0, 0
    reasons.add(f"dim-vocabs must be two sizes, one source and one target, the model's is {short(value)}")
    return 0, 0


def check_fixed(options: Options, reasons: Reasons, without: str | None = None) -> None:
    """Refuse options whose other values are other networks, but for those whose names begin with `without`."""
    for key, allowed in FIXED.items():
        if without is not None and key.startswith(without):
            continue
        value = options.get(key, allowed[0])
        wanted = " or ".join(map(str, allowed))
        reasons.require(value in allowed, f"{key} must be {wanted}, the model's is {short(value)}")


def _decoder(options: Options, reasons: Reasons) -> DecoderKind:
    autoreg = options.get("transformer-decoder-autoreg", "self-attention")
    if autoreg != "rnn":
        reasons.require(
            autoreg == "self-attention",
            f"transformer-decoder-autoreg must be self-attention or rnn, the model's is {short(autoreg)}",
        )
        return "self-attention"
    cell = options.get("dec-cell", "gru")
    reasons.require(
        cell == "ssru", f"dec-cell must be ssru where the decoder is recurrent, the model's is {short(cell)}"
    )
    # Only recurrent cells read this option; a Transformer has its norms whatever it says.
    has_norm = options.get("layer-normalization", False)
    reasons.require(not has_norm, "layer-normalization must be false for a recurrent decoder, the model's is true")
    return "ssru"


def _activation(options: Options, reasons: Reasons) -> Activation:
    name = options.get("transformer-ffn-activation", "swish")
    if isinstance(name, str) and name in ACTIVATIONS:
        return ACTIVATIONS[name]
    reasons.add(f"transformer-ffn-activation must be {', '.join(ACTIVATIONS)}, the model's is {short(name)}")
    return "relu"


def _norm(options: Options, reasons: Reasons) -> NormPlacement:
    before, after, top = (_without_dropout(options, key) for key in ("preprocess", "postprocess", "postprocess-top"))
    if (before, after, top) in NORMS:
        return NORMS[before, after, top]
    reasons.add(
        "transformer-preprocess, -postprocess and -postprocess-top must be '', 'dan', '' or 'n', 'da', 'n'; "
        f"without dropout the model's are {before!r}, {after!r}, {top!r}"
    )
    return "post"


def _without_dropout(options: Options, name: str) -> str:
    defaults = {"postprocess": "dan", "postprocess-emb": "d"}
    value = options.get(f"transformer-{name}", defaults.get(name, ""))
    return value.replace("d", "") if isinstance(value, str) else short(value)


def _is_learned(options: Options) -> bool:
    # The option has had both names.
    return any(options.get(f"transformer-train-{name}", False) for name in ("positions", "position-embeddings"))


def _alignment_head(options: Options, layers: int) -> int | None:
    """Marian reads alignments off the first head of one layer, which guided training teaches them; ours is the last."""
    return 0 if options.get("transformer-guided-alignment-layer", "last") in ("last", layers, str(layers)) else None


def read_tying(options: Options) -> Tying:
    """What the output layer shares with the embeddings."""
    if options.get("tied-embeddings-all", False):
        return "all"
    if options.get("tied-embeddings", False):
        return "all" if options.get("tied-embeddings-src", False) else "decoder"
    return "none"


def shares_source_and_target(options: Options) -> bool:
    """Whether source and target read one embedding, `Wemb`, and so must have one vocabulary."""
    return bool(options.get("tied-embeddings-all", False) or options.get("tied-embeddings-src", False))

"""Pairs of BERT-like stacks (`encoder-decoder`): an encoder, and a decoder with attention to it and a head of its own.

Each side has a configuration and names of its own kind. Vectors of token types are of the first type alone, and part of
the positions; where the encoder has another width, the matrix between is part of every layer's keys and values. The
tokenizer is one for both.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from dragoman.bundle.manifest import Activation, Architecture
from dragoman.export.core.reasons import Reasons, short, some
from dragoman.export.importers.files.placed import Floats, Placed
from dragoman.export.importers.files.sizes import MOST, unless
from dragoman.export.importers.files.tensors import Tensors
from dragoman.export.importers.hf.options import Options
from dragoman.export.network.load import canonical_shapes
from dragoman.export.network.network import Network

IDS = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")
SIZES = {
    "hidden_size": "width",
    "num_hidden_layers": "layers",
    "num_attention_heads": "heads",
    "intermediate_size": "ffn",
    "max_position_embeddings": "positions",
    "vocab_size": "vocab",
}
PARTS: dict[str, str] = {"q": "query", "k": "key", "v": "value"}
NAMES = (
    (r"^(encoder|decoder)\.layers\.(\d+)\.", r"encoder.layer.\2."),
    (r"\.self\.([qkv])\.", lambda match: f".attention.self.{PARTS[match[1]]}."),
    (r"\.self\.o\.", ".attention.output.dense."),
    (r"\.self_norm\.", ".attention.output.LayerNorm."),
    (r"\.cross\.([qkv])\.", lambda match: f".crossattention.self.{PARTS[match[1]]}."),
    (r"\.cross\.o\.", ".crossattention.output.dense."),
    (r"\.cross_norm\.", ".crossattention.output.LayerNorm."),
    (r"\.ffn\.up\.", ".intermediate.dense."),
    (r"\.ffn\.down\.", ".output.dense."),
    (r"\.ffn_norm\.", ".output.LayerNorm."),
    (r"^(encoder|decoder)\.embedding_norm\.", "embeddings.LayerNorm."),
)
DISTIL_NAMES = (
    (r"^encoder\.layers\.(\d+)\.", r"transformer.layer.\1."),
    (r"\.self\.([qkv])\.", r".attention.\1_lin."),
    (r"\.self\.o\.", ".attention.out_lin."),
    (r"\.self_norm\.", ".sa_layer_norm."),
    (r"\.ffn\.up\.", ".ffn.lin1."),
    (r"\.ffn\.down\.", ".ffn.lin2."),
    (r"\.ffn_norm\.", ".output_layer_norm."),
    (r"^encoder\.embedding_norm\.", "embeddings.LayerNorm."),
)
DISTIL = {
    "hidden_size": "dim",
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
    "intermediate_size": "hidden_dim",
    "hidden_act": "activation",
}
NOT_READ = re.compile(r"(.+\.)?pooler\..+|.+\.(position_ids|token_type_ids)")
PROJECTION = "enc_to_dec_proj"
_Rules = tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...]


@dataclass(frozen=True)
class Kind:
    """What transformers' code for a model type fixes, on either side."""

    stack: str = ""
    """What a decoder calls its stack; it cannot be a decoder where that is nothing."""
    head: str = ""
    """Where a decoder has its output layer."""
    bias: tuple[str, ...] = ()
    """Names of the output layer's bias, of which a file may hold either."""
    transform: str | None = None
    transform_norm: str = ""
    transform_activation: Activation | None = None
    """None: the layers' own."""
    begins_behind_padding: bool = False
    pad: int = 0
    epsilon: float | None = None
    """Of all norms; None: as `layer_norm_eps` says."""
    has_types: bool = True
    names: _Rules = NAMES
    options: Mapping[str, str] | None = None
    """What it calls options that others call otherwise."""


_ROBERTA = Kind(
    "roberta",
    "lm_head.decoder.weight",
    ("lm_head.decoder.bias", "lm_head.bias"),
    "lm_head.dense",
    "lm_head.layer_norm",
    "gelu",
    begins_behind_padding=True,
    pad=1,
)
KINDS = {
    "bert": Kind(
        "bert",
        "cls.predictions.decoder.weight",
        ("cls.predictions.decoder.bias", "cls.predictions.bias"),
        "cls.predictions.transform.dense",
        "cls.predictions.transform.LayerNorm",
    ),
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "camembert": _ROBERTA,
    "electra": Kind(
        "electra",
        "generator_lm_head.weight",
        ("generator_lm_head.bias",),
        "generator_predictions.dense",
        "generator_predictions.LayerNorm",
        "gelu",
    ),
    "bert-generation": Kind(
        "bert", "lm_head.decoder.weight", ("lm_head.decoder.bias", "lm_head.bias"), has_types=False
    ),
    "distilbert": Kind(epsilon=1e-12, has_types=False, names=DISTIL_NAMES, options=DISTIL),
}
"""By `model_type` of a side."""


def flattened(options: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with what other families say of the whole: the decoder's ids, sizes of both vocabularies."""
    encoder, decoder = (options.get(side) for side in ("encoder", "decoder"))
    if not isinstance(encoder, dict) or not isinstance(decoder, dict):
        return dict(options)
    ids = {name: decoder[name] for name in IDS if decoder.get(name) is not None}
    said = {name: value for name, value in options.items() if value is not None}
    return {**ids, **said, "src_vocab_size": encoder.get("vocab_size"), "tgt_vocab_size": decoder.get("vocab_size")}


@dataclass(frozen=True)
class Side:
    """One side's kind, and what its configuration says of it."""

    kind: Kind
    sizes: Mapping[str, int]
    activation: Activation
    epsilon: float
    skipped: int
    """Rows of its table of positions that stand for no position."""

    @property
    def positions(self) -> int:
        """How many positions it has."""
        return self.sizes["max_position_embeddings"] - self.skipped


def sides(config: Options, reasons: Reasons) -> tuple[Side | None, Side | None]:
    """Encoder and decoder; None, with reasons, where one is not supported."""
    encoder, decoder = _side(config, "encoder", reasons), _side(config, "decoder", reasons)
    for name, options in (("encoder", config.raw("encoder")), ("decoder", config.raw("decoder"))):
        for flag in ("is_decoder", "add_cross_attention") if isinstance(options, dict) else ():
            wanted = name == "decoder"
            value = options.get(flag) is True
            reasons.require(value == wanted, f"{name}.{flag} must be {str(wanted).lower()}")
    return encoder, decoder


def _side(config: Options, name: str, reasons: Reasons) -> Side | None:
    options = config.raw(name)
    if not isinstance(options, dict):
        reasons.add(f"{name} must be a configuration of its own, config.json says {short(options)}")
        return None
    said = options.get("model_type")
    kind = KINDS.get(said) if isinstance(said, str) else None
    if kind is None or (name == "decoder" and not kind.stack):
        able = ", ".join(each for each, known in KINDS.items() if name == "encoder" or known.stack)
        reasons.add(f"{name}.model_type must be one of {able}, config.json says {short(said)}")
        return None
    own = kind.options or {}
    given = Options({**options, **{usual: options.get(theirs) for usual, theirs in own.items()}}, reasons, f"{name}.")
    sizes = {option: given.whole(option, MOST[most]) for option, most in SIZES.items()}
    form = given.raw("position_embedding_type")
    reasons.require(form in (None, "absolute"), f"{name}.position_embedding_type {short(form)} is not supported")
    width = given.whole("embedding_size", MOST["width"], sizes["hidden_size"])
    reasons.require(
        width == sizes["hidden_size"] or said != "electra",
        f"{name}.embedding_size must be {name}.hidden_size, a matrix between them is not supported",
    )
    divides = sizes["hidden_size"] % sizes["num_attention_heads"] == 0
    reasons.require(divides, f"{name}.num_attention_heads must divide {name}.hidden_size")
    skipped = given.whole("pad_token_id", MOST["vocab"], kind.pad, least=0) + 1 if kind.begins_behind_padding else 0
    reasons.require(
        skipped < sizes["max_position_embeddings"], f"{name}.max_position_embeddings leaves no position behind padding"
    )
    epsilon = given.positive("layer_norm_eps", 1e-12) if kind.epsilon is None else kind.epsilon
    activation = given.raw("hidden_act")
    return Side(kind, sizes, given.activation("gelu" if activation is None else activation), epsilon, skipped)


def pair_architecture(config: Options, reasons: Reasons) -> Architecture | None:
    """The network of both sides; None when there is a reason against it."""
    before = len(reasons)
    encoder, decoder = sides(config, reasons)
    if encoder is None or decoder is None or len(reasons) > before:
        return None
    width, encoder_width = decoder.sizes["hidden_size"], encoder.sizes["hidden_size"]
    of_head = None
    if decoder.kind.transform is not None:
        of_head = decoder.kind.transform_activation or decoder.activation
    return Architecture(
        d_model=width,
        heads=decoder.sizes["num_attention_heads"],
        ffn=decoder.sizes["intermediate_size"],
        encoder_layers=encoder.sizes["num_hidden_layers"],
        decoder_layers=decoder.sizes["num_hidden_layers"],
        source_vocabulary=encoder.sizes["vocab_size"],
        target_vocabulary=decoder.sizes["vocab_size"],
        norm="post",
        activation=decoder.activation,
        positions="learned",
        max_positions=min(encoder.positions, decoder.positions),
        embedding_norm=True,
        norm_epsilon=decoder.epsilon,
        encoder_heads=unless(encoder.sizes["num_attention_heads"], decoder.sizes["num_attention_heads"]),
        encoder_ffn=unless(encoder.sizes["intermediate_size"], decoder.sizes["intermediate_size"]),
        encoder_width=unless(encoder_width, width),
        encoder_activation=None if encoder.activation == decoder.activation else encoder.activation,
        encoder_norm_epsilon=None if encoder.epsilon == decoder.epsilon else encoder.epsilon,
        output_transform=of_head,
    )


class _Pair:
    """One import: the tensors, which of them were used, and what stands against them."""

    def __init__(self, tensors: Tensors, reasons: Reasons, *, ties_stacks: bool) -> None:
        self.tensors, self.ties_stacks, self.reasons = tensors, ties_stacks, reasons
        self.used: set[str] = set()
        self.missing: list[str] = []
        self.shared: dict[str, str] = {}
        """What the decoder's tensors are called in the encoder, where old models share both."""

    def find(self, *names: str) -> str | None:
        """The first of these tensors that there is, or that the other stack has for it."""
        others = [self.shared[name] for name in names if name in self.shared] if self.ties_stacks else []
        return next((name for name in (*names, *others) if name in self.tensors.names), None)

    def read(self, shape: tuple[int, ...], *names: str) -> Floats:
        """The first of these tensors that there is; zeros, and a reason, where there is none of this shape."""
        name = self.find(*names)
        if name is None:
            self.missing.append(names[0])
            return np.zeros(shape, np.float32)
        self.used.add(name)
        found = self.tensors.read(name, self.reasons)
        if found.shape == shape:
            return found
        self.reasons.add(f"{name} has the shape {list(found.shape)}, config.json calls for {list(shape)}")
        return np.zeros(shape, np.float32)


def place_pair(tensors: Tensors, config: Options, arch: Architecture, reasons: Reasons) -> Placed | None:
    """All weights under canonical names; None when there is a reason against it."""
    before = len(reasons)
    encoder, decoder = sides(config, reasons)
    assert encoder is not None, "an architecture has both"
    assert decoder is not None, "an architecture has both"
    work = _Pair(tensors, reasons, ties_stacks=config.raw("tie_encoder_decoder") is True)
    stack = f"decoder.{decoder.kind.stack}."
    work.shared = {
        name: "encoder." + name.removeprefix(stack)
        for name in (stack + own.removeprefix("encoder.") for own in tensors.names if own.startswith("encoder."))
    }
    weights, tying = _words(work, arch, decoder)
    weights |= _places(work, arch, "source", encoder, "encoder.") | _places(work, arch, "target", decoder, stack)
    bias = work.read((arch.target_vocabulary,), *(f"decoder.{name}" for name in decoder.kind.bias))
    if bias.any():
        weights["output_bias"] = bias
    arch = replace(arch, tying=tying, output_bias=bool(bias.any()))
    weights |= _layers(work, arch, encoder, decoder)
    also = {f"decoder.{name}" for name in (*decoder.kind.bias, decoder.kind.head)}
    left = sorted(name for name in tensors.names - work.used - also if not NOT_READ.fullmatch(name))
    if work.missing:
        reasons.add(f"{some('tensor', work.missing)} missing, which config.json calls for")
    if left:
        reasons.add(f"{some('tensor', left)} not known to an encoder-decoder of this configuration")
    return None if len(reasons) > before else Placed(arch, weights, ())


def _words(work: _Pair, arch: Architecture, decoder: Side) -> tuple[dict[str, Floats], Any]:
    table = "embeddings.word_embeddings.weight"
    own = f"decoder.{decoder.kind.stack}.{table}"
    source = work.read((arch.source_vocabulary, arch.of_encoder.d_model), f"encoder.{table}")
    target = work.read((arch.target_vocabulary, arch.d_model), own, f"decoder.{decoder.kind.head}")
    output = work.read((arch.target_vocabulary, arch.d_model), f"decoder.{decoder.kind.head}", own)
    words = {"source_embedding": source}
    if not np.array_equal(output, target):
        return words | {"target_embedding": target, "output_embedding": output}, "none"
    return (words, "all") if np.array_equal(source, target) else (words | {"target_embedding": target}, "decoder")


def _places(work: _Pair, arch: Architecture, name: str, side: Side, stack: str) -> dict[str, Floats]:
    """Positions, with the vector of the first type of tokens."""
    width, rows = side.sizes["hidden_size"], side.sizes["max_position_embeddings"]
    places = work.read((rows, width), f"{stack}embeddings.position_embeddings.weight")[side.skipped :]
    types = work.find(f"{stack}embeddings.token_type_embeddings.weight") if side.kind.has_types else None
    if types is not None:
        work.used.add(types)
        places = places + work.tensors.read(types, work.reasons)[:1]
    elif side.kind.has_types:
        work.missing.append(f"{stack}embeddings.token_type_embeddings.weight")
    return {f"{name}_positions": places[: arch.max_positions]}


def _layers(work: _Pair, arch: Architecture, encoder: Side, decoder: Side) -> dict[str, Floats]:
    """Everything between the embeddings and the output layer."""
    with torch.device("meta"):
        expected = {n: shape for n, shape in canonical_shapes(Network(arch)).items() if n.startswith(("enc", "dec"))}
    weights: dict[str, Floats] = {}
    between = _between(work, arch)
    for name, shape in expected.items():
        side, stack = (
            (encoder, "encoder.") if name.startswith("encoder.") else (decoder, f"decoder.{decoder.kind.stack}.")
        )
        theirs = _named(name, side.kind, stack)
        is_matrix = len(shape) == 2 and name.endswith(".weight")
        if between is not None and re.search(r"\.cross\.[kv]\.weight$", name):
            own = work.read((arch.d_model, arch.d_model), theirs)
            weights[name] = np.ascontiguousarray((own @ between[0]).T)
            weights[name.removesuffix("weight") + "bias"] = own @ between[1] + work.read(
                (arch.d_model,), theirs.removesuffix("weight") + "bias"
            )
        elif name not in weights:
            found = work.read(shape[::-1] if is_matrix else shape, theirs)
            weights[name] = found.T if is_matrix else found
    return weights


def _between(work: _Pair, arch: Architecture) -> tuple[Floats, Floats] | None:
    """The matrix and bias from the encoder's width to the decoder's; None where they are of one width."""
    if arch.encoder_width is None:
        return None
    weight = work.read((arch.d_model, arch.encoder_width), f"{PROJECTION}.weight")
    return weight, work.read((arch.d_model,), f"{PROJECTION}.bias")


def _named(name: str, kind: Kind, stack: str) -> str:
    """What a file calls the tensor of a canonical name."""
    if name.startswith("decoder.transform.dense."):
        return f"decoder.{kind.transform}.{name.rpartition('.')[2]}"
    if name.startswith("decoder.transform.norm."):
        return f"decoder.{kind.transform_norm}.{name.rpartition('.')[2]}"
    for pattern, text in kind.names:
        name = re.sub(pattern, text, name)
    return stack + name

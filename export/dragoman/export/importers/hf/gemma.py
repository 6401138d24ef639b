"""T5Gemma: two stacks of Gemma's kind, each with a configuration of its own, and a head that is capped.

Norms scale by one more than their weights; scores are divided by a number of the configuration's; some layers see no
farther than a window.
"""

import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from dragoman.bundle.manifest import Activation, Architecture, Rotary
from dragoman.export.core.reasons import Reasons, short, some
from dragoman.export.importers.files.placed import Floats, Placed
from dragoman.export.importers.files.sizes import MOST, unless
from dragoman.export.importers.files.tensors import Tensors
from dragoman.export.importers.hf.options import Options
from dragoman.export.network.load import canonical_shapes
from dragoman.export.network.network import Network

SIZES = {
    "hidden_size": "width",
    "num_hidden_layers": "layers",
    "num_attention_heads": "heads",
    "num_key_value_heads": "heads",
    "head_dim": "width",
    "intermediate_size": "ffn",
    "max_position_embeddings": "positions",
    "vocab_size": "vocab",
}
DEFAULTS = {"head_dim": 256, "num_key_value_heads": 4, "max_position_embeddings": 8192}
SCALAR = 256
SLIDING, FULL = "sliding_attention", "full_attention"
NAMES = (
    (r"^(encoder|decoder)\.", r"model.\1."),
    (r"\.(self|cross)\.([qkvo])\.", r".\1_attn.\2_proj."),
    (r"\.(self|cross)_norm\.", r".pre_\1_attn_layernorm."),
    (r"\.(self|cross)_after\.", r".post_\1_attn_layernorm."),
    (r"\.ffn_norm\.", ".pre_feedforward_layernorm."),
    (r"\.ffn_after\.", ".post_feedforward_layernorm."),
    (r"\.ffn\.(gate|up|down)\.", r".mlp.\1_proj."),
)
SOURCE, TARGET = "model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight"
HEAD = "lm_head.out_proj.weight"


@dataclass(frozen=True)
class Side:
    """What the configuration of one side says."""

    sizes: dict[str, int]
    activation: Activation
    epsilon: float
    rotary: Rotary
    score_scale: float
    """What scores are multiplied with."""
    has_bias: bool


def sides(config: Options, reasons: Reasons) -> tuple[Side | None, Side | None]:
    """Encoder and decoder; None, with reasons, where one is not there."""
    return _side(config, "encoder", reasons), _side(config, "decoder", reasons)


def _side(config: Options, name: str, reasons: Reasons) -> Side | None:
    options = config.raw(name)
    if not isinstance(options, dict):
        reasons.add(f"{name} must be a configuration of its own, config.json says {short(options)}")
        return None
    given = Options(options, reasons, f"{name}.")
    sizes = {option: given.whole(option, MOST[most], DEFAULTS.get(option)) for option, most in SIZES.items()}
    heads, groups = sizes["num_attention_heads"], sizes["num_key_value_heads"]
    reasons.require(heads % groups == 0, f"{name}.num_key_value_heads {groups} must divide num_attention_heads {heads}")
    reasons.require(sizes["head_dim"] % 2 == 0, f"{name}.head_dim must be even, positions turn pairs of numbers")
    activation = given.raw("hidden_activation")
    return Side(
        sizes,
        given.activation("gelu_pytorch_tanh" if activation is None else activation),
        given.positive("rms_norm_eps", 1e-6),
        Rotary(
            base=_base(given, name, reasons),
            key_heads=groups,
            cap=_cap(given, "attn_logit_softcapping", 50.0),
            reach=_reach(given, name, sizes["num_hidden_layers"], reasons),
        ),
        given.whole("query_pre_attn_scalar", MOST["width"], SCALAR) ** -0.5,
        given.flag("attention_bias", default=False),
    )


def _cap(given: Options, name: str, usual: float) -> float | None:
    """A soft cap; one that is stated as null is none, one that is left out is transformers' own."""
    return given.number(name, usual) if name not in given.stated or given.raw(name) is not None else None


def _base(given: Options, name: str, reasons: Reasons) -> float:
    """The base of the frequencies that positions turn with: in one object, or as releases before had it."""
    rope = given.raw("rope_parameters")
    rope = {"rope_theta": given.raw("rope_theta")} if rope is None else rope
    if not isinstance(rope, dict):
        reasons.add(f"{name}.rope_parameters must be an object, config.json says {short(rope)}")
        return 1.0
    scaled = given.raw("rope_scaling") or rope.get("rope_type", "default") != "default"
    reasons.require(not scaled, f"{name}.rope_parameters must be of the type default, config.json says {short(rope)}")
    return Options({"rope_theta": rope.get("rope_theta")}, reasons, f"{name}.").number("rope_theta", 10_000.0)


def _reach(given: Options, name: str, layers: int, reasons: Reasons) -> tuple[int | None, ...]:
    """How far each layer sees. A decoder's window counts the word itself, an encoder's does not."""
    types = given.raw("layer_types")
    types = [(SLIDING, FULL)[n % 2] for n in range(layers)] if types is None else types
    if not isinstance(types, list) or len(types) != layers or not {*map(str, types)} <= {SLIDING, FULL}:
        reasons.add(f"{name}.layer_types must be {SLIDING} or {FULL} for each layer, config.json says {short(types)}")
        return ()
    if "sliding_window" in given.stated and given.raw("sliding_window") is None:
        return (None,) * layers
    window = given.whole("sliding_window", MOST["positions"], 4096)
    seen = window - (name == "decoder")
    return tuple(seen if kind == SLIDING else None for kind in types)


def gemma_architecture(config: Options, reasons: Reasons) -> Architecture | None:
    """The network of both sides; None when there is a reason against it."""
    before = len(reasons)
    encoder, decoder = sides(config, reasons)
    head = _head(config, reasons)
    if encoder is None or decoder is None or len(reasons) > before:
        return None
    width = decoder.sizes["hidden_size"]
    return Architecture(
        d_model=width,
        heads=decoder.sizes["num_attention_heads"],
        ffn=decoder.sizes["intermediate_size"],
        encoder_layers=encoder.sizes["num_hidden_layers"],
        decoder_layers=decoder.sizes["num_hidden_layers"],
        source_vocabulary=encoder.sizes["vocab_size"],
        target_vocabulary=decoder.sizes["vocab_size"],
        norm="both",
        activation=decoder.activation,
        positions="rotary",
        max_positions=min(side.sizes["max_position_embeddings"] for side in (encoder, decoder)),
        embedding_scale=float(width**0.5),
        norm_epsilon=decoder.epsilon,
        encoder_heads=unless(encoder.sizes["num_attention_heads"], decoder.sizes["num_attention_heads"]),
        encoder_ffn=unless(encoder.sizes["intermediate_size"], decoder.sizes["intermediate_size"]),
        encoder_width=unless(encoder.sizes["hidden_size"], width),
        encoder_activation=None if encoder.activation == decoder.activation else encoder.activation,
        encoder_norm_epsilon=None if encoder.epsilon == decoder.epsilon else encoder.epsilon,
        head_width=decoder.sizes["head_dim"],
        encoder_head_width=unless(encoder.sizes["head_dim"], decoder.sizes["head_dim"]),
        norm_kind="rms",
        gated=True,
        linear_bias=encoder.has_bias or decoder.has_bias,
        rotary=decoder.rotary,
        encoder_rotary=encoder.rotary,
        output_cap=head,
    )


def _head(config: Options, reasons: Reasons) -> float | None:
    """The soft cap of the words' scores."""
    options = config.raw("decoder")
    given = Options(options if isinstance(options, dict) else {}, reasons, "decoder.")
    return _cap(given, "final_logit_softcapping", 30.0)


def place_gemma(tensors: Tensors, config: Options, arch: Architecture, reasons: Reasons) -> Placed | None:
    """All weights under canonical names; None when there is a reason against it."""
    before = len(reasons)
    encoder, decoder = sides(config, reasons)
    assert encoder is not None, "an architecture has both"
    assert decoder is not None, "an architecture has both"
    used, missing = set[str](), list[str]()

    def read(name: str, shape: tuple[int, ...], *others: str) -> Floats:
        found = next((each for each in (name, *others) if each in tensors.names), None)
        if found is None:
            missing.append(name)
            return np.zeros(shape, np.float32)
        used.add(found)
        value = tensors.read(found, reasons)
        fits = value.shape == shape
        reasons.require(fits, f"{found} has the shape {list(value.shape)}, config.json calls for {list(shape)}")
        return value if fits else np.zeros(shape, np.float32)

    encoder_width = arch.of_encoder.d_model
    source = read(SOURCE, (arch.source_vocabulary, encoder_width))
    target = read(TARGET, (arch.target_vocabulary, arch.d_model), HEAD)
    output = read(HEAD, (arch.target_vocabulary, arch.d_model), TARGET)
    # Each side scales its words by the root of its own width.
    scaled = source * np.float32((encoder_width / arch.d_model) ** 0.5) if arch.encoder_width else source
    weights, tying = _tied(scaled, target, output)
    arch = replace(arch, tying=tying, output_bias=False)
    with torch.device("meta"):
        expected = {n: shape for n, shape in canonical_shapes(Network(arch)).items() if n.startswith(("enc", "dec"))}
    for name, shape in expected.items():
        side, theirs = (encoder if name.startswith("encoder.") else decoder), _named(name)
        is_matrix = len(shape) == 2
        if name.endswith(".bias") and (".ffn." in name or not side.has_bias):
            weights[name] = np.zeros(shape, np.float32)
            continue
        found = read(theirs, shape[::-1] if is_matrix else shape)
        if "norm." in name or "_after." in name:
            found = found + np.float32(1)
        if re.search(r"\.(self|cross)\.k\.", name):
            found = found * np.float32(side.sizes["head_dim"] ** 0.5 * side.score_scale)
        weights[name] = found.T if is_matrix else found
    left = sorted(tensors.names - used)
    if missing:
        reasons.add(f"{some('tensor', missing)} missing, which config.json calls for")
    if left:
        reasons.add(f"{some('tensor', left)} not known to a t5gemma model of this configuration")
    return None if len(reasons) > before else Placed(arch, weights, ())


def _tied(source: Floats, target: Floats, output: Floats) -> tuple[dict[str, Floats], Any]:
    words = {"source_embedding": source}
    if not np.array_equal(output, target):
        return words | {"target_embedding": target, "output_embedding": output}, "none"
    return (words, "all") if np.array_equal(source, target) else (words | {"target_embedding": target}, "decoder")


def _named(name: str) -> str:
    """What a file calls the tensor of a canonical name."""
    for pattern, text in NAMES:
        name = re.sub(pattern, text, name)
    return name

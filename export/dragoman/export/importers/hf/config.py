"""`config.json` of a Hugging Face model, and what each of its options means in the canonical network.

Families differ in few things, which are one table. An option that is absent has transformers' default for the family;
sizes have none here, because a checkpoint always states them. Dropout and its like are of training and not read.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from dragoman.bundle.manifest import Architecture, NormPlacement, Positions, Window
from dragoman.bundle.rules import MAX_LINKED, MAX_SUMMED, MAX_TOKENS
from dragoman.export.core.reasons import Reasons, short
from dragoman.export.importers.files.sizes import MOST, unless
from dragoman.export.importers.hf.bert import pair_architecture
from dragoman.export.importers.hf.gemma import gemma_architecture
from dragoman.export.importers.hf.options import Options

MOST_BUCKETS = 65_536
RELATIVE_POSITIONS = 512
"""T5 could go on for ever; it was trained on this many."""
LONG_POSITIONS, LONG_TARGETS = 16_384, 1024
"""The same of LongT5's sources, whatever `n_positions` says of its first training, and of what it writes."""
OTHER_HEADS = ("Classification", "Answering", "CausalLM", "EncoderModel")


@dataclass(frozen=True)
class Family:
    """What transformers' code for a model type fixes, and its defaults for options that may be absent."""

    norm: NormPlacement
    positions: Positions
    embedding_norm: bool = False
    embedding_norm_first: bool = False
    """The decoder's norm is of words without their positions."""
    is_sinusoid_fairseq: bool = False
    """fairseq's exponents, and positions that begin behind the padding's id."""
    activation: str = "gelu"
    scales_embedding: bool = False
    is_tied: bool = True
    relative_by_layer: bool = False
    """Each layer has biases by distance of its own."""
    unused_positions: int = 2
    """Rows of trained position tables that stand for no position."""
    pad: int = 1
    start: int | None = 2
    read_by_all: int = 0
    """How many first words of a source see all of it and are seen by all words, as its models are used."""
    starts_with_bos: bool = False
    """What its decoder reads first is the beginning's token, where nothing else is said."""


FAMILIES = {
    "bart": Family("post", "learned", embedding_norm=True),
    "mbart": Family("pre", "learned", embedding_norm=True, start=None),
    "mvp": Family("post", "learned", embedding_norm=True),
    "plbart": Family("post", "learned", embedding_norm=True, scales_embedding=True, start=None, starts_with_bos=True),
    "blenderbot": Family("pre", "learned", unused_positions=0, pad=0, start=1),
    "blenderbot-small": Family(
        "post", "learned", embedding_norm=True, embedding_norm_first=True, unused_positions=0, pad=0, start=1
    ),
    "marian": Family("post", "sinusoidal", pad=58100, start=58100),
    "pegasus": Family("pre", "sinusoidal", pad=0, start=0),
    "m2m_100": Family("pre", "sinusoidal", is_sinusoid_fairseq=True, activation="relu", scales_embedding=True),
    "fsmt": Family(
        "post", "sinusoidal", is_sinusoid_fairseq=True, activation="relu", scales_embedding=True, is_tied=False
    ),
    "t5": Family("pre", "relative", activation="relu", pad=0, start=0),
    "mt5": Family("pre", "relative", activation="gated-gelu", pad=0, start=0),
    "encoder-decoder": Family("post", "learned", embedding_norm=True, pad=0, start=None, starts_with_bos=True),
    "t5gemma": Family("both", "rotary", pad=0, start=None, starts_with_bos=True),
    "umt5": Family("pre", "relative", activation="gated-gelu", relative_by_layer=True, pad=0, start=0),
    "led": Family("post", "learned", embedding_norm=True, unused_positions=0, read_by_all=1),
    "longt5": Family("pre", "relative", activation="relu", pad=0, start=0),
    "bigbird_pegasus": Family(
        "pre", "learned", activation="gelu_new", scales_embedding=True, unused_positions=0, pad=0
    ),
    "pegasus_x": Family("pre", "sinusoidal", scales_embedding=True, pad=0, start=0),
}
"""By `model_type`. NLLB is m2m_100, mBART-50 is mbart, Flan-T5 and MADLAD are t5."""


class Config(Options):
    """The options of a whole model, and its family."""

    def __init__(self, options: Mapping[str, Any], reasons: Reasons) -> None:
        super().__init__(options, reasons)
        self.kind = options.get("model_type")
        self.family = FAMILIES.get(self.kind) if isinstance(self.kind, str) else None


OF_SIDES = {"encoder-decoder": pair_architecture, "t5gemma": gemma_architecture}
"""Families whose options are those of two sides, and what reads them."""


def check_kind(config: Config, reasons: Reasons) -> None:
    """Whether the model is of a kind that can be exported at all."""
    kinds = ", ".join(FAMILIES)
    reasons.require(config.family, f"model_type must be one of {kinds}, config.json says {short(config.kind)}")
    reasons.require(
        config.flag("is_encoder_decoder", default=True), "is_encoder_decoder must be true, config.json says false"
    )
    reasons.require(
        "quantization_config" not in config,
        "the weights are quantised (quantization_config): export the model from before that, with --precision int8",
    )
    reasons.require(
        not config.flag("use_prompt", default=False),
        "use_prompt is true: MVP's trained prompts, which every attention reads, are not supported",
    )
    reasons.require("auto_map" not in config, "the model brings code of its own (auto_map), which is never run")
    heads = config.raw("architectures")
    for name in heads if isinstance(heads, list) else ():
        is_other = isinstance(name, str) and name.endswith(OTHER_HEADS)
        reasons.require(not is_other, f"architectures says {short(name)}, which does not generate text")


def read_architecture(config: Config, reasons: Reasons) -> Architecture | None:
    """The architecture that the options describe, as far as they say; None when there is a reason against it."""
    before = len(reasons)
    check_kind(config, reasons)
    if config.family is None:
        return None
    if config.kind in OF_SIDES:
        arch = OF_SIDES[config.kind](config, reasons)
        return arch if len(reasons) == before else None
    is_t5 = config.family.positions == "relative"
    arch = _t5(config, reasons) if is_t5 else _transformer(config, config.family)
    arch = replace(arch, **_LONG[config.kind](config, arch, reasons)) if config.kind in _LONG else arch
    for side, heads in (("encoder", arch.encoder_heads), ("decoder", arch.heads)):
        divides = arch.head_width is not None or heads is None or arch.d_model % heads == 0
        reasons.require(divides, f"{side}_attention_heads {heads} must divide d_model {arch.d_model}")
    return arch if len(reasons) == before else None


def shares_vocabulary(config: Config) -> bool:
    """Whether source and target have one vocabulary, and may have one embedding."""
    if config.kind == "fsmt":
        return is_tied(config)
    return config.kind != "marian" or config.flag("share_encoder_decoder_embeddings", default=True)


def is_tied(config: Config) -> bool:
    """Whether a separate output layer may be absent."""
    if config.family is None or config.family.positions == "relative":
        return True  # whatever config.json says: transformers ties them when the file does not hold both
    return config.flag("tie_word_embeddings", default=config.family.is_tied)


def scales_output(config: Config) -> bool:
    """Whether the decoder's output is divided by the root of its width: the first T5, and a UMT5 that ties."""
    if config.kind == "umt5":
        return config.flag("tie_word_embeddings", default=True)
    if config.kind not in ("t5", "longt5"):
        return False
    # Told apart by a sign that has nothing to do with it, until transformers 5 gave it a name.
    return config.flag("scale_decoder_outputs", default=config.raw("tie_word_embeddings") is not False)


def overridden(config: Config) -> dict[str, bool]:
    """Settings that transformers 5 replaces by its own when it loads the model, as the model was trained with them.

    Google's UMT5 and what was made of it before do not tie, and their outputs are not divided.
    """
    is_umt5 = config.kind == "umt5" and config.raw("tie_word_embeddings") is False
    return {"tie_word_embeddings": False} if is_umt5 else {}


def pad_id(config: Config) -> int:
    """What sources are padded with; some families number positions without it."""
    assert config.family is not None, "checked before"
    return config.whole("pad_token_id", MOST["vocab"], config.family.pad, least=0)


def _vocabularies(config: Config) -> tuple[int, int]:
    if config.kind == "fsmt":
        return config.whole("src_vocab_size", MOST["vocab"]), config.whole("tgt_vocab_size", MOST["vocab"])
    source = config.whole("vocab_size", MOST["vocab"])
    if shares_vocabulary(config):
        return source, source
    return source, config.whole("decoder_vocab_size", MOST["vocab"], source)


def _transformer(config: Config, family: Family) -> Architecture:
    d_model = config.whole("d_model", MOST["width"])
    sizes = {
        (side, name): config.whole(f"{side}_{theirs}", MOST[name])
        for side in ("encoder", "decoder")
        for name, theirs in (("layers", "layers"), ("heads", "attention_heads"), ("ffn", "ffn_dim"))
    }
    source, target = _vocabularies(config)
    activation = config.raw("activation_function")
    positions = "max_decoder_position_embeddings" if config.kind == "led" else "max_position_embeddings"
    is_scaled = config.kind != "led" and config.flag("scale_embedding", default=family.scales_embedding)
    return Architecture(
        d_model=d_model,
        heads=sizes["decoder", "heads"],
        ffn=sizes["decoder", "ffn"],
        encoder_layers=sizes["encoder", "layers"],
        decoder_layers=sizes["decoder", "layers"],
        source_vocabulary=source,
        target_vocabulary=target,
        norm=family.norm,
        activation=config.activation(family.activation if activation is None else activation),
        positions=family.positions,
        sinusoid_divisor_minus_one=family.is_sinusoid_fairseq,
        max_positions=config.whole(positions, MOST["positions"]),
        embedding_scale=float(d_model**0.5) if is_scaled else 1.0,
        embedding_norm=family.embedding_norm,
        embedding_norm_first=family.embedding_norm_first,
        norm_epsilon=1e-5,
        encoder_heads=unless(sizes["encoder", "heads"], sizes["decoder", "heads"]),
        encoder_ffn=unless(sizes["encoder", "ffn"], sizes["decoder", "ffn"]),
        position_offset=pad_id(config) + 1 if family.is_sinusoid_fairseq else 0,
    )


def _t5(config: Config, reasons: Reasons) -> Architecture:
    assert config.family is not None, "checked before"
    layers = config.whole("num_layers", MOST["layers"])
    source, target = _vocabularies(config)
    buckets = config.whole("relative_attention_num_buckets", MOST_BUCKETS, 32, least=4)
    farthest = config.whole("relative_attention_max_distance", MOST["positions"], 128)
    reasons.require(
        farthest > buckets // 2,
        f"relative_attention_max_distance must be more than half of the {buckets} buckets, config.json says {farthest}",
    )
    project = config.raw("feed_forward_proj")
    gate, _, activation = str(config.family.activation if project is None else project).rpartition("-")
    reasons.require(gate in ("", "gated"), f"feed_forward_proj must be NAME or gated-NAME, it is {short(project)}")
    usual_positions = LONG_TARGETS if config.kind == "longt5" else RELATIVE_POSITIONS
    if gate and activation == "gelu":
        activation = "gelu_new"  # the name is older than the distinction
    return Architecture(
        d_model=config.whole("d_model", MOST["width"]),
        heads=config.whole("num_heads", MOST["heads"]),
        ffn=config.whole("d_ff", MOST["ffn"]),
        encoder_layers=layers,
        decoder_layers=config.whole("num_decoder_layers", MOST["layers"], layers),
        source_vocabulary=source,
        target_vocabulary=target,
        norm="pre",
        activation=config.activation(activation),
        positions="relative",
        max_positions=config.whole("n_positions", MOST["positions"], usual_positions),
        norm_epsilon=config.positive("layer_norm_epsilon", 1e-6),
        head_width=config.whole("d_kv", MOST["width"]),
        norm_kind="rms",
        gated=bool(gate),
        linear_bias=False,
        relative_buckets=buckets,
        relative_distance=farthest,
        relative_by_layer=config.family.relative_by_layer,
    )


def _led(config: Config, arch: Architecture, reasons: Reasons) -> dict[str, Any]:
    """Windows that are as wide as two reaches, of each layer or of all, and first words that all read."""
    given = config.raw("attention_window")
    windows = given if isinstance(given, list) else [512 if given is None else given] * arch.encoder_layers
    most = MOST["positions"]
    fits = all(type(width) is int and 2 <= width <= most and width % 2 == 0 for width in windows)
    if not fits or len(windows) != arch.encoder_layers:
        reasons.add(
            f"attention_window must be an even number, or one for each of {arch.encoder_layers} layers, "
            f"config.json says {short(given)}"
        )
        return {}
    assert config.family is not None, "checked before"
    reach = tuple(width // 2 for width in windows)
    positions = config.whole("max_encoder_position_embeddings", most)
    return {
        "encoder_window": Window(reach, first=config.family.read_by_all),
        "encoder_positions": unless(positions, arch.max_positions),
    }


def _longt5(config: Config, arch: Architecture, reasons: Reasons) -> dict[str, Any]:
    """A radius in which words see each other, and sums of stretches where attention is transient-global."""
    kind, words = config.raw("encoder_attention_type"), 0
    reasons.require(
        kind in (None, "local", "transient-global"),
        f"encoder_attention_type must be local or transient-global, config.json says {short(kind)}",
    )
    if kind == "transient-global":
        words = config.whole("global_block_size", MAX_SUMMED, 16)
        reasons.require(
            words & (words - 1) == 0,
            f"global_block_size must be a power of two, config.json says {words}: of others, transformers rounds where "
            "blocks end",
        )
    radius = config.whole("local_radius", MOST["positions"], 127)
    return {
        "encoder_window": Window((radius,) * arch.encoder_layers, summed=words),
        "encoder_positions": unless(max(LONG_POSITIONS, arch.max_positions), arch.max_positions),
    }


def _pegasus_x(config: Config, arch: Architecture, reasons: Reasons) -> dict[str, Any]:
    """Stretches that words do not see beyond, staggered or not, and tokens that all see."""
    stretch = config.whole("block_size", MOST["positions"], 512)
    is_staggered = config.flag("stagger_local_blocks", default=True)
    reasons.require(
        stretch % 2 == 0 or not is_staggered,
        f"block_size must be even where stagger_local_blocks is true, config.json says {stretch}",
    )
    window = Window(
        (stretch - 1,) * arch.encoder_layers,
        stretch=stretch,
        is_staggered=is_staggered,
        tokens=config.whole("num_global_tokens", MAX_TOKENS, 32),
    )
    return {"encoder_window": window, "sinusoid_divisor_minus_one": True}


def _bigbird_pegasus(config: Config, arch: Architecture, reasons: Reasons) -> dict[str, Any]:
    """Stretches that see the first one several times: transformers draws no random ones but in training."""
    kind = config.raw("attention_type")
    reasons.require(
        kind in (None, "block_sparse", "original_full"),
        f"attention_type must be block_sparse or original_full, config.json says {short(kind)}",
    )
    if kind == "original_full":
        return {}
    stretch = config.whole("block_size", MOST["positions"], 64)
    drawn = config.whole("num_random_blocks", MAX_LINKED - 1, 3, least=0)
    reach = (2 * stretch - 1,) * arch.encoder_layers
    return {"encoder_window": Window(reach, stretch=stretch, linked=1 + drawn)}


_LONG = {"led": _led, "longt5": _longt5, "pegasus_x": _pegasus_x, "bigbird_pegasus": _bigbird_pegasus}
"""Families whose encoders are made for long sources, and what reads how theirs see."""

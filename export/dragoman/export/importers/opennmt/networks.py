"""OpenNMT-py's two networks: options as an architecture, tensors as canonical weights.

    transformer     pre-norm; sinusoids as they are stored, behind words times the root of the width; or Shaw's
                    positions, whose vectors for keys and values are the same
    rnn             LSTM or GRU, attention behind them, with input feeding or without; a bridge with ReLU

Matrices lie as [out, in]. Every tensor is placed or refused.
"""

from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dragoman.bundle.manifest import Activation, Architecture, AttentionScore, DecoderKind, Recurrent, Tying
from dragoman.bundle.rules import shape_problems
from dragoman.export.core.reasons import Reasons, short, some
from dragoman.export.importers.files.tensors import Tensors

Floats = npt.NDArray[np.float32]
POSITIONS = 1024
"""Where no table of positions ends: the longest text that is taken."""
WIDEST, MOST_LAYERS, MOST_SHOWN = 1 << 16, 64, 40
ACTIVATIONS: dict[str, Activation] = {"relu": "relu", "gelu": "gelu", "silu": "swish", "gated-gelu": "gelu"}
GATED = ("silu", "gated-gelu")
CELLS: dict[str, DecoderKind] = {"LSTM": "lstm", "GRU": "gru"}
"""Its decoder of plain cells (`RNN`) does not run in OpenNMT-py itself."""
SCORES: dict[str, AttentionScore] = {"dot": "dot", "general": "general", "mlp": "additive", "none": "none"}
OFF = {
    "copy_attn": "a copy attention of its own",
    "context_gate": "a context gate",
    "reuse_copy_attn": "copying",
    "parallel_residual": "parallel parts of a layer",
    "num_kv": "grouped queries",
    "multiquery": "grouped queries",
    "num_experts": "experts",
    "sliding_window": "layers that see near",
    "src_feats_vocab": "features of source words",
    "lora_layers": "low-rank layers that were not merged",
    "quant_layers": "quantised layers",
}
"""Options that must be off, and what they would say."""
TABLE = "embeddings.make_embedding.emb_luts.0.weight"
SINUSOIDS = "embeddings.make_embedding.pe.pe"


@dataclass
class Saved:
    """Options and tensors of a checkpoint; what was read is counted."""

    options: dict[str, Any]
    tensors: Tensors
    reasons: Reasons

    def __post_init__(self) -> None:
        self.used: set[str] = set()

    def whole(self, name: str, default: int, most: int = WIDEST) -> int:
        """A whole number from 1."""
        value = self.options.get(name, default)
        if type(value) is int and 1 <= value <= most:
            return value
        self.reasons.add(f"{name} must be a whole number from 1 to {most}, the checkpoint says {short(value)}")
        return 1

    def share(self, name: str, default: float) -> float:
        """A number above 0, up to 1."""
        value = self.options.get(name, default)
        if type(value) in (int, float) and 0 < value <= 1:
            return float(value)
        self.reasons.add(f"{name} must be a number above 0, up to 1, the checkpoint says {short(value)}")
        return default

    def choice(self, name: str, default: str, read: Container[str]) -> str:
        """A word of those that are read."""
        value = self.options.get(name, default)
        if isinstance(value, str) and value in read:
            return value
        self.reasons.add(f"{name} is {short(value)}, which is not read")
        return default

    def read(self, name: str, *ranks: int) -> Floats:
        """A tensor with so many axes; without a number, and with a reason, where there is none."""
        self.used.add(name)
        instead = np.zeros((1,) * ranks[0], np.float32)
        if name not in self.tensors.names:
            self.reasons.add(f"{name} is missing")
            return instead
        value = self.tensors.read(name, self.reasons)
        if value.ndim in ranks and value.size:
            return value
        self.reasons.add(f"{name} has the shape {list(value.shape)}, and must have {ranks[0]} axes")
        return instead

    def vector(self, name: str) -> Floats:
        """A tensor of one axis, or of several of which the others have length 1."""
        return self.read(name, 1, 2, 3).reshape(-1)

    def __contains__(self, name: str) -> bool:
        return name in self.tensors.names


Words = tuple[Tying, dict[str, Floats]]
Network = tuple[Architecture, dict[str, Floats]]


def read_network(source: Saved) -> Network | None:
    """Architecture and canonical weights; None when there is a reason against the model."""
    before, options, reasons = len(source.reasons), source.options, source.reasons
    kinds = {str(options.get(f"{side}_type", "rnn"))[:MOST_SHOWN] for side in ("encoder", "decoder")} - {"brnn"}
    for name, what in OFF.items():
        reasons.require(not options.get(name), f"{name}: {what}, which is not read")
    has_coverage = kinds == {"rnn"} and options.get("input_feed", 1) and options.get("global_attention") != "none"
    reasons.require(
        has_coverage or not options.get("coverage_attn"),
        "coverage_attn: coverage is read of rnn with attention and input_feed, and OpenNMT-py has no other",
    )
    source.choice("global_attention_function", "softmax", ("softmax",))
    words = _words(source)
    if kinds not in ({"rnn"}, {"transformer"}):
        reasons.add(f"encoder and decoder are {' and '.join(sorted(kinds))}, not both rnn or transformer")
        return None
    if words is None:
        return None
    read = _transformer if kinds == {"transformer"} else _recurrent
    arch, weights = read(source, words)
    for problem in shape_problems(arch):
        reasons.add(problem)
    if left := sorted(source.tensors.names - source.used):
        reasons.add(f"{some('tensor', left)} not known to a model of these options")
    return (arch, weights) if len(reasons) == before else None


def _words(source: Saved) -> Words | None:
    """Words of both sides and of the output, each once; None, with reasons, where one of them is not there."""
    before = len(source.reasons)
    encoder, decoder = (source.read(f"{side}.{TABLE}", 2) for side in ("encoder", "decoder"))
    named = "generator.0" if "generator.0.weight" in source else "generator"
    output, bias = source.read(f"{named}.weight", 2), source.vector(f"{named}.bias")
    if len(source.reasons) > before:
        return None
    weights = {"source_embedding": encoder, "output_bias": bias}
    is_last = np.array_equal(decoder, output)
    if is_last and np.array_equal(encoder, decoder):
        return "all", weights
    weights["target_embedding"] = decoder
    return ("decoder", weights) if is_last else ("none", {**weights, "output_embedding": output})


def _transformer(source: Saved, words: Words) -> Network:
    options, reasons = source.options, source.reasons
    tying, weights = words
    farthest = options.get("max_relative_positions", 0)
    reasons.require(type(farthest) is int and farthest >= 0, "max_relative_positions: rotary positions or ALiBi")
    reasons.require(not options.get("relative_positions_buckets"), "relative_positions_buckets: T5's biases")
    source.choice("self_attn_type", "scaled-dot", ("scaled-dot", "scaled-dot-flash"))
    kind = source.choice("pos_ffn_activation_fn", "relu", ACTIVATIONS)
    is_shaw = type(farthest) is int and farthest > 0
    has_table = f"encoder.{SINUSOIDS}" in source
    reasons.require(has_table or is_shaw, "neither position_encoding nor max_relative_positions: no positions")
    tables = [_table(source, side) for side in ("encoder", "decoder")] if has_table else []
    width = weights["source_embedding"].shape[-1]
    hidden = source.whole("hidden_size" if "enc_hid_size" not in options else "enc_hid_size", width)
    reasons.require(hidden == width, f"words of width {width} in a network of {hidden}")
    is_rms = source.choice("layer_norm", "standard", ("standard", "rms")) == "rms"
    arch = Architecture(
        d_model=width,
        heads=source.whole("heads", 8),
        ffn=source.whole("transformer_ff", 2048),
        encoder_layers=source.whole("enc_layers", source.options.get("layers", 6), MOST_LAYERS),
        decoder_layers=source.whole("dec_layers", source.options.get("layers", 6), MOST_LAYERS),
        source_vocabulary=len(weights["source_embedding"]),
        target_vocabulary=len(weights["output_bias"]),
        norm="pre",
        activation=ACTIVATIONS[kind],
        positions="shaw" if is_shaw else "learned",
        relative_distance=int(farthest) if is_shaw else 0,
        max_positions=min(len(table) for table in tables) if tables else POSITIONS,
        embedding_scale=float(width**0.5) if tables else 1.0,
        tying=tying,
        norm_epsilon=source.share("norm_eps", 1e-6),
        norm_kind="rms" if is_rms else "layer",
        gated=kind in GATED,
    )
    for ours, table in zip(("source", "target"), tables, strict=False):
        weights[f"{ours}_positions"] = table[: arch.max_positions]
    for side, layers, name in (
        ("encoder", arch.encoder_layers, "transformer"),
        ("decoder", arch.decoder_layers, "transformer_layers"),
    ):
        weights |= _norm(source, f"{side}.norm", f"{side}.layer_norm", arch)
        for n in range(layers):
            weights |= _layer(source, arch, side, f"{side}.layers.{n}", f"{side}.{name}.{n}")
    return arch, weights


def _table(source: Saved, side: str) -> Floats:
    """Sinusoids as they are stored, [positions, 1, d]."""
    table = source.read(f"{side}.{SINUSOIDS}", 3, 2)
    return table.reshape(len(table), -1)[:POSITIONS]


def _layer(source: Saved, arch: Architecture, side: str, ours: str, theirs: str) -> dict[str, Floats]:
    is_decoder = side == "decoder"
    weights = _norm(source, f"{ours}.self_norm", f"{theirs}.layer_norm{'_1' if is_decoder else ''}", arch)
    weights |= _norm(source, f"{ours}.ffn_norm", f"{theirs}.feed_forward.layer_norm", arch)
    attentions = [("self", "self_attn")]
    if is_decoder:
        weights |= _norm(source, f"{ours}.cross_norm", f"{theirs}.layer_norm_2", arch)
        attentions.append(("cross", "context_attn"))
    for own, name in attentions:
        for part, matrix in (
            ("q", "linear_query"),
            ("k", "linear_keys"),
            ("v", "linear_values"),
            ("o", "final_linear"),
        ):
            weights |= _dense(source, f"{ours}.{own}.{part}", f"{theirs}.{name}.{matrix}")
    if arch.positions == "shaw":
        vectors = source.read(f"{theirs}.self_attn.relative_positions_embeddings.weight", 2)
        weights |= {f"{ours}.self.relative_{part}": vectors for part in "kv"}
    parts = [("gate", "w_1"), ("up", "w_3")] if arch.gated else [("up", "w_1")]
    for part, matrix in (*parts, ("down", "w_2")):
        weights |= _dense(source, f"{ours}.ffn.{part}", f"{theirs}.feed_forward.{matrix}")
    return weights


def _dense(source: Saved, ours: str, theirs: str) -> dict[str, Floats]:
    """A matrix and its biases, zeros where it has none."""
    weight = source.read(f"{theirs}.weight", 2)
    bias = source.read(f"{theirs}.bias", 1) if f"{theirs}.bias" in source else np.zeros(len(weight), np.float32)
    return {f"{ours}.weight": np.ascontiguousarray(weight.T), f"{ours}.bias": bias}


def _norm(source: Saved, ours: str, theirs: str, arch: Architecture) -> dict[str, Floats]:
    kinds = ("weight",) if arch.norm_kind == "rms" else ("weight", "bias")
    return {f"{ours}.{kind}": source.vector(f"{theirs}.{kind}") for kind in kinds}


def _recurrent(source: Saved, words: Words) -> Network:
    options = source.options
    tying, weights = words
    kind = CELLS[source.choice("rnn_type", "LSTM", CELLS)]
    score = SCORES[source.choice("global_attention", "general", SCORES)]
    feeds = bool(options.get("input_feed", 1))
    size = options.get("hidden_size", options.get("rnn_size", 500))
    hidden, memory = (source.whole(name, size if type(size) is int else 0) for name in ("dec_hid_size", "enc_hid_size"))
    two = bool(options.get("brnn")) or options.get("encoder_type") == "brnn"
    layers = options.get("layers", 2)
    sizes = Recurrent(
        source_width=weights["source_embedding"].shape[-1],
        target_width=source.read(f"decoder.{TABLE}", 2).shape[-1],
        encoder_hidden=memory // 2 if two else memory,
        decoder_hidden=hidden,
        bidirectional=two,
        attention=score,
        input_feeding=feeds,
        bridge=bool(options.get("bridge")),
        bridge_activation="relu" if options.get("bridge") else "linear",
        output_reads=() if score == "none" else ("context", "hidden"),
        output_activation="linear" if score == "additive" else "tanh",
    )
    arch = Architecture(
        d_model=sizes.output_width,
        heads=0,
        ffn=0,
        encoder_layers=source.whole("enc_layers", layers if type(layers) is int else 0, MOST_LAYERS),
        decoder_layers=source.whole("dec_layers", layers if type(layers) is int else 0, MOST_LAYERS),
        source_vocabulary=len(weights["source_embedding"]),
        target_vocabulary=len(weights["output_bias"]),
        decoder=kind,
        max_positions=POSITIONS,
        tying=tying,
        recurrent=sizes,
    )
    for name in [name for name in source.tensors.names if name.startswith("encoder.rnn.")]:
        weights[name] = source.read(name, 2 if ".weight_" in name else 1)
    for n in range(arch.decoder_layers):
        for ours, part in (("input", "ih"), ("state", "hh")):
            for kind_of, rank in (("weight", 2), ("bias", 1)):
                own = f"layers.{n}.{kind_of}_{part}" if feeds else f"{kind_of}_{part}_l{n}"
                weights[f"decoder.layers.{n}.{ours}.{kind_of}"] = source.read(f"decoder.rnn.{own}", rank).T
    weights |= dict(_attention(source, sizes))
    weights |= dict(_bridges(source, arch, sizes))
    return arch, {name: np.ascontiguousarray(value) for name, value in weights.items()}


def _attention(source: Saved, sizes: Recurrent) -> Iterator[tuple[str, Floats]]:
    if sizes.attention == "none":
        return
    yield "decoder.attention.out.weight", source.read("decoder.attn.linear_out.weight", 2).T
    if source.options.get("coverage_attn"):
        # OpenNMT-py sums its weights up for the loss alone: no attention of its reads them.
        source.read("decoder.attn.linear_cover.weight", 2)
    if sizes.attention == "general":  # the hidden state is multiplied there, the source's rows here
        yield "decoder.attention.key.weight", source.read("decoder.attn.linear_in.weight", 2)
    if sizes.attention == "additive":
        yield "decoder.attention.out.bias", source.read("decoder.attn.linear_out.bias", 1)
        yield "decoder.attention.key.weight", source.read("decoder.attn.linear_context.weight", 2).T
        yield "decoder.attention.key.bias", source.read("decoder.attn.linear_query.bias", 1)
        yield "decoder.attention.query.weight", source.read("decoder.attn.linear_query.weight", 2).T
        yield "decoder.attention.score", source.vector("decoder.attn.v.weight")


def _bridges(source: Saved, arch: Architecture, sizes: Recurrent) -> Iterator[tuple[str, Floats]]:
    """One layer's, or two directions of two layers': a matrix reads what lies side by side."""
    if not sizes.bridge:
        return
    layers = arch.encoder_layers
    fits = layers == 1 or (layers == 2 and sizes.bidirectional)
    source.reasons.require(fits, f"bridge: its matrix mixes the states of {layers} layers, which is not read")
    for n, name in enumerate(("hidden", "cell") if arch.decoder == "lstm" else ("hidden",)):
        weight, bias = source.read(f"encoder.bridge.{n}.weight", 2).T, source.read(f"encoder.bridge.{n}.bias", 1)
        if layers == 1 and sizes.bidirectional:  # each direction by itself
            weight, bias = np.kron(np.eye(2, dtype=np.float32), weight), np.concatenate([bias, bias])
        yield f"decoder.bridge.{name}.weight", weight
        yield f"decoder.bridge.{name}.bias", bias

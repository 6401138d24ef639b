"""CTranslate2's variables as an architecture and canonical weights.

Matrices lie as [out, in]. Of an attention to the words themselves queries, keys and values are one matrix, of one
to the source keys and values are. Every variable is placed or refused, so that nothing is imported by half.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dragoman.bundle.manifest import Activation, Architecture
from dragoman.bundle.rules import shape_problems
from dragoman.export.core.reasons import Reasons, some
from dragoman.export.importers.ctranslate2.binary import Floats, Variables
from dragoman.export.importers.files.placed import Placed

ACTIVATIONS: dict[int, Activation] = {0: "relu", 1: "gelu-tanh", 2: "swish", 3: "gelu", 4: "gelu-sigmoid", 5: "tanh"}
POSITIONS = 1024
"""Sinusoids have no end: this is the longest text that is taken."""
MOST_LAYERS = 64
FARTHEST = "relative_attention_max_distance"
SIDES = ("encoder", "decoder")
NOT_COMPUTED = ("decoder/alignment_layer", "decoder/alignment_heads", "encoder/embeddings_merge")
"""What changes no probability."""


def place_variables(variables: Variables, epsilon: float | None) -> Placed | None:
    """All weights under canonical names; None when there is a reason against the model."""
    before = len(variables.reasons)
    work = _Work(variables, variables.reasons)
    arch = work.architecture(epsilon)
    if arch is not None:
        arch = work.embeddings(arch)
        for side in SIDES:
            for n in range(arch.encoder_layers if side == "encoder" else arch.decoder_layers):
                work.layer(arch, side, n)
        for name in NOT_COMPUTED:
            variables.used.add(name)
        if left := variables.left():
            variables.reasons.add(f"{some('variable', left)} of a form that is not read")
    return Placed(arch, work.weights, ()) if arch is not None and len(variables.reasons) == before else None


@dataclass(frozen=True)
class _Stack:
    """What one side's names and scalars say."""

    layers: int
    heads: int
    words: int
    width: int
    ffn: int
    activation: Activation
    is_pre: bool


class _Work:
    """Weights as they are placed."""

    def __init__(self, variables: Variables, reasons: Reasons) -> None:
        self.variables, self.reasons = variables, reasons
        self.weights: dict[str, Floats] = {}

    def architecture(self, epsilon: float | None) -> Architecture | None:
        """What the variables' names and scalars say; tying comes with the embeddings."""
        has = self.variables.__contains__
        encoder, decoder = (self._stack(side) for side in SIDES)
        if encoder is None or decoder is None:
            return None
        is_rms = not has("encoder/layer_0/ffn/layer_norm/beta")
        arch = Architecture(
            d_model=decoder.width,
            heads=decoder.heads,
            ffn=decoder.ffn,
            encoder_layers=encoder.layers,
            decoder_layers=decoder.layers,
            source_vocabulary=encoder.words,
            target_vocabulary=decoder.words,
            norm="pre" if decoder.is_pre else "post",
            encoder_norm="pre" if encoder.is_pre else "post",
            activation=decoder.activation,
            encoder_activation=encoder.activation,
            embedding_scale=self._scale("decoder", decoder.width),
            embedding_norm=has("encoder/layernorm_embedding/gamma"),
            norm_epsilon=(1e-6 if is_rms else 1e-5) if epsilon is None else epsilon,
            encoder_heads=encoder.heads,
            encoder_ffn=encoder.ffn,
            encoder_width=encoder.width,
            encoder_final_norm=has("encoder/layer_norm/gamma"),
            decoder_final_norm=has("decoder/layer_norm/gamma"),
            norm_kind="rms" if is_rms else "layer",
            gated=has("encoder/layer_0/ffn/linear_0_noact/weight"),
            linear_bias=has("encoder/layer_0/ffn/linear_0/bias"),
            output_bias=has("decoder/projection/bias"),
            **self._positions(encoder.heads),
        )
        for problem in shape_problems(arch):
            self.reasons.add(problem)
        return None if len(self.reasons) else arch

    def _stack(self, side: str) -> _Stack | None:
        """Sizes of one side; None, with reasons, where they are not what a stack has."""
        reasons, before = self.reasons, len(self.reasons)
        layers, heads = self._layers(side), int(self._of(side, "num_heads", 8))
        activation = ACTIVATIONS.get(int(self._of(side, "activation", 0)))
        is_pre = bool(self._of(side, "pre_norm", 1))
        reasons.require(1 <= layers <= MOST_LAYERS, f"the {side} has {layers} layers")
        reasons.require(activation, f"the {side}'s activation is not read")
        reasons.require(heads >= 1, f"the {side} has {heads} heads")
        table = self.variables.read(self._table(side), 2)
        inner = self.variables.read(f"{side}/layer_0/ffn/linear_0/weight", 2)
        if table is None or inner is None or activation is None or len(reasons) > before:
            return None
        return _Stack(layers, heads, len(table), table.shape[1], len(inner), activation, is_pre)

    def _positions(self, heads: int) -> dict[str, Any]:
        """The architecture's fields about positions: the first layer has what tells the kind."""
        has, read, first = self.variables.__contains__, self.variables.read, "encoder/layer_0/self_attention"
        if has(f"{first}/relative_attention_bias"):
            table, matrix = read(f"{first}/relative_attention_bias", 2), read(f"{first}/linear_0/weight", 2)
            return {
                "positions": "relative",
                "position_offset": 0,
                "max_positions": POSITIONS,
                "relative_buckets": 0 if table is None else len(table),
                "relative_distance": int(self.variables.scalar(f"{first}/{FARTHEST}", default=0)),
                "head_width": None if matrix is None else len(matrix) // 3 // heads,
            }
        if has(f"{first}/relative_position_keys"):
            keys = read(f"{first}/relative_position_keys", 2)
            farthest = 0 if keys is None else (len(keys) - 1) // 2
            shaw = {"positions": "shaw", "position_offset": 0, "relative_distance": farthest}
            return {**shaw, "max_positions": POSITIONS}
        tables = [self._encodings(side) for side in SIDES if has(f"{side}/position_encodings/encodings")]
        if len(tables) == len(SIDES):
            longest = min([len(table) for table in tables if table is not None], default=POSITIONS)
            return {"positions": "learned", "position_offset": 0, "max_positions": longest}
        return {"positions": "sinusoidal", "position_offset": 1, "max_positions": POSITIONS}

    def embeddings(self, arch: Architecture) -> Architecture:
        """Place words, positions and norms of whole stacks; the architecture with its tying."""
        read, weights = self.variables.read, self.weights
        source, target = read(self._table("encoder"), 2), read(self._table("decoder"), 2)
        output = read("decoder/projection/weight", 2)
        if source is None or target is None or output is None:
            return arch
        own, other = self._scale("encoder", source.shape[1]), arch.embedding_scale
        if own != other:
            source = source * np.float32(own / other)
        scaled = self.variables.scalar("decoder/scale_outputs", default=1.0)
        output = output if scaled == 1 else output * np.float32(scaled)
        both, last = np.array_equal(source, target), np.array_equal(target, output)
        weights["source_embedding"] = source
        if not (both and last):
            weights["target_embedding"] = target
        if not last:
            weights["output_embedding"] = output
        if arch.output_bias:
            self._place("output_bias", "decoder/projection/bias", 1)
        for side, name in zip(SIDES, ("source_positions", "target_positions"), strict=True):
            if arch.positions == "learned" and (table := self._encodings(side)) is not None:
                weights[name] = table[: arch.max_positions]
            if arch.embedding_norm:
                self._norm(f"{side}.embedding_norm", f"{side}/layernorm_embedding", arch)
            if f"{side}/layer_norm/gamma" in self.variables:
                self._norm(f"{side}.norm", f"{side}/layer_norm", arch)
            if arch.positions == "relative":
                self._place(f"{side}.relative.table", f"{side}/layer_0/self_attention/relative_attention_bias", 2)
        return replace(arch, tying="all" if both and last else "decoder" if last else "none")

    def layer(self, arch: Architecture, side: str, n: int) -> None:
        """Place all of one layer."""
        ours, theirs = f"{side}.layers.{n}", f"{side}/layer_{n}"
        sides = arch.of_encoder if side == "encoder" else arch
        width = arch.encoder_head_dim if side == "encoder" else arch.head_dim
        parts = {"self": ("self_attention", ("qkv", "o")), "cross": ("attention", ("q", "kv", "o"))}
        for part, (name, matrices) in parts.items() if side == "decoder" else [*parts.items()][:1]:
            scale = self.variables.scalar(f"{theirs}/{name}/queries_scale", default=0.0)
            for index, joined in enumerate(matrices):
                self._matrices(f"{ours}.{part}", joined, f"{theirs}/{name}/linear_{index}", arch)
            if scale:  # keys are divided by the root of the head's width when they are loaded
                for kind in ("weight", "bias"):
                    if (key := f"{ours}.{part}.k.{kind}") in self.weights:
                        self.weights[key] = self.weights[key] * np.float32(scale * width**0.5)
            self._norm(f"{ours}.{part}_norm", f"{theirs}/{name}/layer_norm", arch)
            if part == "self" and arch.positions == "shaw":
                self._place(f"{ours}.self.relative_k", f"{theirs}/{name}/relative_position_keys", 2)
                self._place(f"{ours}.self.relative_v", f"{theirs}/{name}/relative_position_values", 2)
            if part == "self" and arch.positions == "relative":
                self._bias(arch, side, f"{theirs}/{name}")
        self._matrices(f"{ours}.ffn", "up", f"{theirs}/ffn/linear_{'0_noact' if arch.gated else '0'}", arch)
        if arch.gated:
            self._matrices(f"{ours}.ffn", "gate", f"{theirs}/ffn/linear_0", arch)
        self._matrices(f"{ours}.ffn", "down", f"{theirs}/ffn/linear_1", arch)
        self._norm(f"{ours}.ffn_norm", f"{theirs}/ffn/layer_norm", sides)

    def _bias(self, arch: Architecture, side: str, attention: str) -> None:
        """Of biases by distance each layer has its stack's: the same table, and the same distance in both stacks."""
        first = self.variables.read(f"{side}/layer_0/self_attention/relative_attention_bias", 2)
        table = self.variables.read(f"{attention}/relative_attention_bias", 2)
        if first is not None and table is not None:
            self.reasons.require(np.array_equal(first, table), f"{attention} has biases by distance of its own")
        name = f"{attention}/{FARTHEST}"
        farthest = self.variables.scalar(name, default=0)
        self.reasons.require(
            farthest == arch.relative_distance,
            f"{name} is {farthest:g}, not {arch.relative_distance} as the first layer's",
        )

    def _matrices(self, ours: str, parts: str, theirs: str, arch: Architecture) -> None:
        """One matrix for several: `qkv`, `kv`, or one name."""
        names = list(parts) if parts in ("qkv", "kv") else [parts]
        kinds = ("weight", "bias") if arch.linear_bias else ("weight",)
        for kind in kinds:
            whole = self.variables.read(f"{theirs}/{kind}", 2 if kind == "weight" else 1)
            if whole is None:
                continue
            if len(whole) % len(names):
                self.reasons.add(f"{theirs}/{kind} is not {len(names)} matrices of one size")
                continue
            for name, part in zip(names, np.split(whole, len(names)), strict=True):
                self.weights[f"{ours}.{name}.{kind}"] = np.ascontiguousarray(part.T)

    def _norm(self, ours: str, theirs: str, arch: Architecture) -> None:
        self._place(f"{ours}.weight", f"{theirs}/gamma", 1)
        if arch.norm_kind == "layer":
            self._place(f"{ours}.bias", f"{theirs}/beta", 1)

    def _place(self, ours: str, theirs: str, rank: int) -> None:
        value = self.variables.read(theirs, rank)
        if value is not None:
            self.weights[ours] = value

    def _layers(self, side: str) -> int:
        names = self.variables.stored
        return sum(f"{side}/layer_{n}/ffn/linear_0/weight" in names for n in range(MOST_LAYERS + 1))

    def _of(self, side: str, name: str, default: float) -> float:
        """A scalar of a stack, which models of before said once for both."""
        return self.variables.scalar(f"{side}/{name}", name, default=default)

    def _table(self, side: str) -> str:
        names = ("encoder/embeddings_0/weight", "encoder/embeddings/weight") if side == "encoder" else ()
        return next((name for name in names if name in self.variables), f"{side}/embeddings/weight")

    def _scale(self, side: str, width: int) -> float:
        """What words are multiplied by: a number, or the root of the width, where a flag says so or nothing does."""
        table = self._table(side).removesuffix("/weight")
        names = (f"{side}/scale_embeddings", f"{table}/multiply_by_sqrt_depth")
        name = next((name for name in names if name in self.variables), None)
        self.variables.used |= {*names}
        number = 1.0 if name is None else self.variables.scalar(name, default=1.0)
        if name is None or self.variables.kind(name) == "i":
            return float(width**0.5) if number else 1.0
        self.reasons.require(number > 0, f"{name} is {number:g}, not above 0")
        return number if number > 0 else 1.0

    def _encodings(self, side: str) -> Floats | None:
        table = self.variables.read(f"{side}/position_encodings/encodings", 2, 3)
        return None if table is None else table.reshape(-1, table.shape[-1])

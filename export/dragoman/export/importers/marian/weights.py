"""Marian's parameter names, and where each goes in the canonical network.

Every parameter of the file is either placed or refused, so that nothing is imported by half. The norm after an
attention is called `.._Wo_ln_*`, the one after a feed-forward part `.._ffn_ffn_ln_*`, the one after a recurrence
`.._rnn_ffn_ln_*`; a norm before a part ends in `_pre`, and before a recurrence it lacks the `_ffn`.

`<weight>_QuantMultA` is the calibrated multiplier of the activations that meet the weight. The output layer, whose
product has no weight of its own when embeddings are tied, has `none_QuantMultA` (`Wemb_QuantMultA` is there as well,
but quantised itself, like everything called Wemb).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from dragoman.bundle.manifest import Architecture
from dragoman.export.core.checkpoint import Quantized
from dragoman.export.core.reasons import Reasons
from dragoman.export.importers.marian.files import Floats, Integers, MarianFile

ALPHA = "_QuantMultA"
OUTPUT_ALPHA = "none" + ALPHA

Number = TypeVar("Number", np.float32, np.int8)


@dataclass(frozen=True)
class Place:
    """Where a parameter goes."""

    canonical: str
    marian: str
    shape: tuple[int, ...]
    """The canonical shape; a vector is [1, n] in the file."""
    is_transposed: bool = False
    """The file holds the matrix the other way round."""

    @property
    def file_shape(self) -> tuple[int, ...]:
        """The shape that the file has to have."""
        shape = self.shape[::-1] if self.is_transposed else self.shape
        return shape if len(shape) == 2 else (1, *shape)


@dataclass
class Weights:
    """What was placed, under canonical names."""

    floats: dict[str, Floats] = field(default_factory=dict)
    quantized: dict[str, Quantized] = field(default_factory=dict)
    output_activation_scale: float | None = None


def place_weights(
    model: MarianFile, architecture: Architecture, *, is_source_shared: bool, reasons: Reasons
) -> Weights:
    """Give every parameter its canonical name and shape. What is missing, misshapen or left over is a reason."""
    weights = Weights(output_activation_scale=_activation_scale(model, OUTPUT_ALPHA, reasons))
    places = [*_places(model, architecture, is_source_shared=is_source_shared)]
    for place in places:
        _take(model, place, weights, reasons)
    known = {place.marian for place in places}
    for name in sorted((model.floats.keys() | model.integers.keys()) - known):
        if not name.endswith(ALPHA):
            reasons.add(f"the parameter {name} has no place in this architecture")
    return weights


def _take(model: MarianFile, place: Place, weights: Weights, reasons: Reasons) -> None:
    tensor: Floats | Integers | None = model.integers.get(place.marian)
    if tensor is None:
        tensor = model.floats.get(place.marian)
    if tensor is None:
        reasons.add(f"the parameter {place.marian} {list(place.file_shape)} is missing")
        return
    shape = tensor.values.shape if isinstance(tensor, Integers) else tensor.shape
    if shape != place.file_shape:
        reasons.add(f"the parameter {place.marian} is {list(shape)}, expected {list(place.file_shape)}")
        return
    if isinstance(tensor, Integers):
        if place.marian.endswith("_Wt"):
            reasons.add(f"the parameter {place.marian} is int8, which is not read in an output layer of its own")
            return
        values = np.ascontiguousarray(_oriented(tensor.values, place))
        scale = _activation_scale(model, place.marian + ALPHA, reasons)
        weights.quantized[place.canonical] = Quantized(values, tensor.scale, scale)
        tensor = tensor.floats()
    weights.floats[place.canonical] = np.ascontiguousarray(_oriented(tensor, place))


def _oriented(values: npt.NDArray[Number], place: Place) -> npt.NDArray[Number]:
    return (values.T if place.is_transposed else values).reshape(place.shape)


def _activation_scale(model: MarianFile, name: str, reasons: Reasons) -> float | None:
    """The scale in real = integer * scale; None where the file has no calibration, or one that is quantised itself."""
    alpha = model.floats.get(name)
    if alpha is None:
        return None
    if alpha.size != 1 or not alpha.item() > 0:
        reasons.add(f"the parameter {name} must be one positive number")
        return None
    return 1.0 / float(alpha.item())


def _places(model: MarianFile, architecture: Architecture, *, is_source_shared: bool) -> Iterator[Place]:
    yield from _embeddings(model, architecture, is_source_shared=is_source_shared)
    for side, depth in (("encoder", architecture.encoder_layers), ("decoder", architecture.decoder_layers)):
        if architecture.embedding_norm:
            yield from _norm(f"{side}.embedding_norm", f"{side}_emb", architecture.d_model, "_pre")
        for index in range(depth):
            yield from _layer(side, index, architecture)
        if architecture.norm == "pre":
            yield from _norm(f"{side}.norm", f"{side}_top", architecture.d_model, "")


def _embeddings(model: MarianFile, architecture: Architecture, *, is_source_shared: bool) -> Iterator[Place]:
    width, source, target = architecture.d_model, architecture.source_vocabulary, architecture.target_vocabulary
    yield Place("source_embedding", "Wemb" if is_source_shared else "encoder_Wemb", (source, width))
    if architecture.tying != "all":
        yield Place("target_embedding", "Wemb" if is_source_shared else "decoder_Wemb", (target, width))
    if architecture.tying == "none":
        # Older versions hold the output matrix as [d, V] under W, newer ones as [V, d] under Wt.
        is_old = any("decoder_ff_logit_out_W" in tensors for tensors in (model.floats, model.integers))
        name = f"decoder_ff_logit_out_{'W' if is_old else 'Wt'}"
        yield Place("output_embedding", name, (target, width), is_transposed=is_old)
    if architecture.output_bias:
        yield Place("output_bias", "decoder_ff_logit_out_b", (target,))
    if architecture.positions == "learned":
        for side in ("source", "target"):  # one table for both
            yield Place(f"{side}_positions", "Wpos", (architecture.max_positions, width))


def _layer(side: str, index: int, architecture: Architecture) -> Iterator[Place]:
    ours, theirs = f"{side}.layers.{index}", f"{side}_l{index + 1}"
    width, inner = architecture.d_model, architecture.ffn
    when = "_pre" if architecture.norm == "pre" else ""
    if side == "decoder" and architecture.decoder == "ssru":
        yield Place(f"{ours}.rnn.input.weight", f"{theirs}_rnn_W", (width, width))
        yield from _dense(f"{ours}.rnn.forget", f"{theirs}_rnn", "f", (width, width))
        yield from _norm(f"{ours}.self_norm", f"{theirs}_rnn" + ("" if when else "_ffn"), width, when)
    else:
        yield from _attention(f"{ours}.self", f"{theirs}_self", width)
        yield from _norm(f"{ours}.self_norm", f"{theirs}_self_Wo", width, when)
    if side == "decoder":
        yield from _attention(f"{ours}.cross", f"{theirs}_context", width)
        yield from _norm(f"{ours}.cross_norm", f"{theirs}_context_Wo", width, when)
    yield from _dense(f"{ours}.ffn.up", f"{theirs}_ffn", "1", (width, inner))
    yield from _dense(f"{ours}.ffn.down", f"{theirs}_ffn", "2", (inner, width))
    yield from _norm(f"{ours}.ffn_norm", f"{theirs}_ffn_ffn", width, when)


def _attention(ours: str, theirs: str, width: int) -> Iterator[Place]:
    for part in "qkvo":
        yield from _dense(f"{ours}.{part}", theirs, part, (width, width))


def _dense(ours: str, theirs: str, suffix: str, shape: tuple[int, int]) -> Iterator[Place]:
    yield Place(f"{ours}.weight", f"{theirs}_W{suffix}", shape)
    yield Place(f"{ours}.bias", f"{theirs}_b{suffix}", shape[1:])


def _norm(ours: str, theirs: str, width: int, when: str) -> Iterator[Place]:
    yield Place(f"{ours}.weight", f"{theirs}_ln_scale{when}", (width,))
    yield Place(f"{ours}.bias", f"{theirs}_ln_bias{when}", (width,))

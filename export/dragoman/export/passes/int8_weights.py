"""Weights in int8, one scale a column."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dragoman.export.core.checkpoint import Checkpoint
from dragoman.export.network.load import (
    EMBEDDINGS,
    _key_scale,
    _parts,
    _scaled,
)
from dragoman.export.network.network import Network
from dragoman.export.passes.quantize import Int8Weight, quantize_weight


def int8_weights(
    checkpoint: Checkpoint, network: Network, scales: dict[str, float | None]
) -> tuple[dict[str, Int8Weight], dict[str, Int8Weight]]:
    """The network's matrices and embeddings as integers: the checkpoint's own where it has them, else quantised here.

    `scales` are those of what matrices are multiplied with, where that was measured (None: one for each row); they go
    before the checkpoint's.
    """
    matrices: dict[str, Int8Weight] = {}
    embeddings: dict[str, Int8Weight] = {}
    for name, parameter in network.named_parameters():
        is_embedding = name in EMBEDDINGS
        if is_embedding or (parameter.ndim == 2 and name.endswith(".weight")):
            made = [_int8(checkpoint, part, is_embedding=is_embedding) for part in _parts(name)]
            (embeddings if is_embedding else matrices)[name] = _join(
                made, scales[name] if name in scales else _common_scale(made)
            )
    return matrices, embeddings


def _int8(checkpoint: Checkpoint, name: str, *, is_embedding: bool) -> Int8Weight:
    own = checkpoint.quantized.get(name)
    if own is None:
        return quantize_weight(_scaled(checkpoint, name, checkpoint.weights[name]), axis=1 if is_embedding else 0)
    scale: npt.NDArray[np.float32] = np.array([own.scale], np.float32) * _key_scale(checkpoint.architecture, name)
    return Int8Weight(own.values, scale, own.activation_scale)


def _common_scale(parts: list[Int8Weight]) -> float | None:
    """What is joined reads the same numbers, hence with one scale: the coarsest."""
    own = [part.activation_scale for part in parts if part.activation_scale is not None]
    return max(own) if len(own) == len(parts) else None


def _join(parts: list[Int8Weight], scale: float | None) -> Int8Weight:
    """One matrix of the columns of several."""
    if len(parts) == 1:
        return Int8Weight(parts[0].values, parts[0].scale, scale)
    columns = [np.broadcast_to(part.scale, part.values.shape[1]) for part in parts]
    return Int8Weight(np.concatenate([part.values for part in parts], axis=1), np.concatenate(columns), scale)

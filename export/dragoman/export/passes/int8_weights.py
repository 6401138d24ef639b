"""The integers of int8 graphs: the checkpoint's own where it has them, else made from its floats here."""

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dragoman.export.core.checkpoint import Checkpoint
from dragoman.export.network.load import EMBEDDINGS, key_scale, parts_of, scaled
from dragoman.export.network.network import Network

RECURRENCE = re.compile(r"encoder\..*\.state\.weight")
"""What the states of an encoder are multiplied with, word by word, in float32."""
TINY = 1e-12
"""A row of zeros must not be divided by zero."""


@dataclass(frozen=True)
class Int8Weight:
    """A matrix [in, out] or an embedding [V, d] as integers."""

    values: npt.NDArray[np.int8]
    scale: npt.NDArray[np.float32]
    """One number, or one for each output column (matrix) or word (embedding)."""
    activation_scale: float | None
    """Fixed scale of what it is multiplied with; None: each row gets its own as the graph runs."""


def quantize_weight(weight: npt.NDArray[np.float32], *, axis: int) -> Int8Weight:
    """Symmetric int8, one scale for each column (axis 0 is reduced) or each word (axis 1)."""
    scale = np.maximum(np.abs(weight).max(axis=axis, keepdims=True), TINY) / np.float32(127)
    values = np.rint(weight / scale).astype(np.int8)
    return Int8Weight(values, scale.reshape(-1).astype(np.float32), None)


def int8_weights(
    checkpoint: Checkpoint, network: Network, scales: dict[str, float | None]
) -> tuple[dict[str, Int8Weight], dict[str, Int8Weight]]:
    """The network's matrices and its embeddings, by name.

    `scales` of what matrices are multiplied with go before the checkpoint's, where they were measured; None there means
    one for each row.
    """
    matrices: dict[str, Int8Weight] = {}
    embeddings: dict[str, Int8Weight] = {}
    for name, parameter in network.named_parameters():
        is_embedding = name in EMBEDDINGS
        if RECURRENCE.fullmatch(name):
            continue
        if is_embedding or (parameter.ndim == 2 and name.endswith(".weight")):
            made = [_int8(checkpoint, part, is_embedding=is_embedding) for part in parts_of(name)]
            (embeddings if is_embedding else matrices)[name] = _join(
                made, scales[name] if name in scales else _common_scale(made)
            )
    return matrices, embeddings


def _int8(checkpoint: Checkpoint, name: str, *, is_embedding: bool) -> Int8Weight:
    stored = checkpoint.quantized.get(name)
    if stored is None:
        return quantize_weight(scaled(checkpoint, name), axis=1 if is_embedding else 0)
    scale: npt.NDArray[np.float32] = np.array([stored.scale], np.float32) * key_scale(checkpoint.architecture, name)
    return Int8Weight(stored.values, scale, stored.activation_scale)


def _common_scale(parts: list[Int8Weight]) -> float | None:
    """What is joined reads the same numbers, hence with one scale: the coarsest."""
    scales = [part.activation_scale for part in parts if part.activation_scale is not None]
    return max(scales) if len(scales) == len(parts) else None


def _join(parts: list[Int8Weight], scale: float | None) -> Int8Weight:
    """One matrix of the columns of several."""
    if len(parts) == 1:
        return Int8Weight(parts[0].values, parts[0].scale, scale)
    columns = [np.broadcast_to(part.scale, part.values.shape[1]) for part in parts]
    return Int8Weight(np.concatenate([part.values for part in parts], axis=1), np.concatenate(columns), scale)

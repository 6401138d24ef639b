"""Put a checkpoint into the canonical network, and find every weight's integers."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
import torch

from dragoman.bundle.manifest import Architecture
from dragoman.export.checkpoint import Checkpoint
from dragoman.export.errors import ExportError
from dragoman.export.nat import attach
from dragoman.export.network import Network
from dragoman.export.quantize import Int8Weight, quantize_weight

KEYS = re.compile(r"\.(self|cross)\.k\.(weight|bias)$")
PARTS = {"qkv": ("q", "k", "v"), "kv": ("k", "v"), "both": ("input", "forget")}
"""What the network holds as one matrix, because it multiplies the same rows."""
JOINED = re.compile(rf"(.*)\.({'|'.join(PARTS)})\.(weight|bias)$")
EMBEDDINGS = ("source_embedding", "target_embedding", "output_embedding")


def _key_scale(arch: Architecture, name: str) -> np.float32:
    """Attention scores are divided by sqrt(head width) here, once, and not at every step."""
    width = arch.encoder_head_dim if name.startswith("encoder.") else arch.head_dim
    return np.float32(width**-0.5 if KEYS.search(name) else 1.0)


def _scaled(checkpoint: Checkpoint, name: str, weight: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Only keys are copied, and what torch could not take as it is."""
    scale = _key_scale(checkpoint.architecture, name)
    return np.require(weight, requirements="W") if scale == 1 else weight * scale


def _parts(name: str) -> list[str]:
    """The canonical tensors that one parameter of the network is joined from, in the order of its columns."""
    match = JOINED.match(name)
    if match is None:
        return [name]
    layer, joined, kind = match.groups()
    return [f"{layer}.{part}.{kind}" for part in PARTS[joined]]


def canonical_shapes(network: Network) -> dict[str, tuple[int, ...]]:
    """Every canonical tensor that a network is filled with."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, parameter in network.named_parameters():
        parts, (*rows, columns) = _parts(name), parameter.shape
        shapes |= {part: (*rows, columns // len(parts)) for part in parts}
    return shapes


def load_network(checkpoint: Checkpoint) -> Network:
    """The network with the checkpoint's weights, ready for inference."""
    network = Network(checkpoint.architecture)
    attach(network, checkpoint.nat)
    wrong, expected = [], canonical_shapes(network)
    for name, shape in expected.items():
        found = checkpoint.weights.get(name)
        if found is None and name not in absent(checkpoint):
            wrong.append(f"missing {name} {list(shape)}")
        elif found is not None and found.shape != shape:
            wrong.append(f"{name} is {list(found.shape)}, not {list(shape)}")
    wrong += [f"unexpected {name}" for name in checkpoint.weights if name not in expected]
    if wrong:
        raise ExportError(f"{checkpoint.name}: the weights do not fit the architecture: " + "; ".join(sorted(wrong)))
    for name, parameter in network.named_parameters():
        parts = _parts(name)
        if name in checkpoint.weights:  # shares the checkpoint's memory, which may be the file itself
            parameter.data = torch.from_numpy(_scaled(checkpoint, name, checkpoint.weights[name]))
            continue
        for part, own in zip(parts, np.split(parameter.detach().numpy(), len(parts), axis=-1), strict=True):
            own[...] = _scaled(checkpoint, part, checkpoint.weights[part]) if part in checkpoint.weights else 0
    return network.eval().requires_grad_(False)  # noqa: FBT003 - torch's own signature


def canonical_weights(network: Network) -> dict[str, npt.NDArray[np.float32]]:
    """A network's parameters under the names of a checkpoint; keys still hold what `load_network` multiplies in."""
    weights: dict[str, npt.NDArray[np.float32]] = {}
    for name, parameter in network.named_parameters():
        parts = _parts(name)
        columns = np.split(parameter.detach().cpu().numpy(), len(parts), axis=-1)
        weights |= {part: np.ascontiguousarray(own) for part, own in zip(parts, columns, strict=True)}
    return weights


def checkpoint_weights(network: Network) -> dict[str, npt.NDArray[np.float32]]:
    """A network's parameters as the weights of a checkpoint: `load_network` makes the same network of them."""
    arch, weights = network.arch, canonical_weights(network)
    return {name: weight / _key_scale(arch, name) if KEYS.search(name) else weight for name, weight in weights.items()}


def absent(checkpoint: Checkpoint) -> set[str]:
    """Tensors that stand for zeros: the recurrent unit's input has no bias."""
    return {f"decoder.layers.{n}.rnn.input.bias" for n in range(checkpoint.architecture.decoder_layers)}


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

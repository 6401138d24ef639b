"""Between a checkpoint's weights and the parameters of the canonical network, in both directions."""

import re

import numpy as np
import numpy.typing as npt
import torch

from dragoman.bundle.manifest import Architecture
from dragoman.export.core.checkpoint import Checkpoint
from dragoman.export.core.errors import ExportError
from dragoman.export.network.nat import attach
from dragoman.export.network.network import Network
from dragoman.export.network.recurrent import network_of

KEYS = re.compile(r"\.((self|self\.whole|cross)\.k\.(weight|bias)|self\.relative_k|self\.compress\.k\.bias)$")
PARTS = {"qkv": ("q", "k", "v"), "kv": ("k", "v"), "qv": ("q", "v"), "both": ("input", "forget")}
"""What the network holds as one matrix, because it multiplies the same rows."""
JOINED = re.compile(rf"(.*)\.({'|'.join(PARTS)})\.(weight|bias)$")
UNSCALED = ("linear", "lsh", "routing")
"""Approximations whose keys are not those of scores as they are."""
EMBEDDINGS = ("source_embedding", "target_embedding", "output_embedding")


def key_scale(arch: Architecture, name: str) -> np.float32:
    """What a weight is multiplied with: attention scores are divided by sqrt(head width) here, not at every step."""
    if not KEYS.search(name) or _is_unscaled(arch, name):
        return np.float32(1.0)
    return np.float32((arch.encoder_head_dim if name.startswith("encoder.") else arch.head_dim) ** -0.5)


def _is_unscaled(arch: Architecture, name: str) -> bool:
    if name.startswith("encoder."):
        return arch.encoder_attention is not None and arch.encoder_attention.kind in UNSCALED
    return arch.decoder == "linear-attention" and name.startswith("decoder.") and ".self." in name


def scaled(checkpoint: Checkpoint, name: str) -> npt.NDArray[np.float32]:
    """A weight as the network multiplies with it. Only keys are copied, and what torch could not take as it is."""
    scale, weight = key_scale(checkpoint.architecture, name), checkpoint.weights[name]
    return np.require(weight, requirements="W") if scale == 1 else weight * scale


def parts_of(name: str) -> list[str]:
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
        parts, (*rows, columns) = parts_of(name), parameter.shape
        shapes |= {part: (*rows, columns // len(parts)) for part in parts}
    return shapes


def load_network(checkpoint: Checkpoint) -> Network:
    """The network with the checkpoint's weights, ready for inference."""
    network = network_of(checkpoint.architecture)
    attach(network, checkpoint.nat)
    wrong, expected = [], canonical_shapes(network)
    for name, shape in expected.items():
        weight = checkpoint.weights.get(name)
        if weight is None and name not in absent(checkpoint):
            wrong.append(f"missing {name} {list(shape)}")
        elif weight is not None and weight.shape != shape:
            wrong.append(f"{name} is {list(weight.shape)}, not {list(shape)}")
    wrong += [f"unexpected {name}" for name in checkpoint.weights if name not in expected]
    if wrong:
        raise ExportError(f"{checkpoint.name}: the weights do not fit the architecture: " + "; ".join(sorted(wrong)))
    for name, parameter in network.named_parameters():
        parts = parts_of(name)
        if name in checkpoint.weights:  # shares the checkpoint's memory, which may be the file itself
            parameter.data = torch.from_numpy(scaled(checkpoint, name))
            continue
        for part, columns in zip(parts, np.split(parameter.detach().numpy(), len(parts), axis=-1), strict=True):
            columns[...] = scaled(checkpoint, part) if part in checkpoint.weights else 0
    return network.eval().requires_grad_(False)  # noqa: FBT003 - torch's own signature


def canonical_weights(network: Network) -> dict[str, npt.NDArray[np.float32]]:
    """A network's parameters under the names of a checkpoint; keys still hold what `load_network` multiplies in."""
    weights: dict[str, npt.NDArray[np.float32]] = {}
    for name, parameter in network.named_parameters():
        parts = parts_of(name)
        columns = np.split(parameter.detach().cpu().numpy(), len(parts), axis=-1)
        weights |= {part: np.ascontiguousarray(each) for part, each in zip(parts, columns, strict=True)}
    return weights


def checkpoint_weights(network: Network) -> dict[str, npt.NDArray[np.float32]]:
    """A network's parameters as the weights of a checkpoint: `load_network` makes the same network of them."""
    arch, weights = network.arch, canonical_weights(network)
    return {name: weight / key_scale(arch, name) if KEYS.search(name) else weight for name, weight in weights.items()}


def absent(checkpoint: Checkpoint) -> set[str]:
    """Tensors that a checkpoint may leave out, since they are zero then: biases that only some models have."""
    units = {f"decoder.layers.{n}.rnn.input.bias" for n in range(checkpoint.architecture.decoder_layers)}
    return {*units, "decoder.attention.key.bias", "decoder.attention.out.bias"}

"""Put a checkpoint into the canonical network, and find every weight's integers."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
import torch

from dragoman.export.checkpoint import Checkpoint
from dragoman.export.errors import ExportError
from dragoman.export.network import Network
from dragoman.export.quantize import Int8Weight, quantize_weight

KEYS = re.compile(r"\.(self|cross)\.k\.(weight|bias)$")
EMBEDDINGS = ("source_embedding", "target_embedding", "output_embedding")


def _key_scale(checkpoint: Checkpoint, name: str) -> np.float32:
    """Attention scores are divided by sqrt(head width) here, once, and not at every step."""
    arch = checkpoint.architecture
    width = arch.encoder_head_dim if name.startswith("encoder.") else arch.head_dim
    return np.float32(width**-0.5 if KEYS.search(name) else 1.0)


def _scaled(checkpoint: Checkpoint, name: str, weight: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Only keys are copied, and what torch could not take as it is."""
    scale = _key_scale(checkpoint, name)
    return np.require(weight, requirements="W") if scale == 1 else weight * scale


def load_network(checkpoint: Checkpoint) -> Network:
    """The network with the checkpoint's weights, ready for inference."""
    network = Network(checkpoint.architecture)
    state = {n: torch.from_numpy(_scaled(checkpoint, n, w)) for n, w in checkpoint.weights.items()}
    expected = {n: tuple(p.shape) for n, p in network.named_parameters()}
    wrong = [f"missing {n} {list(s)}" for n, s in expected.items() if n not in state]
    wrong += [f"unexpected {n}" for n in state if n not in expected]
    wrong += [
        f"{n} is {list(state[n].shape)}, not {list(s)}"
        for n, s in expected.items()
        if n in state and tuple(state[n].shape) != s
    ]
    if wrong:
        raise ExportError(f"{checkpoint.name}: the weights do not fit the architecture: " + "; ".join(sorted(wrong)))
    network.load_state_dict(state, assign=True)  # shares the checkpoint's memory, which may be the file itself
    return network.eval().requires_grad_(False)  # noqa: FBT003 - torch's own signature


def int8_weights(checkpoint: Checkpoint) -> tuple[dict[str, Int8Weight], dict[str, Int8Weight]]:
    """Matrices and embeddings as integers: the checkpoint's own where it has them, quantised here where not."""
    matrices: dict[str, Int8Weight] = {}
    embeddings: dict[str, Int8Weight] = {}
    for name, weight in checkpoint.weights.items():
        is_embedding = name in EMBEDDINGS
        if not is_embedding and not (weight.ndim == 2 and name.endswith(".weight")):
            continue
        own = checkpoint.quantized.get(name)
        if own is None:
            made = quantize_weight(_scaled(checkpoint, name, weight), axis=1 if is_embedding else 0)
        else:
            scale: npt.NDArray[np.float32] = np.array([own.scale], np.float32) * _key_scale(checkpoint, name)
            made = Int8Weight(own.values, scale, own.activation_scale)
        (embeddings if is_embedding else matrices)[name] = made
    return matrices, embeddings

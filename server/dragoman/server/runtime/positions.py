"""What a position of a source or of a translation takes of memory while it is decoded: what lanes are bounded by."""

import math

import numpy as np

from dragoman.bundle.graphs import ENCODER, HIDDEN, SRC_MASK, STEP, is_nat_memory
from dragoman.bundle.manifest import Manifest, Tensor

COPIES = 2
"""Slots of nodes are kept once, and lie there a second time while a pool grows, or while a run puts them in order."""

MASK_BYTES = 16 * (4 + 1)
"""Of a slot's column of the mask: a number and a byte for each of so many hypotheses that may see it."""


def position_bytes(manifest: Manifest) -> int:
    """Bytes for each position of a lane, of the decoder that takes most: a slot of each hypothesis, and as many
    positions of its source.
    """
    return max(_position_bytes(manifest.of(sibling)) for sibling in (None, *manifest.siblings))


def _position_bytes(manifest: Manifest) -> int:
    step = manifest.graphs[STEP].inputs if STEP in manifest.graphs else ()
    kept = [tensor for name, graph in manifest.graphs.items() if is_nat_memory(name) for tensor in graph.outputs]
    read = [tensor for tensor in (*step, *kept) if "S" in tensor.shape and tensor.name != SRC_MASK]
    hidden = [tensor for tensor in manifest.graphs[ENCODER].outputs if tensor.name == HIDDEN]
    slots = [tensor for tensor in step if "T" in tensor.shape]
    return sum(map(_bytes, (*read, *hidden))) + COPIES * sum(map(_bytes, slots)) + MASK_BYTES


def _bytes(tensor: Tensor) -> int:
    """Bytes of a tensor for one of its positions."""
    return math.prod(size for size in tensor.shape if isinstance(size, int)) * np.dtype(tensor.dtype).itemsize

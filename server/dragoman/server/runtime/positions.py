"""What a position of a source or of a translation takes of memory while it is decoded: what lanes are bounded by."""

import math
from bisect import bisect_right

import numpy as np

from dragoman.bundle.graphs import ENCODER, HIDDEN, SRC_MASK, STEP, is_nat_memory
from dragoman.bundle.manifest import Manifest, Tensor, Window

COPIES = 2
"""Slots of nodes are kept once, and lie there a second time while a pool grows, or while a run puts them in order."""

MASK_BYTES = 16 * (4 + 1)
"""Of a slot's column of the mask: a number and a byte for each of so many hypotheses that may see it."""

SCORES = 6
"""Of what attention makes for the keys that a query looks at, so many copies are held at a time: scores, scores with
masks, weights, and what ONNX Runtime lays out for later."""
ROWS, SIDES = 8, 24
"""Rows of the network's width, and of all heads together, that are held of a word at a time: its queries, keys and
values as they are made, as they are padded to blocks, and what was read."""
FULL_BLOCK = 64
"""Queries of the largest blocks that a window is cut into, of which one at a time is read, beside whole blocks."""
LEAST_TOKENS = 512
"""What a bundle reads at a time however little memory there is."""
LIMIT_GRAIN = 64
"""Limits that memory sets are multiples of this."""


def readable_tokens(manifest: Manifest, memory: int) -> int:
    """How many tokens of a source are read at most, so that what its encoder and its lane hold of it fits in `memory`.

    As the manifest says for all encoders but those that are made for long sources.
    """
    most, window = manifest.limits.max_source_tokens, manifest.architecture.encoder_window
    if window is None or source_bytes(manifest, window, most) <= memory:
        return most
    sizes = range(0, most, LIMIT_GRAIN)
    fits = bisect_right(sizes, memory, key=lambda tokens: source_bytes(manifest, window, tokens)) - 1
    return min(most, max(LEAST_TOKENS, sizes[max(fits, 0)]))


def source_bytes(manifest: Manifest, window: Window, tokens: int) -> int:
    """What one source of so many tokens takes of memory: while it is encoded, beside what is kept of it."""
    shape = manifest.architecture.of_encoder
    # What sees all of a source has scores of each word; a block has them of what it looks at.
    whole = window.first + window.tokens + 2 * window.stretch * (window.linked > 0)
    sums = tokens // window.summed if window.summed else 0
    around = 2 * max(window.reach) + 3 * FULL_BLOCK + whole + sums
    full = (3 + 2 * window.linked) * window.stretch if window.linked else 0
    block = SCORES * shape.heads * (max(FULL_BLOCK, window.stretch * (window.linked > 0)) * around + full**2)
    scores = SCORES * shape.heads * (whole + sums // max(window.summed, 1))
    rows = ROWS * shape.d_model + SIDES * shape.heads * shape.head_dim + 2 * shape.ffn
    return tokens * (position_bytes(manifest) + 4 * (scores + rows)) + 4 * block


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

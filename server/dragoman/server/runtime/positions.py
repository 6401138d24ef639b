"""What a position of a source or of a translation takes of memory while it is decoded: what lanes are bounded by."""

import math
from bisect import bisect_right

import numpy as np

from dragoman.bundle.graphs import ENCODER, HIDDEN, SRC_MASK, STATE, STEP, is_nat_memory
from dragoman.bundle.manifest import Approximation, Manifest, Tensor

COPIES = 2
"""Slots of nodes are kept once, and lie there a second time while a pool grows, or while a run puts them in order."""

STATE_COPIES = 3
"""States are kept, and lie there as often again as a run makes new ones and hands them out."""

MASK_BYTES = 16 * (4 + 1)
"""Of a slot's column of the mask: a number and a byte for each of so many hypotheses that may see it."""

SCORES = 6
"""Of what attention makes for the keys that a query looks at, so many copies are held at a time: scores, scores with
masks, weights, and what ONNX Runtime lays out for later."""
ROWS, SIDES = 8, 24
"""Rows of the network's width, and of all heads together, that are held of a word at a time: its queries, keys and
values as they are made, as they are padded to blocks, and what was read."""
FULL_SCORES = 3
"""Copies of the scores of all words for all that an encoder without windows holds at a time."""
RECURRENT_ROWS = 16
"""Rows of a recurrent encoder's width that are held of a word at a time: products of its gates, both ways."""
FULL_BLOCK = 64
"""Queries of the largest blocks that a window is cut into, of which one at a time is read, beside whole blocks."""
LEAST_TOKENS = 512
"""What a bundle reads at a time however little memory there is."""
LIMIT_GRAIN, SMALL_GRAIN = 64, 4
"""Limits that memory sets are multiples of the first, those below it of the second."""


def readable_tokens(manifest: Manifest, memory: int, width: int = 1, steps: int = 0) -> int:
    """How many tokens of a source are read at most, so that what its encoder holds of it, and its lane of it and of its
    hypotheses, fits in `memory`: so many of them side by side, of as many tokens as it has or of `steps`. 0: none.

    However little memory there is, so many as the bundle's own beams have, or fewer, may be as long as short sources.
    """
    most = manifest.limits.max_source_tokens
    if segment_bytes(manifest, most, width, steps) <= memory:
        return most
    sizes: list[int] = [*range(0, min(most, LIMIT_GRAIN), SMALL_GRAIN), *range(LIMIT_GRAIN, most, LIMIT_GRAIN)]
    fits = bisect_right(sizes, memory, key=lambda tokens: segment_bytes(manifest, tokens, width, steps)) - 1
    least = LEAST_TOKENS if width * max(steps, LEAST_TOKENS) <= manifest.decoding.beam_size * LEAST_TOKENS else 0
    return min(most, max(least, sizes[max(fits, 0)]))


def segment_bytes(manifest: Manifest, tokens: int, width: int = 1, steps: int = 0) -> int:
    """What a source of so many tokens takes of memory: while it is encoded, beside what is kept of it and of so many
    hypotheses.
    """
    slots = min(max(tokens, steps), manifest.limits.max_target_tokens)
    parts = [_position_parts(manifest.of(sibling)) for sibling in (None, *manifest.siblings)]
    kept = max(tokens * source + width * (slots * slot + states) for source, slot, states in parts)
    return kept + encoder_bytes(manifest, tokens)


def encoder_bytes(manifest: Manifest, tokens: int) -> int:
    """What a run of the encoder holds of a source of so many tokens, besides what comes out."""
    shape, window = manifest.architecture.of_encoder, manifest.architecture.encoder_window
    if shape.recurrent is not None:
        widths = shape.recurrent.source_width + RECURRENT_ROWS * shape.recurrent.encoder_width
        return 4 * tokens * widths
    rows = ROWS * shape.d_model + SIDES * shape.heads * shape.head_dim + 2 * shape.ffn
    if shape.encoder_attention is not None:
        return 4 * (tokens * rows + shape.heads * _approximated(shape.encoder_attention, tokens, shape.head_dim))
    if window is None:
        return 4 * (tokens * rows + FULL_SCORES * shape.heads * tokens**2)
    # What sees all of a source has scores of each word; a block has them of what it looks at.
    whole = window.first + window.tokens + 2 * window.stretch * (window.linked > 0)
    sums = tokens // window.summed if window.summed else 0
    around = 2 * max(window.reach) + 3 * FULL_BLOCK + whole + sums
    full = (3 + 2 * window.linked) * window.stretch if window.linked else 0
    block = SCORES * shape.heads * (max(FULL_BLOCK, window.stretch * (window.linked > 0)) * around + full**2)
    scores = SCORES * shape.heads * (whole + sums // max(window.summed, 1))
    return 4 * (tokens * (scores + rows) + block)


def _approximated(form: Approximation, tokens: int, width: int) -> int:
    """Numbers that each head of an encoder holds at a time besides the rows that all have."""
    blocks = -(-tokens // max(1, form.size))
    return {
        "linear": 0,
        "linformer": SCORES * tokens * form.size,
        "compressed": SCORES * FULL_BLOCK * (blocks + FULL_BLOCK),
        "sinkhorn": 2 * SCORES * (tokens + form.size) * form.size + SCORES * blocks**2,
        "lsh": (tokens + form.size) * (2 * SCORES * form.size + SIDES * width + form.rounds * (form.count + 2 * width)),
        "routing": SCORES * form.count * (form.size * (form.size + width) + tokens),
    }[form.kind]


def position_bytes(manifest: Manifest) -> int:
    """Bytes for each position of a lane, of the decoder that takes most: a slot of each hypothesis, and as many
    positions of its source.
    """
    return max(sum(_position_parts(manifest.of(sibling))[:2]) for sibling in (None, *manifest.siblings))


def state_positions(manifest: Manifest) -> int:
    """Positions that take as much as the states of a hypothesis, of the decoder whose are the largest."""
    largest = max(_position_parts(manifest.of(sibling))[2] for sibling in (None, *manifest.siblings))
    return math.ceil(largest / position_bytes(manifest))


def _position_parts(manifest: Manifest) -> tuple[int, int, int]:
    """Bytes of a source's position, of a slot, and of what a hypothesis has whatever its length."""
    step = manifest.graphs[STEP].inputs if STEP in manifest.graphs else ()
    kept = [tensor for name, graph in manifest.graphs.items() if is_nat_memory(name) for tensor in graph.outputs]
    read = [tensor for tensor in (*step, *kept) if "S" in tensor.shape and tensor.name != SRC_MASK]
    hidden = [tensor for tensor in manifest.graphs[ENCODER].outputs if tensor.name == HIDDEN]
    slots = [tensor for tensor in step if "T" in tensor.shape]
    states = [tensor for tensor in step if tensor.name.startswith(STATE) and "S" not in tensor.shape]
    slot = COPIES * sum(map(_bytes, slots)) + MASK_BYTES
    return sum(map(_bytes, (*read, *hidden))), slot, STATE_COPIES * sum(map(_bytes, states))


def _bytes(tensor: Tensor) -> int:
    """Bytes of a tensor for one of its positions."""
    return math.prod(size for size in tensor.shape if isinstance(size, int)) * np.dtype(tensor.dtype).itemsize

"""Runs of the encoder: how segments are put together, and what comes out."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from dragoman.bundle.graphs import DEPTH, HIDDEN, IDS, PLACES, ROWS, SRC_MASK
from dragoman.server.batches.group import Source
from dragoman.server.core.segments import Segment
from dragoman.server.decode.arrays import Ints
from dragoman.server.runtime.device_rows import row_level, source_level
from dragoman.server.runtime.padding import MASKED, round_up
from dragoman.server.runtime.runtime import Runtime

T = TypeVar("T")

ENCODE_TOKENS = 256
"""Padded tokens in one run of the encoder: few enough that decoding is not held up, and that what a layer makes of them
stays in a processor's nearest cache, which is worth a tenth of the run."""
GPU_ENCODE_TOKENS = 8_192
"""The same of a GPU, which has no such cache and takes a launch for each node of a run."""
RUN_TOKENS = 32
"""What a run of the encoder costs besides its tokens, in tokens."""
GPU_RUN_TOKENS = 4096
"""The same of a GPU: so many are read in the time that its launches take."""


def padded_tokens(sources: int, positions: int) -> int:
    """What so many sources of up to so many positions are as a run of the encoder."""
    return sources * positions


def gpu_padded_tokens(sources: int, positions: int) -> int:
    """The same on a GPU, where runs come in few sizes."""
    return row_level(sources) * source_level(positions)


def encoder_runs(
    items: Sequence[T],
    length: Callable[[T], int],
    tokens: int = ENCODE_TOKENS,
    run_tokens: int = RUN_TOKENS,
    area: Callable[[int, int], int] = padded_tokens,
) -> list[list[T]]:
    """Cut items into runs, the shortest first; `area` says how many tokens a run has for sources and positions."""
    runs: list[list[T]] = []
    positions = 0  # of the last run
    for item in sorted(items, key=length):  # stable: equals stay first come first served
        padded = round_up(length(item))
        size = len(runs[-1]) if runs else 0
        if size and size * (padded - positions) <= run_tokens and area(size + 1, padded) <= tokens:
            runs[-1].append(item)
        else:
            runs.append([item])
        positions = padded
    return runs


def encode(runtime: Runtime, segments: Sequence[Segment], *, cross: bool = True, hidden: bool = False) -> list[Source]:
    """Encode segments in one padded run, for the autoregressive decoder (`cross`), for others (`hidden`), or both."""
    lengths = np.array([len(segment.ids) for segment in segments])
    positions = round_up(int(lengths.max()))
    is_word = np.arange(positions) < lengths[:, None]
    outputs = runtime.encode(
        {
            IDS: np.concatenate([segment.ids for segment in segments]),
            DEPTH: np.nonzero(is_word)[1],
            ROWS: np.flatnonzero(is_word),
            PLACES: packed_rows(lengths),
            SRC_MASK: np.where(is_word, np.float32(0), MASKED)[:, None, None],
        },
        cross=cross,
        hidden=hidden,
    )
    rows = np.split(outputs.pop(HIDDEN), lengths.cumsum()[:-1]) if HIDDEN in outputs else [None] * len(segments)
    return [Source({name: tensor[g] for name, tensor in outputs.items()}, rows[g]) for g in range(len(segments))]


def packed_rows(lengths: Ints) -> Ints:
    """Which of all sources' words stands where [G, S]; padding reads the word before it, masked."""
    is_word = np.arange(round_up(int(lengths.max()))) < lengths[:, None]
    positions: Ints = (np.cumsum(is_word) - 1).reshape(is_word.shape)
    return positions

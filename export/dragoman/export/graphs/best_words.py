"""The best words of rows of logits inside a graph, found in two stages where the vocabulary can be cut into blocks."""

import torch
from torch import Tensor

BLOCKS = (128, 125, 100, 64, 50, 256, 250, *sorted(range(65, 513), key=lambda size: abs(size - 128)))
"""Sizes that a vocabulary may be cut into, the preferred ones first."""


def block_size(vocabulary: int) -> int | None:
    """The size of the blocks that a vocabulary is searched in; None where one stage does.

    At least 64 blocks are left, which is enough for the widest beam and the words that it passes over.
    """
    return next((b for b in BLOCKS if vocabulary % b == 0 and vocabulary // b >= 64), None)


def best_words(logits: Tensor, count: int, block: int | None, *, exact: bool) -> tuple[Tensor, Tensor, Tensor]:
    """The `count` highest of the last axis of [n, V], exactly, their indices, and the log of the normaliser [n, 1].

    The best k lie within the k blocks of greatest maximum, so only those are searched. The normaliser is taken over
    all V, by way of the best word's share: a softmax is one fast kernel, ReduceLogSumExp several times slower.
    """
    if block is None:
        values, index = logits.topk(count)
    else:
        peaks = logits.unflatten(-1, (-1, block)).amax(-1)
        chosen = peaks.topk(torch.sym_min(count, peaks.shape[1])).indices  # [n, k], blocks of each row
        words = (chosen.unsqueeze(-1) * block + torch.arange(block)).flatten(1)
        values, index = logits.gather(1, words).topk(count)
        index = words.gather(1, index)
    peak = values[:, :1]
    if exact:
        normaliser = peak + (logits - peak).exp().double().sum(-1, keepdim=True).log().to(logits.dtype)
    else:
        # In float64: a float32 logarithm in a vector of sixteen is not the one that the number has alone.
        normaliser = peak - logits.softmax(-1).gather(1, index[:, :1]).double().log().to(logits.dtype)
    return values, index, normaliser

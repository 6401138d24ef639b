"""What each kind of student learns from a batch: a loss, given the frozen words it shares with the teacher.

Only a sample of the vocabulary takes part in a step: the batch's own words and words drawn at random. Its rows of the
output layer are frozen, so a student learns hidden rows that lie where the teacher's lie.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dragoman.export.distill.corpus import Batch
from dragoman.export.distill.states import source_mask
from dragoman.export.network import Network

ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class Words:
    """The part of the output layer that takes part in a step."""

    rows: Tensor
    """[C, d]"""
    bias: Tensor
    """[C]"""
    number: Tensor
    """[V]: which of the rows a word has, among those that have one."""
    ids: Tensor
    """[C]: sorted."""



class _Divergence(torch.autograd.Function):
    """Sum over rows of the cross-entropy of two distributions over frozen words, and its gradient in the same pass.

    A few rows at a time stay in the processor's cache: the logits of a whole batch are never in memory.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, wanted: Tensor, rows: Tensor, bias: Tensor) -> Tensor:  # noqa: ANN401
        """`wanted` holds the teacher's rows [n, d], or the numbers of the words that are right [n]."""
        gradient, total = torch.empty_like(x), torch.zeros((), dtype=torch.float32, device=x.device)
        for start in range(0, len(x), ROWS_AT_ONCE):
            part, right = x[start : start + ROWS_AT_ONCE], wanted[start : start + ROWS_AT_ONCE]
            logp = torch.addmm(bias, part, rows.T).float().log_softmax(-1)
            if right.ndim == 1:
                total -= logp.gather(1, right.unsqueeze(1)).sum()
                difference = logp.exp_()
                difference.scatter_add_(1, right.unsqueeze(1), difference.new_full((len(part), 1), -1))
            else:
                probabilities = torch.addmm(bias, right, rows.T).float().softmax(-1)
                total -= torch.dot(probabilities.flatten(), logp.flatten())
                difference = logp.exp_().sub_(probabilities)
            torch.mm(difference.to(x.dtype), rows, out=gradient[start : start + ROWS_AT_ONCE])
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:  # noqa: ANN401
        """The gradient is there already."""
        (gradient,) = ctx.saved_tensors
        return gradient * grads[0].to(gradient.dtype), None, None, None


def sample_words(network: Network, wanted: np.ndarray, count: int, random: np.random.Generator, always: int) -> Words:
    """The wanted words, the first `always` of the vocabulary, and `count` more at random."""
    vocabulary = network.arch.target_vocabulary
    device = network.output_words.device
    if len(wanted) + count + always >= vocabulary:
        ids = np.arange(vocabulary)
    else:
        ids = np.unique(np.concatenate([wanted.ravel(), np.arange(always), random.integers(0, vocabulary, count)]))
    number = np.zeros(vocabulary, np.int64)
    number[ids] = np.arange(len(ids))
    chosen = torch.from_numpy(ids).to(device)
    bias = network.output_bias[chosen] if network.arch.output_bias else torch.zeros(len(ids), device=device)
    return Words(network.output_words[chosen], bias, torch.from_numpy(number).to(device), chosen)


@dataclass(frozen=True)
class Inputs:
    """A batch as tensors."""

    encoded: Tensor
    """[G * S, d]"""
    places: Tensor
    """[G, S]"""
    src_mask: Tensor
    """[G, 1, 1, S]"""
    source_lengths: Tensor
    targets: Tensor
    """[G, T]"""
    is_target: Tensor
    """[G, T]: False for padding."""
    decoded: Tensor
    """[words of the targets, d]"""


def inputs_of(batch: Batch, device: torch.device, dtype: torch.dtype) -> Inputs:
    """A batch on a device."""
    width = batch.encoded.shape[-1]
    source_lengths = torch.from_numpy(batch.source_lengths).to(device)
    lengths = torch.from_numpy(batch.target_lengths).to(device)
    targets = torch.from_numpy(batch.targets).to(device)
    is_target = torch.arange(targets.shape[1], device=device) < lengths.unsqueeze(-1)
    sources = batch.sources.shape
    return Inputs(
        encoded=torch.from_numpy(batch.encoded).to(device, dtype).reshape(-1, width),
        places=torch.arange(sources[0] * sources[1], device=device).reshape(sources),
        src_mask=source_mask(source_lengths, sources[1]).to(dtype),
        source_lengths=source_lengths,
        targets=targets,
        is_target=is_target,
        decoded=torch.from_numpy(batch.decoded).to(device)[is_target].to(dtype),
    )


def divergence(x: Tensor, wanted: Tensor, words: Words) -> Tensor:
    """Mean over rows [n, d] of the cross-entropy with the teacher's rows [n, d], or with words [n]."""
    total: Tensor = _Divergence.apply(x, wanted, words.rows.to(x.dtype), words.bias.to(x.dtype))
    return total / len(x)


class Autoregressive(nn.Module):
    """A decoder that reads what it wrote: its next word is to be as probable as the teacher holds it."""

    def __init__(self, network: Network, start_id: int) -> None:
        super().__init__()
        self.network, self.start_id = network, start_id

    def forward(self, given: Inputs, words: Words) -> Tensor:
        """The loss of one batch."""
        read = torch.cat([torch.full_like(given.targets[:, :1], self.start_id), given.targets[:, :-1]], 1)
        rows = self.network.forced(read, self.network.cross(given.encoded, given.places), given.src_mask)
        return divergence(rows[given.is_target.flatten()], given.decoded.to(rows.dtype), words)

    def wanted(self, batch: Batch) -> Ints:
        """Words that must take part."""
        return batch.targets

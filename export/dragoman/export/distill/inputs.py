"""What a step of a training reads, whichever decoder it trains: a batch as tensors, and the words that take part.

Only a sample of the vocabulary takes part in a step: the batch's own words and words drawn at random. Their rows of the
output layer are the teacher's, frozen.

Shapes: G sources, S source positions, T target positions, C words that take part.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dragoman.export.distill.corpus import Batch
from dragoman.export.distill.teacher_rows import source_mask
from dragoman.export.network.network import Network

REVEALED = (0.5, 0.3)
"""Share of the wrong places that glancing gives away, at the first step of a training and at the last."""


@dataclass(frozen=True)
class Words:
    """The part of the output layer that takes part in a step."""

    rows: Tensor
    """[C, d]"""
    bias: Tensor
    """[C]"""
    number: Tensor
    """[V]: which of the rows a word has; anything for a word that does not take part."""
    ids: Tensor
    """[C], sorted"""


def sample_words(network: Network, wanted: np.ndarray, count: int, random: np.random.Generator, first: int) -> Words:
    """The wanted words, the `first` of the vocabulary, and `count` more at random."""
    vocabulary = network.arch.target_vocabulary
    drawn = random.integers(0, vocabulary, count)
    ids = np.unique(np.concatenate([wanted.ravel(), np.arange(min(first, vocabulary)), drawn]))
    number = np.zeros(vocabulary, np.int64)
    number[ids] = np.arange(len(ids))
    device = network.output_words.device
    chosen = torch.from_numpy(ids).to(device)
    rows = network.output_words.detach()[chosen]
    bias = network.output_bias.detach()[chosen] if network.arch.output_bias else rows.new_zeros(len(ids))
    return Words(rows, bias, torch.from_numpy(number).to(device), chosen)


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
    """[G]"""
    targets: Tensor
    """[G, T]: each ends with the end token."""
    target_lengths: Tensor
    """[G]"""
    decoded: Tensor
    """[G, T, d]"""
    progress: float
    """Share of all steps that are done."""

    @property
    def is_target(self) -> Tensor:
        """[G, T]: False for padding."""
        return up_to(self.target_lengths, self.targets.shape[1])


def up_to(lengths: Tensor, longest: int) -> Tensor:
    """[G, longest]: whether a place belongs to its sequence."""
    return torch.arange(longest, device=lengths.device) < lengths.unsqueeze(-1)


def glanced(wrong: Tensor, progress: float) -> Tensor:
    """How probable it is that a place is shown, given the share of places that a first try got wrong."""
    return wrong * (REVEALED[0] + (REVEALED[1] - REVEALED[0]) * progress)


def inputs_of(batch: Batch, progress: float, device: torch.device, dtype: torch.dtype) -> Inputs:
    """A batch on a device."""
    width, sources = batch.encoded.shape[-1], batch.sources.shape
    source_lengths = torch.from_numpy(batch.source_lengths).to(device)
    return Inputs(
        encoded=torch.from_numpy(batch.encoded).to(device, dtype).reshape(-1, width),
        places=torch.arange(sources[0] * sources[1], device=device).reshape(sources),
        src_mask=source_mask(source_lengths, sources[1]).to(dtype),
        source_lengths=source_lengths,
        targets=torch.from_numpy(batch.targets).to(device),
        target_lengths=torch.from_numpy(batch.target_lengths).to(device),
        decoded=torch.from_numpy(batch.decoded).to(device, dtype),
        progress=progress,
    )

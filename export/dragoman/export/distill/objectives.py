"""What each kind of student learns from a batch: a loss, given the frozen words that it shares with the teacher.

Only a sample of the vocabulary takes part in a step: the batch's own words and words drawn at random. All objectives
are torch modules, so that a trainer can run them with weights of another precision.

Shapes: G sources, S source positions, T target positions, U places of a CTC canvas, C words that take part.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dragoman.export.distill.corpus import Batch
from dragoman.export.distill.products import divergence, log_normaliser, most_probable
from dragoman.export.distill.states import source_mask
from dragoman.export.nat import NatDecoder, decoder_of
from dragoman.export.network import MASKED, Network

LENGTH_WEIGHT = 0.1
REVEALED = (0.5, 0.3)
"""Share of what is still wrong that glancing gives away, at the first step and at the last."""


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


class Autoregressive(nn.Module):
    """A decoder that reads what it wrote: each next word is to be as probable as the teacher holds it."""

    def __init__(self, network: Network, start_id: int) -> None:
        super().__init__()
        self.network, self.start_id = network, start_id

    def forward(self, given: Inputs, words: Words) -> Tensor:
        """The loss of one batch."""
        read = torch.cat([torch.full_like(given.targets[:, :1], self.start_id), given.targets[:, :-1]], 1)
        rows = self.network.forced(read, self.network.cross(given.encoded, given.places), given.src_mask)
        is_target = given.is_target
        rows, teacher = rows[is_target.flatten()], given.decoded[is_target]
        return divergence(rows, teacher, words.rows, words.bias) / len(rows)


class Ctc(nn.Module):
    """A canvas that the source makes, whose places put out a word or a blank; repeats count once."""

    def __init__(self, network: Network, name: str, eos_id: int) -> None:
        super().__init__()
        self.network, self.name, self.eos_id = network, name, eos_id

    def forward(self, given: Inputs, words: Words) -> Tensor:
        """The loss of one batch: -log P(target) a target word, glancing at some of the words of a first try."""
        decoder, scale = decoder_of(self.network, self.name), self.network.arch.embedding_scale
        cross = decoder.memory(given.encoded, given.places)
        canvas = decoder.upsample(self.network, given.encoded, given.places)
        labels = Labels.of(given, words, self.eos_id)
        share = REVEALED[0] + (REVEALED[1] - REVEALED[0]) * given.progress
        with torch.no_grad():
            logp = self._logp(decoder, canvas, given, cross, labels, words)
            gamma = labels.posterior(logp, decoder.nat.upsample * given.source_lengths)[0]
            oracle, guess = gamma.argmax(-1), logp.argmax(-1)
            is_place = up_to(decoder.nat.upsample * given.source_lengths, logp.shape[1])
            wrong = ((oracle != guess) & is_place).sum(1, keepdim=True) / is_place.sum(1, keepdim=True)
            shown = (torch.rand(oracle.shape, device=oracle.device) < share * wrong) & (oracle > 0) & is_place
            place, label = shown.nonzero(as_tuple=True)
            seen = labels.ids[place, oracle[place, label] - 1]
        vectors = F.embedding(seen, self.network.target_words) * scale + F.embedding(label, decoder.canvas_positions)
        canvas = canvas.reshape(*shown.shape, -1).index_put((place, label), vectors.to(canvas.dtype))
        logp = self._logp(decoder, canvas.flatten(0, 1), given, cross, labels, words)
        gamma, _ = labels.posterior(logp.detach(), decoder.nat.upsample * given.source_lengths)
        return -(gamma * logp).sum() / given.target_lengths.sum()

    def _logp(
        self, decoder: NatDecoder, canvas: Tensor, given: Inputs, cross: list[Tensor], labels: Labels, words: Words
    ) -> Tensor:
        """Log-probability of the blank and of each label [G, U, 1 + labels]."""
        count, longest = given.places.shape[0], given.places.shape[1] * decoder.nat.upsample
        mask = source_mask(decoder.nat.upsample * given.source_lengths, longest).to(canvas.dtype)
        x = decoder.run(canvas, (count, longest), mask, cross, given.src_mask)
        blank = decoder.blank_logit(x)
        assert blank is not None
        normaliser = torch.logaddexp(log_normaliser(x, words.rows, words.bias), blank.squeeze(-1).float())
        named = x.reshape(count, longest, -1) @ words.rows.to(x.dtype)[labels.numbers].transpose(1, 2)
        named = named.float() + words.bias[labels.numbers].unsqueeze(1)
        logits = torch.cat([blank.float().reshape(count, longest, 1), named], -1)
        return logits - normaliser.reshape(count, longest, 1)


@dataclass(frozen=True)
class Labels:
    """The targets of a batch, each in an alphabet of its own: label 0 is the blank, one for each different word."""

    ids: Tensor
    """[G, labels]: the word of each label but the blank."""
    numbers: Tensor
    """[G, labels]: which of the words that take part it is."""
    sequence: Tensor
    """[G, T]: labels, from 1."""
    lengths: Tensor
    """[G]: without the end token."""

    @classmethod
    def of(cls, given: Inputs, words: Words, eos_id: int) -> Labels:
        """The label of a word is where it first stands."""
        ids = given.targets.masked_fill(~up_to(given.target_lengths - 1, given.targets.shape[1]), eos_id)
        first = (ids.unsqueeze(2) == ids.unsqueeze(1)).int().argmax(2)
        return cls(ids, words.number[ids], first + 1, given.target_lengths - 1)

    def posterior(self, logp: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """How probable each label is in each place, given that the target comes out [G, U, 1 + labels]; -log P [G].

        torch gives the gradient of log P as if the log-probabilities were all that there are: exp(logp) less what is
        wanted. Padding has none, nor has a target that does not fit.
        """
        logp = logp.detach().requires_grad_()
        with torch.enable_grad():
            lost = F.ctc_loss(
                logp.transpose(0, 1), self.sequence, places, self.lengths, reduction="none", zero_infinity=True
            )
            (gradient,) = torch.autograd.grad(lost.sum(), logp)
        fits = (gradient != 0).any(-1, keepdim=True)
        return torch.where(fits, logp.detach().exp() - gradient, 0), lost.detach()


class MaskPredict(nn.Module):
    """A canvas of masks and words whose masked places are filled, and how long a canvas must be."""

    def __init__(self, network: Network, name: str, eos_id: int) -> None:
        super().__init__()
        self.network, self.name, self.eos_id = network, name, eos_id

    def forward(self, given: Inputs, words: Words) -> Tensor:
        """The loss of one batch: of the masked words, and of the lengths."""
        decoder = decoder_of(self.network, self.name)
        mask_id = decoder.nat.mask_id
        assert mask_id is not None
        cross = decoder.memory(given.encoded, given.places)
        targets, is_place, hidden = self._noise(decoder, given, cross, words)
        x = self._run(decoder, torch.where(hidden, mask_id, targets), is_place, cross, given)
        rows, right = x[hidden.flatten()], words.number[targets[hidden]]
        named = (rows * words.rows.to(rows.dtype)[right]).sum(-1).float() + words.bias[right]
        loss = (log_normaliser(rows, words.rows, words.bias) - named).mean()
        if not decoder.nat.length_classes:
            return loss
        logits = decoder.length_logits(given.encoded, given.places, given.src_mask).float()
        longer = given.target_lengths - (given.source_lengths if decoder.nat.length_offset else 0)
        middle = decoder.nat.length_classes // 2 if decoder.nat.length_offset else 0
        wanted = (longer + middle).clamp(0, decoder.nat.length_classes - 1)
        return loss + LENGTH_WEIGHT * F.cross_entropy(logits, wanted)

    def _noise(
        self, decoder: NatDecoder, given: Inputs, cross: list[Tensor], words: Words
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Canvas words [G, T], which places are canvas, and which of them are hidden.

        A third of the texts each: all hidden, then some shown where a first try was wrong; any number hidden; all
        hidden behind a beginning, as a draft reads it, where all behind the end is the end token.
        """
        device, (count, _) = given.targets.device, given.targets.shape
        block = decoder.nat.block
        targets = F.pad(given.targets, (0, block), value=self.eos_id)
        kind = torch.randint(0, 3 if block else 2, (count, 1), device=device)
        lengths = given.target_lengths.unsqueeze(1)
        place = torch.arange(targets.shape[1], device=device).expand_as(targets)
        targets = targets.masked_fill(place >= lengths, self.eos_id)
        last = int(decoder.nat.last_id is not None)  # it is never hidden
        inner = place < lengths - last
        begin = (torch.rand(count, 1, device=device) * lengths).long()
        is_place = torch.where(kind == 2, place < begin + max(1, block), place < lengths)
        # Any number of places: those of the lowest draws.
        draw = torch.rand(targets.shape, device=device).masked_fill(~inner, 2.0)
        number = 1 + (torch.rand(count, 1, device=device) * (lengths - last)).long()
        some = (draw.argsort(1).argsort(1) < number) & inner
        hidden = torch.where(kind == 2, is_place & (place >= begin), torch.where(kind == 1, some, inner))
        with torch.no_grad():
            mask_id = decoder.nat.mask_id
            assert mask_id is not None
            x = self._run(decoder, torch.where(hidden, mask_id, targets), is_place, cross, given)
            guess = words.ids[most_probable(x, words.rows, words.bias)].reshape(targets.shape)
            wrong = ((guess != targets) & hidden).sum(1, keepdim=True) / hidden.sum(1, keepdim=True).clamp(min=1)
            share = REVEALED[0] + (REVEALED[1] - REVEALED[0]) * given.progress
            shown = (kind == 0) & (torch.rand(targets.shape, device=device) < share * wrong)
        return targets, is_place, hidden & ~shown

    def _run(self, decoder: NatDecoder, canvas: Tensor, is_place: Tensor, cross: list[Tensor], given: Inputs) -> Tensor:
        x = decoder.embed(self.network, canvas)
        mask = (~is_place)[:, None, None].to(x.dtype) * MASKED
        return decoder.run(x, (canvas.shape[0], canvas.shape[1]), mask, cross, given.src_mask)

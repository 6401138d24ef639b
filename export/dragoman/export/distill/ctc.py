"""What a decoder of CTC learns: that its places together put out the target, wherever each word may stand.

Shapes: G sources, T target positions, U places of a canvas.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dragoman.export.distill.objectives import Inputs, Words, glanced, up_to
from dragoman.export.distill.products import log_normaliser
from dragoman.export.distill.states import source_mask
from dragoman.export.nat import NatDecoder, decoder_of
from dragoman.export.network import Network


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
        with torch.no_grad():
            logp = self._logp(decoder, canvas, given, cross, labels, words)
            gamma = labels.posterior(logp, decoder.nat.upsample * given.source_lengths)[0]
            oracle, guess = gamma.argmax(-1), logp.argmax(-1)
            is_place = up_to(decoder.nat.upsample * given.source_lengths, logp.shape[1])
            wrong = ((oracle != guess) & is_place).sum(1, keepdim=True) / is_place.sum(1, keepdim=True)
            drawn = torch.rand(oracle.shape, device=oracle.device) < glanced(wrong, given.progress)
            shown = drawn & (oracle > 0) & is_place
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

"""What a decoder of CTC learns: that its places together spell the target, wherever each word may stand.

Shapes: G sources, T target positions, U places of a canvas.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dragoman.export.distill.inputs import Inputs, Words, glanced, up_to
from dragoman.export.distill.output_layer import log_normaliser, most_probable
from dragoman.export.network.nat import NatDecoder, decoder_of
from dragoman.export.network.network import Network

LATER = 0.5
"""Share of the texts whose canvas shows the student's own words, as in a further pass."""


class Ctc(nn.Module):
    """A canvas that the source makes, each of whose places emits a word or a blank; repeats count once."""

    def __init__(self, network: Network, name: str, eos_id: int) -> None:
        super().__init__()
        self.network, self.name, self.eos_id = network, name, eos_id
        assert decoder_of(network, name).nat.refines, "it learns to read words as well"

    def forward(self, given: Inputs, words: Words) -> Tensor:
        """The loss of one batch: -log P(target) a target word, some of which its canvas shows.

        Half of the texts glance at the target: they learn what a first pass must say. The other half read what the
        student itself would say, as further passes do, and learn to mend it.
        """
        decoder = decoder_of(self.network, self.name)
        labels = Labels.of(given, words, self.eos_id)
        places = decoder.nat.upsample * given.source_lengths
        with torch.no_grad():
            x = self._read(decoder, given)
            logp = self._logp(decoder, x, labels, words)
            is_place = up_to(places, logp.shape[1])
            oracle = labels.posterior(logp, places)[0].argmax(-1)
            wrong = ((oracle != logp.argmax(-1)) & is_place).sum(1, keepdim=True) / is_place.sum(1, keepdim=True)
            drawn = torch.rand(oracle.shape, device=oracle.device) < glanced(wrong, given.progress)
            right = labels.ids.gather(1, (oracle - 1).clamp(min=0)).masked_fill((oracle == 0) | ~drawn, self.nothing)
            is_later = torch.rand(wrong.shape, device=wrong.device) < LATER
            shown = torch.where(is_later, self._said(decoder, x, words).reshape(oracle.shape), right)
            shown = shown.masked_fill(~is_place, self.nothing)
        logp = self._logp(decoder, self._read(decoder, given, shown), labels, words)
        gamma, _ = labels.posterior(logp.detach(), places)
        return -(gamma * logp).sum() / given.target_lengths.sum()

    @property
    def nothing(self) -> int:
        """The id in a place that shows no word."""
        return self.network.arch.target_vocabulary

    def _read(self, decoder: NatDecoder, given: Inputs, shown: Tensor | None = None) -> Tensor:
        """Hidden rows of canvases [G * U, d]."""
        return decoder.read(self.network, given.encoded, given.places, given.src_mask, shown)

    def _logp(self, decoder: NatDecoder, x: Tensor, labels: "Labels", words: Words) -> Tensor:
        """Log-probability of the blank and of each label [G, U, 1 + labels]."""
        count, blank = len(labels.ids), decoder.blank_logit(x)
        assert blank is not None
        normaliser = torch.logaddexp(log_normaliser(x, words.rows, words.bias), blank.squeeze(-1).float())
        named = x.reshape(count, -1, x.shape[-1]) @ words.rows.to(x.dtype)[labels.numbers].transpose(1, 2)
        named = named.float() + words.bias[labels.numbers].unsqueeze(1)
        logits = torch.cat([blank.float().reshape(count, -1, 1), named], -1)
        return logits - normaliser.reshape(count, -1, 1)

    def _said(self, decoder: NatDecoder, x: Tensor, words: Words) -> Tensor:
        """The most probable word of each row [n], and `nothing` where a blank is more probable."""
        best, blank = most_probable(x, words.rows, words.bias), decoder.blank_logit(x)
        assert blank is not None
        logits = (x * words.rows.to(x.dtype)[best]).sum(-1) + words.bias[best]
        return words.ids[best].masked_fill(blank.squeeze(-1) > logits, self.nothing)


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
    """[G]: how many labels each target has, the end token left out."""

    @classmethod
    def of(cls, given: Inputs, words: Words, eos_id: int) -> "Labels":
        """The label of a word is where it first stands."""
        ids = given.targets.masked_fill(~up_to(given.target_lengths - 1, given.targets.shape[1]), eos_id)
        first = (ids.unsqueeze(2) == ids.unsqueeze(1)).int().argmax(2)
        return cls(ids, words.number[ids], first + 1, given.target_lengths - 1)

    def posterior(self, logp: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """How probable each label is in each place [G, U, 1 + labels], given that the target comes out; and -log P [G].

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

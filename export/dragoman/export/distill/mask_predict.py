"""What a decoder of mask-predict learns: the words behind masks, and how long a canvas must be.

Shapes: G sources, T places of a canvas.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dragoman.bundle.manifest import Nat
from dragoman.export.distill.inputs import Inputs, Words, glanced
from dragoman.export.distill.output_layer import log_normaliser, most_probable
from dragoman.export.network.nat import NatDecoder, decoder_of
from dragoman.export.network.network import MASKED, Network

LENGTH_WEIGHT = 0.1
SourceKeys = tuple[list[Tensor], Tensor, Tensor | None]
"""Keys and values, the mask of padding, and what masks show."""


class MaskPredict(nn.Module):
    """A canvas of masks and words whose masked places are filled, and how long a canvas must be."""

    def __init__(self, network: Network, name: str, eos_id: int) -> None:
        super().__init__()
        self.network, self.name, self.eos_id = network, name, eos_id

    def forward(self, given: Inputs, words: Words) -> Tensor:
        """The loss of one batch: of the masked words, and of the lengths."""
        decoder = decoder_of(self.network, self.name)
        cross = decoder.memory(given.encoded, given.places)
        targets, is_place, hidden = self._noise(decoder, given, cross, words)
        canvas = torch.where(hidden, self._masks(given, targets.shape[1]), targets)
        source = cross, given.src_mask, decoder.shown(given.encoded, given.places)
        x = self._run(decoder, canvas, is_place, source)
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

        A third of the texts each: all hidden, of which some are shown where a first try was wrong; any number hidden;
        all hidden behind a beginning, as a draft reads it, where everything behind the end is the end token.
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
        whole = (kind[:, 0] == 0).nonzero().squeeze(1)
        if len(whole):
            with torch.no_grad():
                shown = decoder.shown(given.encoded, given.places[whole])
            source = [part[whole] for part in cross], given.src_mask[whole], shown
            canvas = torch.where(hidden, self._masks(given, targets.shape[1]), targets)[whole]
            wrong = self._wrong(decoder, canvas, targets[whole], is_place[whole], hidden[whole], source, words)
            drawn = torch.rand(len(whole), targets.shape[1], device=device) < glanced(wrong, given.progress)
            hidden[whole] &= ~drawn
        return targets, is_place, hidden

    def _masks(self, given: Inputs, longest: int) -> Tensor:
        nat = decoder_of(self.network, self.name).nat
        return masks_of(nat, given.source_lengths, given.target_lengths, longest)

    @torch.no_grad()
    def _wrong(
        self,
        decoder: NatDecoder,
        canvas: Tensor,
        targets: Tensor,
        is_place: Tensor,
        hidden: Tensor,
        source: SourceKeys,
        words: Words,
    ) -> Tensor:
        """Share of the hidden words that a first try gets wrong [G, 1]."""
        x = self._run(decoder, canvas, is_place, source)
        guess = words.ids[most_probable(x, words.rows, words.bias)].reshape(targets.shape)
        return ((guess != targets) & hidden).sum(1, keepdim=True) / hidden.sum(1, keepdim=True).clamp(min=1)

    def _run(self, decoder: NatDecoder, canvas: Tensor, is_place: Tensor, source: SourceKeys) -> Tensor:
        cross, src_mask, shown = source
        x = decoder.embed(self.network, canvas, shown)
        mask = (~is_place)[:, None, None].to(x.dtype) * MASKED
        return decoder.run(x, (canvas.shape[0], canvas.shape[1]), mask, cross, src_mask)


def masks_of(nat: Nat, source_lengths: Tensor, lengths: Tensor, longest: int) -> Tensor:
    """The ids of masked places [G, longest], for canvases that have `lengths` [G] places."""
    assert nat.mask_id is not None
    if nat.canvas != "shown":
        return torch.full((len(lengths), longest), nat.mask_id, device=lengths.device)
    last = (source_lengths - 1).unsqueeze(1)
    place = torch.arange(longest, device=lengths.device)
    shown = (place * last / (lengths - 1).clamp(min=1).unsqueeze(1)).round().long()
    return nat.mask_id + torch.minimum(shown, last)

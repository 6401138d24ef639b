"""The graphs of non-autoregressive decoders as torch modules: a canvas to the best words of its places.

Mask-predict has a memory graph, run once for a source, and a graph that is run for each pass and each draft; CTC does
all in one run. Both read the hidden rows that the encoder graph gives beside the other decoder's keys and values. Only
the places named by `rows` go through the output layer, which costs more than all the rest: what is padded, or stays as
it is, does not. Each graph comes over the whole vocabulary and, where the bundle has a lexical shortlist, over its
candidates.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dragoman.bundle.graphs import SHORTLIST_BLOCK, decoder_name, is_nat_memory
from dragoman.export.graphs.best_words import best_words, block_size
from dragoman.export.network.nat import NatDecoder, decoder_of
from dragoman.export.network.network import Network


class _NatGraph(nn.Module):
    """A decoder of a network, and the output layer in both forms."""

    def __init__(self, network: Network, name: str) -> None:
        super().__init__()
        self.network, self.name = network, name
        self.block = block_size(network.arch.target_vocabulary)

    @property
    def decoder(self) -> NatDecoder:
        """The decoder that this graph runs."""
        return decoder_of(self.network, self.name)

    def best(
        self, hidden: Tensor, top: Tensor, shortlist: tuple[Tensor, Tensor, Tensor] | None, source: Tensor
    ) -> list[Tensor]:
        """Log-probabilities and ids [r, k] of the best words; `source` [r] says which source each row belongs to."""
        if shortlist is None:
            values, index, normaliser = best_words(self.network.logits(hidden), top.shape[0], self.block, exact=False)
        else:
            candidates, allowed, words = shortlist
            logits = (words @ hidden.T).T + F.embedding(source, allowed)
            values, index, normaliser = best_words(logits, top.shape[0], SHORTLIST_BLOCK, exact=True)
            index = F.embedding(index, candidates.unsqueeze(-1)).squeeze(-1)
        blank = self.decoder.blank_logit(hidden)
        if blank is not None:
            peak = torch.maximum(normaliser, blank)
            # In float64: a float32 logarithm in a vector of sixteen is not the one that the number has alone.
            share = (normaliser - peak).exp().double() + (blank - peak).exp().double()
            normaliser = peak + share.log().to(peak.dtype)
            ids = torch.full_like(blank, self.network.arch.target_vocabulary, dtype=torch.int64)
            values, order = torch.cat([values, blank], -1).topk(top.shape[0])
            index = torch.cat([index, ids], -1).gather(1, order)
        return [values - normaliser, index]


class NatMemoryGraph(_NatGraph):
    """Cross-attention keys and values of the decoder's layers, and the lengths that it expects: once for a source."""

    def forward(self, hidden: Tensor, places: Tensor, src_mask: Tensor) -> list[Tensor]:
        """Keys and values; what masks show [G, S, d]; log-probabilities of lengths [G, classes]."""
        outputs = self.decoder.memory(hidden, places)
        shown = self.decoder.shown(hidden, places)
        if shown is not None:
            outputs.append(shown)
        if self.decoder.nat.length_classes:
            outputs.append(self.decoder.length_logits(hidden, places, src_mask).log_softmax(-1))
        return outputs


class NatGraph(_NatGraph):
    """One pass over canvases."""

    def forward(
        self,
        ids: Tensor,
        canvas_mask: Tensor,
        cross: list[Tensor],
        src_mask: Tensor,
        rows: Tensor,
        top: Tensor,
        candidates: Tensor | None = None,
        allowed: Tensor | None = None,
        words: Tensor | None = None,
        shown: Tensor | None = None,
    ) -> list[Tensor]:
        """`rows` [r] are places of all canvases, counted through; `allowed` is what the step graph takes."""
        shape = (ids.shape[0], ids.shape[1])
        x = self.decoder.run(self.decoder.embed(self.network, ids, shown), shape, canvas_mask, cross, src_mask)
        return self.best(F.embedding(rows, x), top, _shortlist(candidates, allowed, words), _whole(rows, ids.shape[1]))


class CtcGraph(_NatGraph):
    """Encoded sources to the best words of their canvases."""

    def forward(
        self,
        hidden: Tensor,
        places: Tensor,
        src_mask: Tensor,
        rows: Tensor,
        top: Tensor,
        candidates: Tensor | None = None,
        allowed: Tensor | None = None,
        words: Tensor | None = None,
        ids: Tensor | None = None,
    ) -> list[Tensor]:
        """`rows` [r] are places of all canvases, counted through: source position i has those from i * upsample on."""
        x = self.decoder.read(self.network, hidden, places, src_mask, None if ids is None else ids.flatten(1))
        source = _whole(rows, places.shape[1] * self.decoder.nat.upsample)
        return self.best(F.embedding(rows, x), top, _shortlist(candidates, allowed, words), source)


def _whole(places: Tensor, width: int) -> Tensor:
    """The canvas that each place lies in. The floor that `//` takes asks for signs, on a processor beside a GPU."""
    return torch.div(places, width, rounding_mode="trunc")


def _shortlist(
    candidates: Tensor | None, allowed: Tensor | None, words: Tensor | None
) -> tuple[Tensor, Tensor, Tensor] | None:
    if candidates is None or allowed is None or words is None:
        return None
    return candidates, allowed, words


def nat_module(network: Network, graph: str) -> nn.Module:
    """The torch module that a graph is exported from."""
    name = decoder_name(graph)
    if is_nat_memory(graph):
        return NatMemoryGraph(network, name)
    return (CtcGraph if decoder_of(network, name).nat.kind == "ctc" else NatGraph)(network, name)

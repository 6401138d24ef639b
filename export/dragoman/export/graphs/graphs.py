"""The graphs of a bundle, as torch modules with flat inputs and outputs, and their export to ONNX.

Input and output names are declared here once; the manifest's signatures are read back from the exported graph.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dragoman.export.network.network import Network

OPSET = 20
BLOCKS = (128, 125, 100, 64, 50, 256, 250)
"""Sizes that the vocabulary may be cut into for the two-stage search of the best words."""
SHORTLIST_BLOCK = 32
"""Candidates come in multiples of this many (the host pads)."""


def block_size(vocabulary: int) -> int | None:
    """The block that a vocabulary of this size is searched in; None where one stage does.

    At least 64 blocks are left, which is enough for the widest beam and the words that it passes over.
    """
    return next((b for b in BLOCKS if vocabulary % b == 0 and vocabulary // b >= 64), None)


def best(logits: Tensor, count: int, block: int | None, *, exact: bool) -> tuple[Tensor, Tensor, Tensor]:
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
        # In float64, because a float32 logarithm comes out otherwise in a vector of sixteen than alone.
        normaliser = peak - logits.softmax(-1).gather(1, index[:, :1]).double().log().to(logits.dtype)
    return values, index, normaliser


class EncoderGraph(nn.Module):
    """Source ids to what decoding needs of a source, once: keys and values of attention, and first states.

    Non-autoregressive decoders make their own of the hidden rows, which come last where the network has any.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, ids: Tensor, depth: Tensor, rows: Tensor, places: Tensor, src_mask: Tensor) -> list[Tensor]:
        """As `Network.read`."""
        if not len(self.network.nat):
            return self.network.read(ids, depth, rows, places, src_mask)
        hidden = self.network.encode(ids, depth, rows, places, src_mask)
        return [*self.network.cross(hidden, places), hidden]


class StepGraph(nn.Module):
    """One step over the token trees of many sources, over the whole vocabulary."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.block = block_size(network.arch.target_vocabulary)

    def forward(
        self,
        ids: Tensor,
        depth: Tensor,
        mask: Tensor | None,
        state: list[Tensor],
        cross: list[Tensor],
        src_mask: Tensor,
        chosen: Tensor,
        top: Tensor,
        slot_depth: Tensor | None = None,
        extended: Tensor | None = None,
    ) -> list[Tensor]:
        """As `Network.step`. `chosen` [G, q, m]: words whose log-probability is wanted; `top` [k]: how many best.

        With `extended` [G, S], words are those of `pointer`, and what they have instead of logits is normalised.
        """
        hidden, attention, kept = self.network.step(ids, depth, mask, state, cross, src_mask, slot_depth)
        if extended is not None:
            logp = self.network.mixed(hidden, attention, extended)
            values, index = logp.topk(top.shape[0])
            named = logp.gather(1, chosen.flatten(0, 1))
            return [values, index, named, torch.zeros_like(values[:, :1]), attention, *kept]
        logits = self.network.logits(hidden)
        values, index, normaliser = best(logits, top.shape[0], self.block, exact=False)
        named = logits.gather(1, chosen.flatten(0, 1)) - normaliser
        return [values - normaliser, index, named, normaliser, attention, *kept]


class CandidatesGraph(nn.Module):
    """The output layer's rows of candidate words. Run when the candidates change, not at every step."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, candidates: Tensor) -> list[Tensor]:
        """candidates [C] -> words [C, d], word_bias [C]."""
        bias = (
            self.network.output_bias if self.network.arch.output_bias else torch.zeros(len(self.network.output_words))
        )
        return [F.embedding(candidates, self.network.output_words), bias.index_select(0, candidates)]


class ShortlistStepGraph(nn.Module):
    """The same step with the output layer cut down to candidate words."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        ids: Tensor,
        depth: Tensor,
        mask: Tensor | None,
        state: list[Tensor],
        cross: list[Tensor],
        src_mask: Tensor,
        candidates: Tensor,
        allowed: Tensor,
        words: Tensor,
        chosen: Tensor,
        top: Tensor,
        slot_depth: Tensor | None = None,
    ) -> list[Tensor]:
        """`allowed` [G, C] holds the bias of the words that a source may say, and is very negative elsewhere.

        `chosen` counts among the candidates.
        """
        hidden, attention, kept = self.network.step(ids, depth, mask, state, cross, src_mask, slot_depth)
        logits = (words @ hidden.T).T  # [G * q, C]: the large matrix is on the left, where int8 wants it
        logits = (logits.unflatten(0, (ids.shape[0], -1)) + allowed.unsqueeze(1)).flatten(0, 1)
        # The order of addition depends on what the batch-mates add to the candidates: in float64 it does not show.
        values, index, normaliser = best(logits, top.shape[0], SHORTLIST_BLOCK, exact=True)
        named = logits.gather(1, chosen.flatten(0, 1)) - normaliser
        best_words = F.embedding(index, candidates.unsqueeze(-1)).squeeze(-1)
        return [values - normaliser, best_words, named, normaliser, attention, *kept]

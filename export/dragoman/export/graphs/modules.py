"""The graphs of a bundle as torch modules with flat inputs and outputs, which are those of `dragoman.bundle.graphs`."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dragoman.bundle.graphs import CANDIDATES, ENCODER, SHORTLIST_BLOCK, STEP, STEP_SHORTLIST, is_for_devices, is_nat
from dragoman.export.graphs.best_words import best_words, block_size
from dragoman.export.graphs.device_modules import device_module
from dragoman.export.graphs.nat_modules import nat_module
from dragoman.export.network.network import Network


class EncoderGraph(nn.Module):
    """Source ids to what decoding reads of a source: keys and values of attention, and first states.

    Non-autoregressive decoders make their own from the hidden rows, which come last where the network has any.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, ids: Tensor, depth: Tensor, rows: Tensor, places: Tensor, src_mask: Tensor) -> list[Tensor]:
        """What `Network.read` gives, and the hidden rows behind it where `nat` decoders read them."""
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
        """`Network.step` and the output layer: as many best words as `top` [k] is long, and those `chosen` [G, q, m].

        With `extended` [G, S], words may be copied: log-probabilities are those of `pointer`, which need no normaliser.
        """
        hidden, attention, kept = self.network.step(ids, depth, mask, state, cross, src_mask, slot_depth)
        seen = [] if attention is None else [attention]
        if extended is not None:
            logp = self.network.mixed(hidden, seen[0], extended)
            values, index = logp.topk(top.shape[0])
            named = logp.gather(1, chosen.flatten(0, 1))
            return [values, index, named, torch.zeros_like(values[:, :1]), *seen, *kept]
        logits = self.network.logits(hidden)
        values, index, normaliser = best_words(logits, top.shape[0], self.block, exact=False)
        named = logits.gather(1, chosen.flatten(0, 1)) - normaliser
        return [values - normaliser, index, named, normaliser, *seen, *kept]


class CandidatesGraph(nn.Module):
    """The output layer's rows and biases of candidate words."""

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
    """One step over the token trees of many sources, with the output layer cut down to candidate words."""

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
        logits = (self.network.capped(logits).unflatten(0, (ids.shape[0], -1)) + allowed.unsqueeze(1)).flatten(0, 1)
        # The order of addition depends on what the batch-mates add to the candidates: in float64 it does not show.
        values, index, normaliser = best_words(logits, top.shape[0], SHORTLIST_BLOCK, exact=True)
        named = logits.gather(1, chosen.flatten(0, 1)) - normaliser
        return [
            values - normaliser,
            candidates[index],
            named,
            normaliser,
            *([] if attention is None else [attention]),
            *kept,
        ]


MODULES: dict[str, Callable[[Network], nn.Module]] = {
    ENCODER: EncoderGraph,
    STEP: StepGraph,
    CANDIDATES: CandidatesGraph,
    STEP_SHORTLIST: ShortlistStepGraph,
}


def module_of(network: Network, graph: str) -> nn.Module:
    """The torch module that a graph is exported from."""
    if is_for_devices(graph):
        return device_module(network, graph).eval()
    return (nat_module(network, graph) if is_nat(graph) else MODULES[graph](network)).eval()

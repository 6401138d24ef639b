"""Inputs that the graphs of non-autoregressive decoders are compared on."""

import torch

from dragoman.bundle.graphs import (
    ALLOWED,
    CANDIDATE_IDS,
    CANVAS_MASK,
    CROSS,
    HIDDEN,
    IDS,
    PLACES,
    ROWS,
    SHOWN,
    SRC_MASK,
    TOP,
    decoder_name,
    is_nat_memory,
    is_over_shortlist,
    key_value_names,
)
from dragoman.export.network.nat import decoder_of
from dragoman.export.network.network import MASKED, Network

Tensors = dict[str, torch.Tensor]


def nat_inputs(network: Network, graph: str, sizes: dict[str, int], source: Tensors, padded: torch.Tensor) -> Tensors:
    """Random canvases over encoded words, half of whose places are asked for.

    `source` is what the encoder graph reads, `padded` [G, S] the same words with their padding.
    """
    decoder = decoder_of(network, decoder_name(graph))
    hidden = network.encode(**source)
    places, src_mask = source[PLACES], source[SRC_MASK]
    given: Tensors = {HIDDEN: hidden, PLACES: places, SRC_MASK: src_mask}
    if is_nat_memory(graph):
        return given
    count, length = padded.shape[0], padded.shape[1] * decoder.nat.upsample
    if decoder.nat.kind == "mask-predict":
        length = min(sizes["T"], decoder.nat.max_canvas)
        memory = decoder.memory(hidden, places)
        mask = torch.zeros(count, 1, 1, length)
        mask[::2, ..., length // 2 + 1 :] = MASKED
        names = key_value_names(CROSS, decoder.nat.layers)
        ids = torch.randint(0, network.arch.target_vocabulary, (count, length))
        ids[:, ::3] = decoder.nat.mask_id or 0
        given = {IDS: ids, CANVAS_MASK: mask, **dict(zip(names, memory, strict=True)), SRC_MASK: src_mask}
        shown = decoder.shown(hidden, places)
        if shown is not None:
            ids[:, ::3] += torch.randint(0, padded.shape[1], ids[:, ::3].shape)
            given[SHOWN] = shown
    if decoder.nat.refines:
        given[IDS] = torch.randint(0, 2 * network.arch.target_vocabulary, (*padded.shape, decoder.nat.upsample))
    if is_over_shortlist(graph):
        words = network.arch.target_vocabulary
        given[CANDIDATE_IDS] = torch.randint(0, words, (sizes["C"],))  # with repeats, as the server pads
        given[ALLOWED] = torch.randn(count, sizes["C"])
    given[ROWS] = torch.arange(0, count * length, 2)
    given[TOP] = torch.zeros(min(sizes["k"], network.arch.target_vocabulary), dtype=torch.int64)
    return given

"""What the graphs of non-autoregressive decoders are compared on."""

from __future__ import annotations

import torch

from dragoman.export.graphs.signatures import MEMORY, SHORTLIST, decoder_name
from dragoman.export.network.nat import decoder_of
from dragoman.export.network.network import MASKED, Network

Tensors = dict[str, torch.Tensor]


def nat_inputs(network: Network, graph: str, sizes: dict[str, int], source: Tensors, padded: torch.Tensor) -> Tensors:
    """Random canvases, some places of which are asked for, over encoded words.

    `source` is what the encoder graph reads, `padded` [G, S] the same words with their padding.
    """
    decoder = decoder_of(network, decoder_name(graph))
    hidden = network.encode(**source)
    places, src_mask = source["places"], source["src_mask"]
    given: Tensors = {"hidden": hidden, "places": places, "src_mask": src_mask}
    if graph.endswith(MEMORY):
        return given
    count, length = padded.shape[0], padded.shape[1] * decoder.nat.upsample
    if decoder.nat.kind == "mask-predict":
        length = min(sizes["T"], decoder.nat.max_canvas)
        memory = decoder.memory(hidden, places)
        mask = torch.zeros(count, 1, 1, length)
        mask[::2, ..., length // 2 + 1 :] = MASKED
        names = [f"cross_{x}.{n}" for n in range(decoder.nat.layers) for x in "kv"]
        ids = torch.randint(0, network.arch.target_vocabulary, (count, length))
        ids[:, ::3] = decoder.nat.mask_id or 0
        given = {"ids": ids, "canvas_mask": mask, **dict(zip(names, memory, strict=True)), "src_mask": src_mask}
        shown = decoder.shown(hidden, places)
        if shown is not None:
            ids[:, ::3] += torch.randint(0, padded.shape[1], ids[:, ::3].shape)
            given["shown"] = shown
    if decoder.nat.refines:
        given["ids"] = torch.randint(0, 2 * network.arch.target_vocabulary, (*padded.shape, decoder.nat.upsample))
    if graph.endswith(SHORTLIST):
        words = network.arch.target_vocabulary
        given["candidates"] = torch.randint(0, words, (sizes["C"],))  # with repeats, as the server pads
        given["allowed"] = torch.randn(count, sizes["C"])
    given["rows"] = torch.arange(0, count * length, 2)
    given["top"] = torch.zeros(min(sizes["k"], network.arch.target_vocabulary), dtype=torch.int64)
    return given

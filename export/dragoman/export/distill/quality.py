"""How good a student is while it is trained: greedy translations of a few sentences, in torch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dragoman.export.distill.corpus import Ragged, pad
from dragoman.export.distill.states import source_mask
from dragoman.export.network import Network

LONGEST = 3.0
"""Target words for each source word at most."""


@torch.inference_mode()
def greedy(network: Network, sources: Sequence[Sequence[int]], *, start_id: int, eos_id: int, banned: Sequence[int]) -> list[list[int]]:
    """The most probable next word, again and again, for all sources side by side."""
    device = network.source_embedding.device
    ids, lengths = pad(Ragged.of(sources), torch.arange(len(sources)).numpy())
    mask = source_mask(torch.from_numpy(lengths).to(device), ids.shape[1])
    memory = network.memory(torch.from_numpy(ids).to(device), mask)
    limit = min(int(LONGEST * ids.shape[1]), network.arch.max_positions)
    read = torch.full((len(sources), 1), start_id, device=device)
    arch, found, is_open = network.arch, [], torch.ones(len(sources), dtype=torch.bool, device=device)
    state: list[Tensor] = [torch.zeros(len(sources), arch.heads, 0, arch.head_dim, device=device)] * (2 * arch.decoder_layers)
    for t in range(limit):
        depth = torch.full((len(sources), 1), t, device=device)
        open_mask = torch.zeros(len(sources), 1, 1, t + 1, device=device)
        slots = torch.arange(t, device=device).expand(len(sources), t) if arch.positions == "relative" else None
        rows, _, kept = network.step(read, depth, open_mask, state, memory, mask, slots)
        state = [torch.cat(pair, 2) for pair in zip(state, kept, strict=True)]
        logits = network.logits(rows)
        logits[:, list(banned)] = -torch.inf
        read = logits.argmax(-1, keepdim=True)
        found.append(read)
        is_open &= read[:, 0] != eos_id
        if not is_open.any():
            break
    rows_found = torch.cat(found, 1).tolist()
    return [row[: row.index(eos_id)] if eos_id in row else row for row in rows_found]

"""The proof of a stride: at each place it says what single steps over its own words say."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from dragoman.bundle.graphs import (
    ALLOWED,
    CANDIDATE_IDS,
    CHOSEN,
    CHOSEN_LOGP,
    COUNT,
    CROSS,
    DEPTH,
    IDS,
    MASK,
    NEW,
    OWN,
    OWN_BIAS,
    SELF,
    SHORTLIST_BLOCK,
    SRC_MASK,
    STATE,
    STEP,
    STEP_SHORTLIST,
    STRIDE,
    TOPK_ID,
    TOPK_LOGP,
    signature,
)
from dragoman.bundle.manifest import Parity, Precision
from dragoman.export.graphs.arguments import example
from dragoman.export.graphs.running import encoded, looked_up, packed, session
from dragoman.export.network.network import MASKED, Network
from dragoman.export.proof.parity import check, difference

ROUNDS, SOURCES, POSITIONS, SLOTS = 5, 3, 16, 16
"""More rounds than a stride has as a rule. The pool is half full."""
SAME: dict[Precision, float] = {"fp32": 1e-3, "int8": 0.02}
"""The numbers are the same graph's: in int8, one that lies between two integers may be rounded the other way."""
Arrays = dict[str, Any]


def prove_stride(network: Network, directory: Path, precision: Precision) -> tuple[Parity, ...]:
    """The comparison of every output; raises `ParityError` where one differs."""
    stride = session(directory, STRIDE)
    names = {value.name for value in stride.get_inputs()}
    graph = STEP_SHORTLIST if CANDIDATE_IDS in names else STEP
    step = session(directory, graph)
    with torch.inference_mode():
        given = _given(network, directory, graph)
    given = {name: value for name, value in given.items() if name in {value.name for value in step.get_inputs()}}
    outputs = [value.name for value in stride.get_outputs()]
    feed = {name: value for name, value in given.items() if name in names}
    if OWN in names:  # each source may say all but the first candidates
        given[ALLOWED][:, :SHORTLIST_BLOCK] = MASKED
        places = np.arange(SHORTLIST_BLOCK, given[CANDIDATE_IDS].size)
        feed |= {OWN: np.tile(places, (SOURCES, 1)), OWN_BIAS: given[ALLOWED][:, SHORTLIST_BLOCK:]}
    if MASK in feed:
        feed[MASK] = np.concatenate([given[MASK][..., :-1], np.zeros((SOURCES, 1, 1, ROUNDS), np.float32)], 3)
    said = dict(zip(outputs, stride.run(outputs, {**feed, COUNT: np.array(ROUNDS)}), strict=True))
    # Words are compared by what the step gives those that the stride names.
    worst, half = dict.fromkeys([name for name in outputs if name != TOPK_ID], 0.0), SLOTS // 2
    worst[CHOSEN_LOGP], said[CHOSEN_LOGP] = 0.0, said[TOPK_LOGP]
    for n in range(ROUNDS):
        given[CHOSEN] = said[TOPK_ID][n][:, None]
        expected = dict(zip([v.name for v in step.get_outputs()], step.run(None, given), strict=True))
        for name in worst:
            part = said[name][:, :, n : n + 1] if name.startswith((f"{NEW}k", f"{NEW}v")) else said[name][n]
            worst[name] = max(worst[name], difference(expected[name], part, precision))
        given[IDS], given[DEPTH] = said[TOPK_ID][n][:, :1], given[DEPTH] + 1
        for name in [name for name in given if name.startswith((STATE, SELF))]:
            if name.startswith(SELF):
                given[name][:, :, half + n : half + n + 1] = expected[name.replace(SELF, NEW)]
            else:
                given[name] = expected[f"{NEW}{name}"][:, None]
        if MASK in given:
            given[MASK][..., half + n] = 0
    return check([Parity("stride and steps", name, value, SAME[precision]) for name, value in worst.items()])


def _given(network: Network, directory: Path, graph: str) -> Arrays:
    """Sources in the middle of their translation: words are random, states or nodes what the network makes of them."""
    arch, seed = network.arch, torch.Generator().manual_seed(4)
    positions = min(POSITIONS, arch.max_positions)
    sizes = {"G": SOURCES, "S": positions, "T": SLOTS, "q": 1, "k": 2, "m": 1, "C": 10 * SHORTLIST_BLOCK}
    given: Arrays = {name: value.numpy() for name, value in example(signature(arch, graph).inputs, sizes).items()}
    source = torch.randint(0, arch.source_vocabulary, (SOURCES, positions), generator=seed)
    src_mask = torch.zeros(SOURCES, 1, 1, positions)
    src_mask[::2, ..., -1] = MASKED
    given |= encoded(directory, arch, {n: v.numpy() for n, v in packed(source, src_mask).items()})
    words = torch.randint(0, arch.target_vocabulary, (SOURCES, SLOTS // 2), generator=seed)
    given |= {SRC_MASK: src_mask.numpy(), IDS: words[:, -1:].numpy(), DEPTH: np.full((SOURCES, 1), SLOTS // 2)}
    if MASK in given:
        given[MASK][..., SLOTS // 2 : -1] = MASKED
    _remember(network, given, words, src_mask)
    if graph != STEP:
        given[CANDIDATE_IDS] = np.arange(given[CANDIDATE_IDS].size) % arch.target_vocabulary
        given |= looked_up(directory, given[CANDIDATE_IDS])
    return given


def _remember(network: Network, given: Arrays, words: torch.Tensor, src_mask: torch.Tensor) -> None:
    """The pool, or the states, after these words."""
    memory = [torch.from_numpy(value) for name, value in given.items() if name.startswith(CROSS)]
    state = network.first(memory)
    if not network.arch.keeps_states:
        length = words.shape[1]
        chain = torch.full((length, length), MASKED).triu(1).expand(len(words), 1, length, length)
        *_, kept = network.step(words, torch.arange(length).expand_as(words), chain, state, memory, src_mask)
        for name, new in zip([name for name in given if name.startswith(SELF)], kept, strict=True):
            given[name][:] = F.pad(new, (0, 0, 0, SLOTS - length)).numpy()
        return
    for t in range(words.shape[1]):
        *_, kept = network.step(words[:, t : t + 1], torch.full((len(words), 1), t), None, state, memory, src_mask)
        state = [new[:, None] for new in kept]
    for n, new in enumerate(state):
        given[f"{STATE}{n}"] = new.numpy()

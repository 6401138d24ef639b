"""The proof of a stride: it says of each place what single steps over its own words say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from dragoman.bundle.manifest import Parity, Precision
from dragoman.export.graphs.graphs import SHORTLIST_BLOCK
from dragoman.export.graphs.running import encoded, packed, session
from dragoman.export.graphs.signatures import example, signature
from dragoman.export.network.network import MASKED, Network
from dragoman.export.passes.stride import COUNT, STRIDE
from dragoman.export.proof.parity import check, difference

ROUNDS, SOURCES, POSITIONS, SLOTS = 5, 3, 16, 16
"""More rounds than a stride has as a rule. The pool is half full."""
SAME: dict[Precision, float] = {"fp32": 1e-3, "int8": 0.02}
"""The numbers are the same graph's: with int8, one that lies between two integers may be rounded the other way."""
Arrays = dict[str, Any]


def prove_stride(network: Network, directory: Path, precision: Precision) -> tuple[Parity, ...]:
    """Raises where it differs."""
    stride = session(directory / f"{STRIDE}.onnx")
    names = {value.name for value in stride.get_inputs()}
    graph = "step_shortlist" if "candidates" in names else "step"
    step = session(directory / f"{graph}.onnx")
    with torch.inference_mode():
        given = _given(network, directory, graph)
    given = {name: value for name, value in given.items() if name in {value.name for value in step.get_inputs()}}
    outputs = [value.name for value in stride.get_outputs()]
    own = {name: value for name, value in given.items() if name in names}
    if "mask" in own:
        own["mask"] = np.concatenate([given["mask"][..., :-1], np.zeros((SOURCES, 1, 1, ROUNDS), np.float32)], 3)
    found = dict(zip(outputs, stride.run(outputs, {**own, COUNT: np.array(ROUNDS)}), strict=True))
    # Words are compared by what the step gives those that the stride names.
    worst, half = dict.fromkeys([name for name in outputs if name != "topk_id"], 0.0), SLOTS // 2
    worst["chosen_logp"] = 0.0
    for n in range(ROUNDS):
        given["chosen"] = found["topk_id"][n][:, None]
        found["chosen_logp"] = found["topk_logp"]
        expected = dict(zip([v.name for v in step.get_outputs()], step.run(None, given), strict=True))
        for name in worst:
            mine = found[name][:, :, n : n + 1] if name.startswith(("new_k", "new_v")) else found[name][n]
            worst[name] = max(worst[name], difference(expected[name], mine, precision))
        given["ids"], given["depth"] = found["topk_id"][n][:, :1], given["depth"] + 1
        for name in [name for name in given if name.startswith(("state.", "self_"))]:
            new = expected[name.replace("self_", "new_") if name.startswith("self_") else f"new_{name}"]
            if name.startswith("self_"):
                given[name][:, :, half + n : half + n + 1] = new
            else:
                given[name] = new[:, None]
        if "mask" in given:
            given["mask"][..., half + n] = 0
    return check([Parity("stride and steps", name, value, SAME[precision]) for name, value in worst.items()])


def _given(network: Network, directory: Path, graph: str) -> Arrays:
    """Sources in the middle of their translation: random words, states or nodes such as the network makes."""
    arch, seed = network.arch, torch.Generator().manual_seed(4)
    positions = min(POSITIONS, arch.max_positions)
    sizes = {"G": SOURCES, "S": positions, "T": SLOTS, "q": 1, "k": 2, "m": 1, "C": 10 * SHORTLIST_BLOCK}
    given: Arrays = {name: value.numpy() for name, value in example(signature(arch, graph).inputs, sizes).items()}
    source = torch.randint(0, arch.source_vocabulary, (SOURCES, positions), generator=seed)
    src_mask = torch.zeros(SOURCES, 1, 1, positions)
    src_mask[::2, ..., -1] = MASKED
    given |= encoded(directory, arch, {n: v.numpy() for n, v in packed(source, src_mask).items()})
    words = torch.randint(0, arch.target_vocabulary, (SOURCES, SLOTS // 2), generator=seed)
    given |= {"src_mask": src_mask.numpy(), "ids": words[:, -1:].numpy(), "depth": np.full((SOURCES, 1), SLOTS // 2)}
    if "mask" in given:
        given["mask"][..., SLOTS // 2 : -1] = MASKED
    _remember(network, given, words, src_mask)
    if graph != "step":
        given["candidates"] = np.arange(given["candidates"].size) % arch.target_vocabulary
        looked_up = session(directory / "candidates.onnx")
        rows = looked_up.run(None, {"candidates": given["candidates"]})
        given |= dict(zip([value.name for value in looked_up.get_outputs()], rows, strict=True))
    return given


def _remember(network: Network, given: Arrays, words: torch.Tensor, src_mask: torch.Tensor) -> None:
    """The pool, or the states, after these words."""
    memory = [torch.from_numpy(value) for name, value in given.items() if name.startswith("cross_")]
    state = network.first(memory)
    if not network.arch.keeps_states:
        length = words.shape[1]
        chain = torch.full((length, length), MASKED).triu(1).expand(len(words), 1, length, length)
        *_, kept = network.step(words, torch.arange(length).expand_as(words), chain, state, memory, src_mask)
        for name, new in zip([name for name in given if name.startswith("self_")], kept, strict=True):
            given[name][:] = F.pad(new, (0, 0, 0, SLOTS - length)).numpy()
        return
    for t in range(words.shape[1]):
        *_, kept = network.step(words[:, t : t + 1], torch.full((len(words), 1), t), None, state, memory, src_mask)
        state = [new[:, None] for new in kept]
    for n, new in enumerate(state):
        given[f"state.{n}"] = new.numpy()

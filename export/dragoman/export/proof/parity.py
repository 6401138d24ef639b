"""The proof that ends every export: the ONNX graphs compute what the torch network computes.

float32 must agree closely in every output. int8 and float16 round every activation, so single numbers differ; there the
relative error of each output as a whole is bounded. A model that fails is not written.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from dragoman.bundle.graphs import (
    CANDIDATE_IDS,
    CHOSEN,
    CROSS,
    DEPTH,
    ENCODER,
    EXTENDED,
    IDS,
    MASK,
    SELF,
    SHORTLIST_BLOCK,
    SLOT_DEPTH,
    SRC_MASK,
    STATE,
    STEP,
    STEP_SHORTLIST,
    TOPK_ID,
    WORDS,
    is_nat,
    is_over_shortlist,
    signature,
)
from dragoman.bundle.manifest import Architecture, Parity, Precision
from dragoman.export.core.errors import ExportError
from dragoman.export.graphs.arguments import arguments, example
from dragoman.export.graphs.modules import module_of
from dragoman.export.graphs.running import encoded, looked_up, packed, remembered, run, session
from dragoman.export.network.nat import decoders
from dragoman.export.network.network import MASKED, Network
from dragoman.export.network.window import several_blocks
from dragoman.export.proof.nat_parity import nat_inputs

TOLERANCE: dict[Precision, float] = {"fp32": 1e-3, "fp16": 0.01, "int8": 0.2}
"""fp32: greatest absolute difference. fp16 and int8: root of the mean squared difference over that of the values."""
SIZES = (
    {"G": 1, "S": 1, "T": 16, "q": 1, "k": 2, "m": 1, "C": 10 * SHORTLIST_BLOCK},
    {"G": 3, "S": 16, "T": 16, "q": 4, "k": 5, "m": 3, "C": 12 * SHORTLIST_BLOCK},
    {"G": 2, "S": 33, "T": 32, "q": 2, "k": 5, "m": 2, "C": 16 * SHORTLIST_BLOCK},
)


class ParityError(ExportError):
    """The exported graphs do not compute what the network computes."""


def _sizes(arch: Architecture) -> Iterator[dict[str, int]]:
    """Sizes that are compared, no longer than the network has positions; of windows one with several blocks, too."""
    for sizes in SIZES:
        yield _within(arch, sizes)
    if several_blocks(arch):
        yield {**_within(arch, SIZES[1]), "G": 2, "S": several_blocks(arch)}


def _within(arch: Architecture, sizes: dict[str, int]) -> dict[str, int]:
    """These sizes, no longer than the network has positions."""
    if arch.positions not in ("sinusoidal", "learned"):
        return sizes
    return {**sizes, "S": min(sizes["S"], arch.source_positions), "T": min(sizes["T"], arch.max_positions)}


def _source_mask(sizes: dict[str, int]) -> torch.Tensor:
    """The last position of every other source is padding."""
    mask = torch.zeros(sizes["G"], 1, 1, sizes["S"])
    if sizes["S"] > 1:
        mask[::2, ..., -1] = MASKED
    return mask


def _inputs(network: Network, graph: str, sizes: dict[str, int], seed: int) -> dict[str, torch.Tensor]:
    """Random inputs; pool slots are half open."""
    torch.manual_seed(seed)
    arch, source = network.arch, _source(network.arch, sizes, seed)
    if graph == ENCODER:
        return packed(source, _source_mask(sizes))
    if is_nat(graph):
        return nat_inputs(network, graph, sizes, packed(source, _source_mask(sizes)), source)
    vocabulary = arch.target_vocabulary
    sizes = {**sizes, "k": min(sizes["k"], vocabulary)}
    given = example(signature(arch, graph).inputs, sizes)
    for name, tensor in given.items():
        if name == IDS:
            tensor.random_(0, vocabulary)
        elif name == CHOSEN:
            tensor.random_(0, sizes["C"] if graph == STEP_SHORTLIST else vocabulary)
        elif name == EXTENDED:  # every other position holds a word that the vocabulary lacks
            tensor[:, ::2] = vocabulary + torch.arange(sizes["S"])[::2]
            tensor[:, 1::2].random_(0, vocabulary)
        elif name == DEPTH:
            tensor.random_(0, 8)
        elif name == SLOT_DEPTH:
            tensor.random_(0, max(2 * arch.relative_distance, 8))
        elif name == SRC_MASK:
            tensor.copy_(_source_mask(sizes))
        elif name == MASK:
            tensor[..., : sizes["T"] // 2] = MASKED
        elif name == CANDIDATE_IDS:
            tensor.random_(0, vocabulary)  # with repeats, as the server pads
        elif tensor.dtype == torch.float32:
            tensor.normal_()
    return given


def _source(arch: Architecture, sizes: dict[str, int], seed: int) -> torch.Tensor:
    """Random source ids [G, S]."""
    return torch.randint(
        0, arch.source_vocabulary, (sizes["G"], sizes["S"]), generator=torch.Generator().manual_seed(seed)
    )


def _decoded(network: Network, given: dict[str, torch.Tensor], memory: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    """Pool or states as decoding leaves them: the words are random, the numbers are what the network makes of them."""
    names = [n for n in given if n.startswith((STATE, SELF))]
    count, nodes = given[IDS].shape
    is_recurrent = network.arch.keeps_states
    length = nodes if is_recurrent else given[names[0]].shape[2]
    words = torch.randint(0, network.arch.target_vocabulary, (count, length))
    depth, src_mask = torch.arange(length).expand_as(words), given[SRC_MASK]
    chain = torch.full((length, length), MASKED).triu(1).expand(count, 1, length, length)
    slots = torch.zeros(count, 0, dtype=torch.long) if SLOT_DEPTH in given else None
    empty = [given[n] * 0 if is_recurrent else given[n][:, :, :0] for n in names]
    *_, kept = network.step(words, depth, None if is_recurrent else chain, empty, memory, src_mask, slots)
    return {n: t.reshape(count, length, -1) if is_recurrent else t for n, t in zip(names, kept, strict=True)}


def compare_graphs(
    network: Network, directory: Path, graphs: tuple[str, ...], precision: Precision
) -> Iterator[Parity]:
    """Every output of every graph, at several sizes."""
    for graph in graphs:
        runtime = session(directory, graph)
        names = [t.name for t in signature(network.arch, graph, decoders(network)).outputs]
        # Equal scores may come in another order, so the scores are what is compared; int8 words are integers.
        left_out = {TOPK_ID, *([WORDS] if precision == "int8" else [])}
        worst = dict.fromkeys([n for n in names if n not in left_out], 0.0)
        for seed, sizes in enumerate(_sizes(network.arch)):
            given = _inputs(network, graph, sizes, seed)
            if graph in (STEP, STEP_SHORTLIST):  # cross keys and values as the encoder makes them
                memory = network.memory(_source(network.arch, sizes, seed), _source_mask(sizes))
                named = remembered(network.arch, memory)
                given |= {n: named[n] for n in given if n.startswith(CROSS)}
                given |= _decoded(network, given, memory)
            feed = {n: v.numpy() for n, v in given.items()}
            if is_over_shortlist(graph):  # words go from graph to graph as they are stored
                given[WORDS] = F.embedding(given[CANDIDATE_IDS], network.output_words)
                stored = looked_up(directory, feed[CANDIDATE_IDS])
                feed |= {n: v for n, v in stored.items() if n in [i.name for i in runtime.get_inputs()]}
            expected = module_of(network, graph)(**arguments(given))
            computed = run(runtime, names, feed)
            for name, a, b in zip(names, expected, computed, strict=True):
                if name in worst and b.dtype in (np.float32, np.float16):
                    worst[name] = max(worst[name], difference(a.numpy(), b.astype(np.float32), precision))
        for name, value in worst.items():
            yield Parity("onnx and torch", f"{graph}/{name}", value, TOLERANCE[precision])


def compare_forms(network: Network, directory: Path, precision: Precision, start_id: int) -> Parity:
    """A forced target, step by step through the graphs, beside the network's teacher-forced pass."""
    arch, length = network.arch, 6
    sizes = {**SIZES[1], "G": 2}
    ids, src_mask = _source(arch, sizes, seed=9), _source_mask(sizes)
    target = torch.randint(0, arch.target_vocabulary, (2, length), generator=torch.Generator().manual_seed(9))
    read = torch.cat([torch.full((2, 1), start_id), target[:, :-1]], 1)
    extended = ids.clone() if arch.copies else None
    if extended is not None:
        extended[:, ::3] = arch.target_vocabulary
    full = (
        network.full(read, network.memory(ids, src_mask), src_mask, extended)
        .log_softmax(-1)
        .gather(2, target.unsqueeze(-1))
        .squeeze(-1)
    )

    source = {n: v.numpy() for n, v in packed(ids, src_mask).items()}
    step, declared = session(directory, STEP), signature(arch, STEP)
    given = {n: v.numpy() for n, v in example(declared.inputs, {**SIZES[0], "G": 2, "S": 16, "T": length}).items()}
    given |= encoded(directory, arch, source)
    given[SRC_MASK] = source[SRC_MASK]
    if extended is not None:
        given[EXTENDED] = extended.numpy()
    if MASK in given:
        given[MASK][..., :length] = MASKED
    if SLOT_DEPTH in given:
        given[SLOT_DEPTH][:] = np.arange(length)
    logps = []
    for t in range(length):
        given |= {
            IDS: read[:, t : t + 1].numpy(),
            CHOSEN: target[:, t : t + 1, None].numpy(),
            DEPTH: np.full((2, 1), t),
        }
        _, _, logp, *rest = run(step, None, given)
        logps.append(logp)
        kept = [n for n in given if n.startswith((STATE, SELF))]
        for name, new in zip(kept, rest[-len(kept) :], strict=True):
            if name.startswith(STATE):
                given[name] = new[:, None]
            else:
                given[name][:, :, t : t + 1] = new
        if MASK in given:
            given[MASK][..., t] = 0
    value = difference(full.numpy(), np.concatenate(logps, 1), precision)
    return Parity("steps and full pass", "log-probabilities", value, TOLERANCE[precision])


def difference(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32], precision: Precision) -> float:
    """Greatest absolute difference for fp32, relative error for the others."""
    if precision == "fp32":
        return float(np.abs(a - b).max())
    return float(np.sqrt(np.square(a - b).mean() / max(float(np.square(a).mean()), 1e-12)))


def prove(
    network: Network, directory: Path, graphs: tuple[str, ...], precision: Precision, start_id: int
) -> tuple[Parity, ...]:
    """All comparisons; raises `ParityError` with every line that fails."""
    with torch.inference_mode():
        lines = (
            *compare_graphs(network, directory, graphs, precision),
            *([compare_forms(network, directory, precision, start_id)] if STEP in graphs else []),
        )
    return check(lines)


def check(lines: Sequence[Parity]) -> tuple[Parity, ...]:
    """The comparisons, unless some of them fail: then all those are raised together."""
    failed = [
        f"{p.compared}: {p.tensor} differs by {p.max_difference:.3g}, allowed {p.tolerance:.3g}"
        for p in lines
        if not p.max_difference <= p.tolerance
    ]
    if failed:
        raise ParityError("the exported graphs do not compute what the network computes: " + "; ".join(failed))
    return tuple(lines)

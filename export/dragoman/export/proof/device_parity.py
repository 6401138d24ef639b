"""The proof of the graphs for devices: what they write and say beside the network, run on the processor's provider."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dragoman.bundle.graphs import (
    ATTENTION,
    CANVAS_MASK,
    CHOSEN,
    CHOSEN_LOGP,
    CROSS,
    DEPTH,
    DEVICE_ASKED,
    DEVICE_ENCODER,
    DEVICE_JOIN,
    DEVICE_STEP,
    DEVICE_STRIDE,
    DEVICE_STRIDE_STEPS,
    HIDDEN,
    IDS,
    LENGTHS,
    MASK,
    NORMALISER,
    PLACES,
    ROWS,
    SELF,
    SHOWN,
    SLOT_DEPTH,
    SLOTS,
    SRC_MASK,
    TO,
    TOP,
    TOPK_ID,
    TOPK_LOGP,
    device_lengths,
    device_nat_graph,
    key_value_names,
    nat_graph,
    written,
    written_by,
)
from dragoman.bundle.manifest import Parity, Precision
from dragoman.export.graphs.arguments import arguments
from dragoman.export.graphs.modules import module_of
from dragoman.export.graphs.running import packed, run, session
from dragoman.export.network.nat import decoder_of, decoders
from dragoman.export.network.network import MASKED, Network
from dragoman.export.proof.nat_parity import nat_inputs
from dragoman.export.proof.parity import check, difference

SAME: dict[Precision, float] = {"fp32": 1e-4, "fp16": 0.01}
"""As in `parity`, and closer in float32."""
SOURCES, POSITIONS, SLOTS_OF_A_ROW, NODES, BEST = 3, 16, 16, 2, 4
CANVAS = 11
READ = 5
"""Words that each source has read before the step that is compared."""


def prove_device(network: Network, directory: Path, precision: Precision) -> tuple[Parity, ...]:
    """Encoder, join, some steps of one node and one of two, and passes over canvases, each beside the network, and a
    stride beside steps; raises `ParityError`.
    """
    with torch.inference_mode():
        worst = _Comparison(network, directory, precision).run()
    lines = (Parity("devices and torch", name, value, SAME[precision]) for name, value in worst.items())
    return check([*lines])


class _Comparison:
    """Random sources, and random words that are read behind them."""

    def __init__(self, network: Network, directory: Path, precision: Precision) -> None:
        self.network, self.arch, self.directory, self.precision = network, network.arch, directory, precision
        self.random = torch.Generator().manual_seed(11)
        self.worst: dict[str, float] = {}
        self.layers, self.wide = self.arch.decoder_layers, self.arch.heads * self.arch.head_dim

    def note(self, name: str, expected: Tensor, computed: Any) -> None:
        """One output; the worst of each name counts."""
        value = difference(expected.numpy(), np.asarray(computed, np.float32), self.precision)
        self.worst[name] = max(self.worst.get(name, 0.0), value)

    def run(self) -> dict[str, float]:
        arch = self.arch
        positions = min(POSITIONS, arch.max_positions)
        ids = torch.randint(0, arch.source_vocabulary, (SOURCES, positions), generator=self.random)
        lengths = torch.tensor([positions, max(1, positions - 5), 1])
        is_word = torch.arange(positions) < lengths[:, None]
        src_mask = (~is_word)[:, None, None] * MASKED
        cross = self._sources(ids, lengths, is_word, src_mask)
        memory = self.network.memory(ids, src_mask)
        pool = {name: np.zeros((SOURCES, SLOTS_OF_A_ROW, self.wide), np.float32) for name in self._names(SELF)}
        state = self.network.first(memory)
        words = torch.randint(0, arch.target_vocabulary, (SOURCES, READ), generator=self.random)
        words[:, 0] = arch.target_vocabulary  # reads as zeros
        seen: list[int] = []
        where = torch.zeros(SOURCES, SLOTS_OF_A_ROW, dtype=torch.long)
        for t, slots in enumerate([[3], [0], [7], [1], [5, 2]]):
            nodes = words[:, t : t + len(slots)] if len(slots) == 1 else words[:, :NODES].flip(1)
            mask = torch.full((SOURCES, 1, len(slots), SLOTS_OF_A_ROW), MASKED)
            mask[..., seen] = 0
            for n, slot in enumerate(slots):
                mask[:, :, n, slot] = 0
            given = {IDS: nodes, DEPTH: torch.full_like(nodes, t), MASK: mask.clamp(min=-3e4), LENGTHS: lengths}
            if arch.is_relative:
                where[:, slots] = t
                given[SLOT_DEPTH] = where
            state = self._step(given, slots, memory, src_mask, state, pool, cross)
            seen += slots
        self._stride(where.numpy(), seen, lengths.numpy(), pool, cross)
        for name, nat in decoders(self.network).items():
            if nat.kind == "mask-predict":
                self._pass(name, ids, lengths, src_mask)
        return self.worst

    def _pass(self, name: str, ids: Tensor, lengths: Tensor, src_mask: Tensor) -> None:
        """A pass over canvases beside the portable graph's module, and what the encoder says of their lengths."""
        source, decoder = packed(ids, src_mask), decoder_of(self.network, name)
        sizes = {"T": CANVAS, "k": BEST}
        given = nat_inputs(self.network, nat_graph(name), sizes, source, ids)
        expected, _ = module_of(self.network, nat_graph(name))(**arguments(dict(given)))
        says = [device_lengths(name)] if decoder.nat.length_classes else []
        encoder = session(self.directory, DEVICE_ENCODER)
        hidden, *told = run(encoder, [HIDDEN, *says], {IDS: ids.numpy(), LENGTHS: lengths.numpy()})
        if says:
            rows = self.network.encode(**source)
            classes = decoder.length_logits(rows, source[PLACES], src_mask).log_softmax(-1)
            self.note(f"{DEVICE_ENCODER}/{says[0]}", classes, told[0])
        first = np.arange(len(ids))[:, None] * ids.shape[1]
        last = lengths.numpy()[:, None] - 1  # which padding reads
        places = first + np.minimum(np.arange(ids.shape[1]), last)
        feed = {name: tensor.numpy() for name, tensor in given.items() if name in (IDS, ROWS, TOP)}
        feed |= {n: given[n].clamp(min=-3e4).numpy() for n in (SRC_MASK, CANVAS_MASK)}
        feed |= {HIDDEN: hidden.reshape(ids.numel(), -1), PLACES: places}
        if SHOWN in given:
            feed[SHOWN] = np.maximum(feed[IDS] - self.arch.target_vocabulary, 0) + first
        graph = device_nat_graph(name)
        (found,) = run(session(self.directory, graph), [TOPK_LOGP], feed)
        self.note(f"{graph}/{TOPK_LOGP}", expected, found)

    def _stride(self, where: Any, seen: list[int], lengths: Any, pool: dict[str, Any], cross: dict[str, Any]) -> None:
        """A stride over what was read, beside the steps that say how likely the words are that it names."""
        free = [slot for slot in range(SLOTS_OF_A_ROW) if slot not in seen][:DEVICE_STRIDE_STEPS]
        depth = np.minimum(READ + np.arange(len(free)), self.arch.max_positions - 1)
        mask = np.full((SOURCES, 1, len(free), SLOTS_OF_A_ROW), -3e4, np.float32)
        mask[..., seen] = 0
        for n, slot in enumerate(free):
            mask[:, :, n:, slot] = 0
        where[:, free] = depth
        rows = np.repeat(np.arange(SOURCES)[None], len(free), 0)
        slots = np.stack([rows, np.repeat(np.array(free)[:, None], SOURCES, 1)], 2)
        same = {LENGTHS: lengths, TOP: np.zeros(min(BEST, self.arch.target_vocabulary), np.int64), **cross}
        same |= {SLOT_DEPTH: where} if self.arch.is_relative else {}
        given = {IDS: np.full((SOURCES, 1), self.arch.target_vocabulary), DEPTH: np.tile(depth, (SOURCES, 1))}
        feed = same | given | {MASK: mask, SLOTS: slots.reshape(-1, 2)} | pool
        names = [TOPK_LOGP, TOPK_ID, *(written_by(n, name) for n in range(len(free)) for name in pool)]
        said = dict(zip(names, run(session(self.directory, DEVICE_STRIDE), names, feed), strict=True))
        logp, words = (said[name].reshape(len(free), SOURCES, -1) for name in (TOPK_LOGP, TOPK_ID))
        step, ids = session(self.directory, DEVICE_ASKED), given[IDS]
        for n in range(len(free)):
            given = {IDS: ids, DEPTH: feed[DEPTH][:, n : n + 1], MASK: mask[:, :, n : n + 1], SLOTS: slots[n]}
            chosen = {CHOSEN: words[n][:, None]}
            best, named, *kept = run(step, [TOPK_LOGP, CHOSEN_LOGP, *map(written, pool)], same | given | chosen | pool)
            for expected in (best, named):
                self.note(f"{DEVICE_STRIDE}/{TOPK_LOGP}", torch.from_numpy(expected), logp[n])
            pool = dict(zip(pool, kept, strict=True))
            for name, expected in pool.items():
                self.note(f"{DEVICE_STRIDE}/{name}", torch.from_numpy(expected), said[written_by(n, name)])
            ids = words[n][:, :1]

    def _names(self, kind: str) -> list[str]:
        return key_value_names(kind, self.layers)

    def _sources(self, ids: Tensor, lengths: Tensor, is_word: Tensor, src_mask: Tensor) -> dict[str, Any]:
        """The encoder and the join: sources' rows in another order than they came in."""
        runtime = session(self.directory, DEVICE_ENCODER)
        (hidden,) = run(runtime, [HIDDEN], {IDS: ids.numpy(), LENGTHS: lengths.numpy()})
        rows, places = is_word.flatten().nonzero().flatten(), (is_word.flatten().cumsum(0) - 1).clamp(min=0)
        depth = torch.arange(ids.shape[1]).expand_as(ids).flatten()[rows]
        places = places.reshape(ids.shape)
        expected = self.network.encode(ids.flatten()[rows], depth, rows, places, src_mask)
        self.note(f"{DEVICE_ENCODER}/{HIDDEN}", expected, hidden.reshape(-1, hidden.shape[-1])[rows.numpy()])
        g, s = is_word.nonzero(as_tuple=True)
        feed = {HIDDEN: hidden[g.numpy(), s.numpy()], TO: np.stack([g.numpy(), s.numpy()], 1)}
        empty = np.zeros((*ids.shape, self.wide), np.float32)
        names = self._names(CROSS)
        made = run(session(self.directory, DEVICE_JOIN), [*map(written, names)], feed | dict.fromkeys(names, empty))
        for name, found, torch_found in zip(names, made, self.network.cross(expected, places), strict=True):
            turned = torch_found.transpose(2, 3) if ".k" in name or "k." in name else torch_found
            flat = turned.transpose(1, 2).flatten(2)
            self.note(f"{DEVICE_JOIN}/{name}", flat[is_word], found[is_word.numpy()])
        return dict(zip(names, made, strict=True))

    def _step(
        self,
        given: dict[str, Tensor],
        slots: list[int],
        memory: list[Tensor],
        src_mask: Tensor,
        state: list[Tensor],
        pool: dict[str, Any],
        cross: dict[str, Any],
    ) -> list[Tensor]:
        """One step of both graphs; the network's own pool in the order in which words were read, which comes back."""
        arch, q = self.arch, len(slots)
        before = state[0].shape[2]
        among = torch.full((q, q), MASKED).fill_diagonal_(0)
        mask = torch.cat([torch.zeros(q, before), among], 1).expand(SOURCES, 1, q, before + q)
        read = torch.arange(before).expand(SOURCES, -1) if arch.is_relative else None
        hidden, attention, kept = self.network.step(given[IDS], given[DEPTH], mask, state, memory, src_mask, read)
        assert attention is not None, "networks with graphs for devices attend"
        logits = self.network.logits(hidden)
        logp = logits.log_softmax(-1)
        chosen = torch.randint(0, arch.target_vocabulary, (SOURCES, q, 3), generator=self.random)
        feed = {name: tensor.numpy() for name, tensor in given.items()} | pool | cross
        feed[SLOTS] = np.array([[g, slot] for g in range(SOURCES) for slot in slots])
        feed[TOP] = np.zeros(min(BEST, arch.target_vocabulary), np.int64)
        names = [*map(written, self._names(SELF))]
        for graph, also in ((DEVICE_STEP, []), (DEVICE_ASKED, [CHOSEN_LOGP, NORMALISER, ATTENTION])):
            asked = {CHOSEN: chosen.numpy()} if also else {}
            found = dict(
                zip(
                    [TOPK_LOGP, *also, *names],
                    run(session(self.directory, graph), [TOPK_LOGP, *also, *names], feed | asked),
                    strict=True,
                )
            )
            best = logp.topk(len(feed[TOP])).values
            self.note(f"{graph}/{TOPK_LOGP}", best, found[TOPK_LOGP])
            if also:
                self.note(f"{graph}/{CHOSEN_LOGP}", logp.gather(1, chosen.flatten(0, 1)), found[CHOSEN_LOGP])
                self.note(f"{graph}/{NORMALISER}", logits.logsumexp(-1, keepdim=True), found[NORMALISER])
                self.note(f"{graph}/{ATTENTION}", attention, found[ATTENTION])
            for name, new in zip(names, kept, strict=True):
                self.note(f"{graph}/{name}", new.transpose(1, 2).flatten(2), found[name][:, slots])
        pool |= {name: found[written(name)] for name in pool}
        return [torch.cat([old, new], 2) for old, new in zip(state, kept, strict=True)]

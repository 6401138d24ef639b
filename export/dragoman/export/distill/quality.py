"""How good a student is while it is trained: translations of a few sentences, in torch, the plainest way."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dragoman.bundle.graphs import PLACES, SRC_MASK
from dragoman.bundle.manifest import Tokenizer
from dragoman.export.distill.corpus import Ragged, pad
from dragoman.export.distill.evaluation import EvaluationSet, scores
from dragoman.export.distill.mask_predict import masks_of
from dragoman.export.distill.pieces import Pieces
from dragoman.export.distill.teacher_rows import source_mask
from dragoman.export.graphs.running import packed
from dragoman.export.network.nat import NatDecoder, decoder_of
from dragoman.export.network.network import MASKED, Network

LINES, MOST_IDS = 100, 60
LONGEST = 3
"""Target words for each source word at most."""
Sentences = Sequence[Sequence[int]]


def _padded(network: Network, sources: Sentences) -> tuple[Tensor, Tensor, Tensor]:
    """The encoder's rows [n, d], which of them stands where [G, S], and the mask of padding."""
    ids, lengths = pad(Ragged.of(sources), np.arange(len(sources)))
    mask = source_mask(torch.from_numpy(lengths), ids.shape[1])
    given = {
        name: value.to(network.source_embedding.device) for name, value in packed(torch.from_numpy(ids), mask).items()
    }
    return network.encode(**given), given[PLACES], given[SRC_MASK]


@torch.inference_mode()
def greedy(
    network: Network, sources: Sentences, *, start_id: int, eos_id: int, banned: Sequence[int]
) -> list[list[int]]:
    """The most probable next word, again and again, for all sources side by side."""
    hidden, places, mask = _padded(network, sources)
    memory, count, device, arch = network.cross(hidden, places), len(sources), hidden.device, network.arch
    state = [torch.zeros(count, arch.key_heads, 0, arch.head_dim, device=device)] * (2 * arch.decoder_layers)
    read = torch.full((count, 1), start_id, device=device)
    said, is_open = [], torch.ones(count, dtype=torch.bool, device=device)
    for t in range(min(LONGEST * places.shape[1], arch.max_positions)):
        depth = torch.full((count, 1), t, device=device)
        slots = torch.arange(t, device=device).expand(count, t) if arch.is_relative else None
        opened = torch.zeros(count, 1, 1, t + 1, device=device)
        rows, _, kept = network.step(read, depth, opened, state, memory, mask, slots)
        state = [torch.cat(pair, 2) for pair in zip(state, kept, strict=True)]
        logits = network.logits(rows)
        logits[:, list(banned)] = -torch.inf
        read = logits.argmax(-1, keepdim=True)
        said.append(read)
        is_open &= read[:, 0] != eos_id
        if not is_open.any():
            break
    return [_until(row, eos_id) for row in torch.cat(said, 1).tolist()]


def _until(row: list[int], end: int) -> list[int]:
    return row[: row.index(end)] if end in row else row


@torch.inference_mode()
def ctc(network: Network, name: str, sources: Sentences, banned: Sequence[int]) -> list[list[int]]:
    """The most probable word or blank of each place; the first of a run of equal ones is kept, and no blank is."""
    decoder = decoder_of(network, name)
    hidden, places, mask = _padded(network, sources)
    blank, upsample = decoder.nat.blank_id, decoder.nat.upsample
    lengths = upsample * (mask[:, 0, 0] == 0).sum(1)
    shape = places.shape[0], places.shape[1] * upsample
    logits = decoder.logits(network, decoder.read(network, hidden, places, mask))
    logits[:, list(banned)] = -torch.inf
    best = logits.argmax(-1).reshape(shape)
    before = torch.nn.functional.pad(best, (1, 0), value=-1)[:, :-1]
    kept = (best != before) & (best != blank)
    rows = zip(best.tolist(), kept.tolist(), lengths.tolist(), strict=True)
    return [[word for word, keep in zip(row[:n], keeps[:n], strict=True) if keep] for row, keeps, n in rows]


@torch.inference_mode()
def mask_predict(
    network: Network, name: str, sources: Sentences, banned: Sequence[int], passes: int, eos_id: int
) -> list[list[int]]:
    """A canvas of the most probable length, filled; each further pass fills the least probable words again."""
    decoder = decoder_of(network, name)
    hidden, places, mask = _padded(network, sources)
    lengths = _lengths(decoder, hidden, places, mask)
    longest, last = int(lengths.max()), decoder.nat.last_id
    place = torch.arange(longest, device=hidden.device)
    inner = place < (lengths - int(last is not None)).unsqueeze(1)
    masks = masks_of(decoder.nat, (mask[:, 0, 0] == 0).sum(1), lengths, longest)
    shown = decoder.shown(hidden, places)
    canvas = torch.where(inner, masks, eos_id if last is None else last)
    is_hidden = inner
    canvas_mask = (place >= lengths.unsqueeze(1))[:, None, None].float() * MASKED
    cross, score = decoder.memory(hidden, places), torch.full(canvas.shape, torch.inf, device=hidden.device)
    for done in range(passes):
        x = decoder.run(decoder.embed(network, canvas, shown), (len(sources), longest), canvas_mask, cross, mask)
        logits = decoder.logits(network, x)
        logits[:, list(banned)] = -torch.inf
        logp, word = (value.reshape(canvas.shape) for value in logits.log_softmax(-1).max(-1))
        canvas, score = torch.where(is_hidden, word, canvas), torch.where(is_hidden, logp, score)
        again = (inner.sum(1) * (passes - done - 1) // passes).unsqueeze(1)
        rank = score.argsort(dim=1, stable=True).argsort(1)
        if done < passes - 1:
            is_hidden = (rank < again) & inner
            canvas = torch.where(is_hidden, masks, canvas)
    return [_until(row, eos_id) for row in torch.where(inner, canvas, eos_id).tolist()]


def _lengths(decoder: NatDecoder, hidden: Tensor, places: Tensor, mask: Tensor) -> Tensor:
    """Lengths of the canvases [G], all that surrounds a text included."""
    number = decoder.length_logits(hidden, places, mask).argmax(-1)
    if decoder.nat.length_offset:
        number = number + (mask[:, 0, 0] == 0).sum(1) - decoder.nat.length_classes // 2
    return number.clamp(2, decoder.nat.max_canvas)


class Sample:
    """Some sentences of the evaluation set, translated again and again while a student is trained."""

    def __init__(self, tokenizer: Tokenizer, pieces: Pieces, test: EvaluationSet) -> None:
        self.tokenizer, self._pieces = tokenizer, pieces
        ids = [[*pieces.source(text), tokenizer.eos_id] for text in test.sources]
        chosen = [n for n, source in enumerate(ids) if 1 < len(source) <= MOST_IDS][:LINES]
        self._sources = [ids[n] for n in chosen]
        self._references = [test.references[n] for n in chosen]

    def scores(self, network: Network, kind: str) -> dict[str, float]:
        """BLEU and chrF; for mask-predict with the number of passes behind their names."""
        words = self.tokenizer
        banned = (words.unk_id, *words.suppressed_ids)
        if kind == "autoregressive":
            targets = greedy(network, self._sources, start_id=words.start_id, eos_id=words.eos_id, banned=banned)
            return self._compared(targets)
        if kind == "ctc":
            return self._compared(ctc(network, kind, self._sources, (*banned, words.eos_id)))
        several: dict[str, float] = {}
        for passes in (1, 4):
            filled = mask_predict(network, kind, self._sources, (*banned, words.eos_id), passes, words.eos_id)
            several |= {f"{name} {passes}": value for name, value in self._compared(filled).items()}
        return several

    def _compared(self, targets: list[list[int]]) -> dict[str, float]:
        return scores([self._pieces.text(ids) for ids in targets], self._references)

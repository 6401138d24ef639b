"""Self-attention of encoders for long sources: blocks of queries beside near keys, and what stands for all.

Positions are padded to whole blocks here, and begin where the source does. So neither a source's length nor what shares
its batch changes which block a word is in, or how many keys beside it are looked at, and every product of a block
has the same sizes always: a source's rows are the same to the last bit in every batch.

Shapes: as in `network`, with P positions that are padded to blocks, b blocks of B queries, each of which looks at W
keys.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dragoman.bundle.manifest import Architecture, Window
from dragoman.export.network.layers import Attention, Linear, make_norm
from dragoman.export.network.positions import RelativeBias

BLOCKS = (16, 32, 64)
"""Sizes of blocks, of which an encoder has the first that its reach fits in. Larger ones would cost short sources more
than they save long ones."""
GRAIN = 16
"""Sums of stretches come in multiples of this many, so that more of them, masked, change no bit of what is read."""


def block_size(window: Window) -> int:
    """How many queries are in a block."""
    return next((size for size in BLOCKS if size >= max(window.reach)), BLOCKS[-1])


def several_blocks(arch: Architecture) -> int:
    """A length that has blocks which see neither end of the source, and a part of one; 0 without windows."""
    window = arch.encoder_window
    if window is None:
        return 0
    block = block_size(window)
    return min((2 * _beside(max(window.reach), block) + 2) * block + window.summed + 3, arch.source_positions)


def traced_positions(arch: Architecture, positions: int) -> int:
    """So many positions, or several blocks more: what is traced with one block would have one for ever."""
    window = arch.encoder_window
    return positions if window is None else positions + 2 * max(block_size(window), GRAIN * window.summed)


def _beside(reach: int, block: int) -> int:
    """How many blocks on each side hold all that a block's queries see."""
    return -(-reach // block)


@dataclass(frozen=True)
class View:
    """What all layers read of the positions of one run: made once for all of them."""

    positions: int
    """S, as many as go in and come out."""
    places: Tensor
    """[G, P]."""
    mask: Tensor
    """Additive, of padding [G, P]."""
    block: int
    bands: dict[int, Tensor]
    """By reach, what is added to the scores of a block's queries for where its keys stand: [1, 1 or H, 1, B, W]."""
    seen: dict[int, Tensor]
    """By reach, the mask of the keys that each block looks at: [G, 1, b, 1, W]."""
    stretches: "Stretches | None"


@dataclass(frozen=True)
class Stretches:
    """Sums that stand for all words of a source, M of them."""

    words: int
    """In each stretch."""
    counted: Tensor
    """1 for words and 0 for padding [G, M, words, 1]."""
    takes_next: Tensor
    """1 for the last whole stretch of a source, to which what is left behind it belongs [G, M, 1]."""
    added: Tensor
    """To the scores of a stretch's queries, masked behind the whole ones: [G, H, M, 1, M padded]."""


class Windows(nn.Module):
    """What the layers of one encoder share."""

    def __init__(self, arch: Architecture, window: Window, masked: float) -> None:
        """`arch` has the encoder's own sizes; what is `masked` has this added."""
        super().__init__()
        self.window, self.masked, self.block = window, masked, block_size(window)
        self.grain = max(self.block, window.summed)
        self.side = RelativeBias(arch, arch.heads, two_sided=True) if window.summed else None

    def forward(self, places: Tensor, src_mask: Tensor, relative: RelativeBias | None) -> View:
        """The view of `places` [G, S] under the additive mask [G, 1, 1, S]."""
        positions = places.shape[1]
        padding = -positions % self.grain
        places = F.pad(places, (0, padding))
        mask = F.pad(src_mask[:, 0, 0], (0, padding), value=self.masked)
        hidden = torch.cat(
            [torch.full_like(mask[:, : self.window.first], self.masked), mask[:, self.window.first :]], 1
        )
        reaches = sorted({*self.window.reach})
        return View(
            positions,
            places,
            mask,
            self.block,
            {reach: self._band(reach, relative, places) for reach in reaches},
            {reach: self._seen(hidden, reach) for reach in reaches},
            None if self.side is None else self._stretches(mask, self.side),
        )

    def _band(self, reach: int, relative: RelativeBias | None, like: Tensor) -> Tensor:
        beside = _beside(reach, self.block)
        queries = torch.arange(self.block, device=like.device)[None]
        keys = torch.arange(-beside * self.block, (beside + 1) * self.block, device=like.device)[None]
        is_far = (keys.unsqueeze(1) - queries.unsqueeze(2)).abs() > reach
        band = torch.where(is_far, self.masked, 0.0)[:, None]
        return (band if relative is None else relative(queries, keys) + band).unsqueeze(2)

    def _seen(self, mask: Tensor, reach: int) -> Tensor:
        beside = _beside(reach, self.block)
        around = _around(mask.reshape(mask.shape[0], 1, -1, self.block), beside, self.masked)
        return around.unsqueeze(3)

    def _stretches(self, mask: Tensor, side: RelativeBias) -> Stretches:
        words = self.window.summed
        counted = (mask == 0).to(mask.dtype).reshape(mask.shape[0], -1, words)
        whole = (mask == 0).long().sum(1, keepdim=True) // words
        number = torch.arange(counted.shape[1], device=mask.device)[None]
        sums = torch.arange(counted.shape[1] + -counted.shape[1] % GRAIN, device=mask.device)[None]
        closed = torch.where(sums < whole, 0.0, self.masked)[:, None, None]
        # Words of a stretch that is not whole stand where the last whole one does.
        bias = side(torch.minimum(number, whole - 1), sums)
        return Stretches(
            words, counted.unsqueeze(3), (number == whole - 1).to(mask.dtype).unsqueeze(2), (bias + closed).unsqueeze(3)
        )


def _cut(x: Tensor, size: int) -> Tensor:
    """Positions [G, H, P, n] -> blocks of this size, [G, H, b, B, n]."""
    return x.reshape(*x.shape[:2], -1, size, x.shape[3])


def _around(x: Tensor, beside: int, padding: float = 0.0) -> Tensor:
    """Blocks [G, H, b, B, ...] -> each with those beside it, [G, H, b, W, ...]."""
    blocks, size = x.shape[2], x.shape[3]
    inner = (0, 0) * (x.ndim - 3)
    x = F.pad(x, (*inner, beside, beside), value=padding)
    number = torch.arange(blocks, device=x.device)[:, None] + torch.arange(2 * beside + 1, device=x.device)
    return x.index_select(2, number.flatten()).reshape(*x.shape[:2], blocks, (2 * beside + 1) * size, *x.shape[4:])


class WindowAttention(Attention):
    """The attention of one layer."""

    whole: "Whole"
    """First words' own matrices."""

    def __init__(self, arch: Architecture, window: Window, reach: int) -> None:
        super().__init__(arch, arch.heads, arch.head_dim, is_self=True)
        self.reach, self.first = reach, window.first
        if window.first:
            self.whole = Whole(arch)
        self.sum_norm = make_norm(arch) if window.summed else None

    def see(self, x: Tensor, view: View) -> Tensor:
        """Rows [n, d] -> what was read, [G * S, H * e]."""
        padded = F.embedding(view.places.flatten(), self.rows(x))
        q, k, v = self.split_rows(padded, *view.places.shape)
        beside = _beside(self.reach, view.block)
        keys, values = (_around(_cut(part, view.block), beside) for part in (k, v))
        scores = _cut(q, view.block) @ keys.transpose(3, 4)
        scores = scores + view.bands[self.reach] + view.seen[self.reach]
        others = self._others(x, q, k, v, view)
        if others is not None:
            scores = torch.cat([scores, _cut(others[0], view.block)], 4)
        weights = torch.softmax(scores, dim=-1)
        y = (weights[..., : keys.shape[3]] @ values).flatten(2, 3)
        if others is not None:
            y = y + weights[..., keys.shape[3] :].flatten(2, 3) @ others[1]
        if self.first:
            y = torch.cat([self._of_first(x, view), y[:, :, self.first :]], 2)
        return y.transpose(1, 2)[:, : view.positions].reshape(-1, self.heads * self.width)

    def _others(self, x: Tensor, q: Tensor, k: Tensor, v: Tensor, view: View) -> tuple[Tensor, Tensor] | None:
        """Scores of what every word sees, however far away it is [G, H, P, m], and its values [G, H, m, e]."""
        if self.first:
            scores = q @ k[:, :, : self.first].transpose(2, 3)
            return scores + view.mask[:, None, None, : self.first], v[:, :, : self.first]
        stretches = view.stretches
        if stretches is None:
            return None
        assert self.sum_norm is not None, "sums are normed"
        rows = F.embedding(view.places.flatten(), x).reshape(*stretches.counted.shape[:3], -1)
        sums = (rows * stretches.counted).sum(2)
        sums = sums + stretches.takes_next * F.pad(sums[:, 1:], (0, 0, 0, 1))
        sums = F.pad(sums, (0, 0, 0, -sums.shape[1] % GRAIN))
        # Of the same product as words, whose queries are of no use here.
        _, keys, values = self.split_rows(self.rows(self.sum_norm(sums.flatten(0, 1))), *sums.shape[:2])
        scores = _cut(q @ keys.transpose(2, 3), stretches.words) + stretches.added
        return scores.flatten(2, 3), values

    def _of_first(self, x: Tensor, view: View) -> Tensor:
        """What the first words read [G, H, m, e]: all of the source."""
        sources, positions = view.places.shape
        first = F.embedding(view.places[:, : self.first].flatten(), x)
        (q,) = self.split(self.whole.q(first), sources, self.first)
        k, v = self.split(F.embedding(view.places.flatten(), self.whole.kv(x)), sources, positions)
        return torch.softmax(q @ k.transpose(2, 3) + view.mask[:, None, None], dim=-1) @ v


class Whole(nn.Module):
    """The matrices of words that see all of a source; the keys' holds 1 / sqrt(e) already."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        inner = arch.heads * arch.head_dim
        self.q = Linear(arch.d_model, inner, bias=arch.linear_bias)
        self.kv = Linear(arch.d_model, 2 * inner, bias=arch.linear_bias)

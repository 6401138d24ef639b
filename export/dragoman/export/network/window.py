"""Self-attention of encoders for long sources: blocks of queries beside near keys, and what stands for all.

Positions are padded to whole blocks here, and begin where the source does. So neither a source's length nor what shares
its batch changes which block a word is in, or how many keys beside it are looked at, and every product of a block
has the same sizes always: a source's rows are the same to the last bit in every batch.
Blocks are read one behind another, in a graph by Scan: scores are never held of more than one, and lie in a
processor's cache.

Shapes: as in `network`, with P positions that are padded to blocks, b blocks of B queries, each of which looks at W
keys.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn
from torch._higher_order_ops.scan import scan
from torch.nn import functional as F

from dragoman.bundle.manifest import Architecture, Window
from dragoman.export.network.layers import Attention, Linear, make_norm
from dragoman.export.network.positions import RelativeBias

BLOCKS = (16, 32, 64)
"""Sizes of blocks, of which an encoder has the first that its reach fits in. Larger ones would cost short sources more
than they save long ones."""
GRAIN = 16
"""Sums of stretches come in multiples of this many, so that more of them, masked, change no bit of what is read."""


KEYS = 64
"""Keys of which the number varies come in multiples of this many: the sums of Softmax are then of the same parts."""


def block_size(window: Window) -> int:
    """How many queries are in a block; of stretches a part, so that a short source is not padded to a whole one."""
    if window.linked:
        return window.stretch
    if window.stretch:
        return math.gcd(BLOCKS[-1], window.stretch // 2 if window.is_staggered else window.stretch)
    return next((size for size in BLOCKS if size >= max(window.reach)), BLOCKS[-1])


def several_blocks(arch: Architecture) -> int:
    """A length that has blocks which see neither end of the source, and a part of one; 0 where no length is special."""
    window, form = arch.encoder_window, arch.encoder_attention
    if form is not None:
        return min((KEYS if form.kind == "compressed" else 4) * form.size + 3, arch.source_positions)
    if window is None:
        return 0
    block = block_size(window)
    if window.linked:
        return min(full_up_to(window) + 2 * block + 3, arch.source_positions)
    return min((2 * _beside(max(window.reach), block) + 2) * block + window.summed + 3, arch.source_positions)


def full_up_to(window: Window) -> int:
    """Words of the longest source of linked stretches that sees all of itself; 0 of others."""
    return (3 + 2 * window.linked) * window.stretch if window.linked else 0


def traced_positions(arch: Architecture, positions: int) -> int:
    """So many positions, or several blocks more: what is traced with one block would have one for ever."""
    window, form = arch.encoder_window, arch.encoder_attention
    if form is not None:
        return positions + 2 * KEYS * max(1, form.size)
    return (
        positions
        if window is None
        else positions
        + max(
            2 * block_size(window),
            2 * GRAIN * window.summed,
            full_up_to(window) + 2 * window.stretch * (window.linked > 0),
        )
    )


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
    looks: "tuple[Look, ...]"
    """What each layer looks at."""
    stretches: "Stretches | None"
    ends: "Ends | None"
    tokens: int
    """How many rows behind those of words each source has."""


@dataclass(frozen=True)
class Look:
    """Which keys the queries of each block look at in one layer."""

    block: int
    front: int
    """Blocks of padding before the first, and behind the last."""
    back: int
    numbers: Tensor
    """Numbers of blocks that each block looks at, padding counted [b, m]."""
    mask: Tensor
    """The mask of keys [b, G, W]."""
    band: Tensor | None
    """What is added to scores for where keys stand [B, W] or [H, B, W]; None where all of these blocks are seen."""

    def around(self, x: Tensor) -> Tensor:
        """Positions [G, H, P, n] -> blocks with the padding around them [G, H, front + b + back, B * n]."""
        return F.pad(in_blocks(x, self.block), (0, 0, 0, 0, self.front, self.back)).flatten(3, 4)


@dataclass(frozen=True)
class Others:
    """What every word sees, however far away it is: m keys."""

    keys: Tensor
    """[G, H, m, e]."""
    values: Tensor
    added: Tensor | None = None
    """To all scores [G, m]."""
    added_by_block: Tensor | None = None
    """To those of each part of a block [b, G, H, parts * m]."""
    parts: int = 1


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
    """To the scores of a block's queries, masked behind the whole ones, as `Others.added_by_block`."""
    parts: int
    """How many stretches have begun in a block, or one."""


@dataclass(frozen=True)
class Ends:
    """The first and last stretch of each source, which see all and which all see, and which sources see all of it."""

    counted: Tensor
    """What is added to scores of the words of both, [G, 2 * B]: the first counts several times."""
    places: Tensor
    """Where the last stretch's words are [G, B]."""
    is_last: Tensor
    """[G, 1, b, 1, 1]."""
    is_short: Tensor
    """[G, 1, 1, 1]."""
    most: int
    """Words of the longest source that is short."""


class Windows(nn.Module):
    """What the layers of one encoder share."""

    def __init__(self, arch: Architecture, window: Window, masked: float) -> None:
        """`arch` has the encoder's own sizes; what is `masked` has this added."""
        super().__init__()
        self.window, self.masked, self.block = window, masked, block_size(window)
        self.grain = math.lcm(self.block, window.summed or 1)
        self.side = RelativeBias(arch, arch.heads, two_sided=True) if window.summed else None
        if window.tokens:
            self.tokens = nn.Parameter(torch.empty(window.tokens, arch.d_model))

    def forward(self, places: Tensor, src_mask: Tensor, relative: RelativeBias | None) -> View:
        """The view of `places` [G, S] under the additive mask [G, 1, 1, S]."""
        window, positions = self.window, places.shape[1]
        padding = -positions % self.grain
        places = F.pad(places, (0, padding))
        mask = F.pad(src_mask[:, 0, 0], (0, padding), value=self.masked)
        hidden = torch.cat([torch.full_like(mask[:, : window.first], self.masked), mask[:, window.first :]], 1)
        hidden = hidden.reshape(hidden.shape[0], 1, -1, self.block)
        ends = self._ends(places, mask) if window.linked else None
        if ends is not None:
            is_first = torch.arange(hidden.shape[2], device=mask.device)[:, None] == 0
            hidden = torch.where(ends.is_last[..., 0] | is_first, self.masked, hidden)
        # Layers that see alike share what that is.
        kinds = [(reach, bool(window.is_staggered and n % 2)) for n, reach in enumerate(window.reach)]
        looks = {kind: self._look(hidden, *kind, relative) for kind in sorted({*kinds})}
        stretches = None if self.side is None else self._stretches(mask, self.side)
        return View(positions, places, mask, tuple(looks[kind] for kind in kinds), stretches, ends, window.tokens)

    def with_tokens(self, x: Tensor, sources: int) -> Tensor:
        """Rows of words, and behind them those of each source's own tokens."""
        return torch.cat([x, self.tokens.repeat(sources, 1)]) if self.window.tokens else x

    def _look(self, mask: Tensor, reach: int, is_shifted: bool, relative: RelativeBias | None) -> Look:  # noqa: FBT001
        blocks = torch.arange(mask.shape[2], device=mask.device)[:, None]
        band = None
        if self.window.linked:
            front = back = 1
            count, first = 3, blocks
        elif self.window.stretch:
            each = self.window.stretch // self.block
            shift = each // 2 if is_shifted else 0
            front, back, count = shift, each, each
            first = torch.div(blocks + shift, each, rounding_mode="floor") * each
        else:
            front = back = _beside(reach, self.block)
            count, first, band = 2 * front + 1, blocks, self._band(reach, relative, mask)
        numbers = first + torch.arange(count, device=mask.device)
        around = F.pad(mask, (0, 0, front, back), value=self.masked).index_select(2, numbers.flatten())
        around = around.reshape(mask.shape[0], mask.shape[2], count * self.block).transpose(0, 1)
        return Look(self.block, front, back, numbers, around, band)

    def _ends(self, places: Tensor, mask: Tensor) -> Ends:
        size = self.block
        words = (mask == 0).long().sum(1, keepdim=True)
        last = torch.div(words - 1, size, rounding_mode="floor")
        inside = last * size + torch.arange(size, device=mask.device)
        first = mask[:, :size] + math.log(self.window.linked)
        counted = torch.cat([first, mask.gather(1, inside)], 1)
        is_last = torch.arange(mask.shape[1] // size, device=mask.device) == last
        most = full_up_to(self.window)
        return Ends(
            counted, places.gather(1, inside), is_last[:, None, :, None, None], (words <= most)[..., None, None], most
        )

    def _band(self, reach: int, relative: RelativeBias | None, like: Tensor) -> Tensor:
        beside = _beside(reach, self.block)
        queries = torch.arange(self.block, device=like.device)[None]
        keys = torch.arange(-beside * self.block, (beside + 1) * self.block, device=like.device)[None]
        is_far = (keys.unsqueeze(1) - queries.unsqueeze(2)).abs() > reach
        band = torch.where(is_far, self.masked, 0.0)[0]
        return band if relative is None else relative(queries, keys)[0] + band

    def _stretches(self, mask: Tensor, side: RelativeBias) -> Stretches:
        words = self.window.summed
        counted = (mask == 0).to(mask.dtype).reshape(mask.shape[0], -1, words)
        whole = (mask == 0).long().sum(1, keepdim=True) // words
        number = torch.arange(counted.shape[1], device=mask.device)[None]
        sums = torch.arange(counted.shape[1] + -counted.shape[1] % GRAIN, device=mask.device)[None]
        closed = torch.where(sums < whole, 0.0, self.masked)[:, None, None]
        # Words of a stretch that is not whole stand where the last whole one does.
        added = side(torch.minimum(number, whole - 1), sums) + closed
        if words > self.block:
            added = added.unsqueeze(3).expand(-1, -1, -1, words // self.block, -1).flatten(2, 3)
        parts = max(1, self.block // words)
        added = added.reshape(*added.shape[:2], -1, parts * added.shape[3]).permute(2, 0, 1, 3)
        is_last = (number == whole - 1).to(mask.dtype)
        return Stretches(words, counted.unsqueeze(3), is_last.unsqueeze(2), added, parts)


def one_by_one(read: Callable[..., Tensor], given: tuple[Tensor, ...]) -> Tensor:
    """What `read` makes of each block, one behind another [b, ...]; blocks are the first axis of what is given."""
    if not torch.compiler.is_exporting():
        return torch.stack([read(*block) for block in zip(*given, strict=True)])
    none = torch.zeros((), dtype=torch.int64)  # there has to be something that is carried from block to block

    def step(carried: Tensor, block: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        return carried + 1, read(*block)

    return cast(Tensor, scan(step, none, given)[1])


def in_blocks(x: Tensor, size: int) -> Tensor:
    """Positions [G, H, P, n] -> blocks of this size, [G, H, b, B, n]."""
    return x.reshape(*x.shape[:2], -1, size, x.shape[3])


class WindowAttention(Attention):
    """The attention of one layer."""

    whole: "Whole"
    """First words' own matrices."""
    token_norm: nn.Module
    """Norms what tokens read."""

    def __init__(self, arch: Architecture, window: Window, number: int) -> None:
        super().__init__(arch, arch.heads, arch.head_dim, is_self=True)
        self.number, self.first = number, window.first
        if window.first:
            self.whole = Whole(arch)
        self.sum_norm = make_norm(arch) if window.summed else None
        if window.tokens:
            self.token_norm = make_norm(arch)

    def normed(self, x: Tensor, norm: nn.Module, view: View) -> Tensor:
        """Rows as attention reads them, where tokens have a norm of their own."""
        if not view.tokens:
            y: Tensor = norm(x)
            return y
        words = x.shape[0] - view.tokens * view.places.shape[0]
        return torch.cat([norm(x[:words]), self.token_norm(x[words:])])

    def see(self, x: Tensor, rows: Tensor, view: View) -> Tensor:
        """Rows [n, d] -> what each read, [n, H * e]."""
        made = self.rows(x)
        q, k, v = self.split_rows(F.embedding(view.places.flatten(), made), *view.places.shape)
        tokens, last = None, None
        if view.tokens:
            words, sources = rows.shape[0], view.places.shape[0]
            tokens = self.split_rows(made[words:], sources, view.tokens)
        if view.ends is not None:
            last = self.split_rows(F.embedding(view.ends.places.flatten(), made), *view.ends.places.shape)
            others: Others | None = _seen_ends(k, v, last, view.ends)
        else:
            others = self._others(x, k, v, view) if tokens is None else Others(tokens[1], tokens[2])
        y = _near(q, k, v, view.looks[self.number], others)
        if self.first:
            y = torch.cat([self._of_first(x, view), y[:, :, self.first :]], 2)
        if view.ends is not None and last is not None:
            y = _with_ends(y, (q, k, v), last[0], view, view.ends)
        read = F.embedding(rows, self._rows_of(y[:, :, : view.positions]))
        return read if tokens is None else torch.cat([read, self._rows_of(_of_tokens(tokens, k, v, view))])

    def _rows_of(self, y: Tensor) -> Tensor:
        """[G, H, n, e] -> [G * n, H * e]."""
        return y.transpose(1, 2).reshape(-1, self.heads * self.width)

    def _others(self, x: Tensor, k: Tensor, v: Tensor, view: View) -> Others | None:
        """First words, or sums."""
        if self.first:
            return Others(k[:, :, : self.first], v[:, :, : self.first], view.mask[:, : self.first])
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
        return Others(keys, values, added_by_block=stretches.added, parts=stretches.parts)

    def _of_first(self, x: Tensor, view: View) -> Tensor:
        """What the first words read [G, H, m, e]: all of the source."""
        sources, positions = view.places.shape
        first = F.embedding(view.places[:, : self.first].flatten(), x)
        (q,) = self.split(self.whole.q(first), sources, self.first)
        k, v = self.split(F.embedding(view.places.flatten(), self.whole.kv(x)), sources, positions)
        return torch.softmax(q @ k.transpose(2, 3) + view.mask[:, None, None], dim=-1) @ v


def _near(q: Tensor, k: Tensor, v: Tensor, look: Look, others: Others | None) -> Tensor:
    """What each block's queries read of the blocks around it, and of what all see: [G, H, P, e]."""
    shape = q.shape
    keys, values = look.around(k), look.around(v)
    number = look.mask.shape[2]
    if others is not None:  # what Scan reads may lie in the same memory only if it is the same
        others = replace(others, keys=others.keys.clone(), values=others.values.clone())

    def read(queries: Tensor, numbers: Tensor, mask: Tensor, *added: Tensor) -> Tensor:
        sources = queries.shape[:2]  # their heads, too
        near = keys.index_select(2, numbers).reshape(*sources, number, -1)
        scores = queries @ near.transpose(2, 3)
        scores = (scores if look.band is None else scores + look.band) + mask[:, None, None]
        if others is not None:
            more = queries @ others.keys.transpose(2, 3)
            more = more if others.added is None else more + others.added[:, None, None]
            for each in added:
                part = each.reshape(*sources, others.parts, 1, more.shape[3])
                more = (more.reshape(*sources, others.parts, -1, more.shape[3]) + part).flatten(2, 3)
            scores = torch.cat([scores, more], 3)
        weights = torch.softmax(scores, dim=-1)
        y = weights[..., :number] @ values.index_select(2, numbers).reshape(*sources, number, -1)
        return y if others is None else y + weights[..., number:] @ others.values

    added = () if others is None or others.added_by_block is None else (others.added_by_block,)
    blocks = one_by_one(read, (in_blocks(q, look.block).permute(2, 0, 1, 3, 4), look.numbers, look.mask, *added))
    return blocks.permute(1, 2, 0, 3, 4).reshape(*shape[:2], -1, shape[3])


def _seen_ends(k: Tensor, v: Tensor, last: list[Tensor], ends: Ends) -> Others:
    """The words of a source's first and last stretches, which all see."""
    size = ends.places.shape[1]
    keys, values = (torch.cat([part[:, :, :size], end], 2) for part, end in ((k, last[1]), (v, last[2])))
    return Others(keys, values, ends.counted)


def _with_ends(y: Tensor, words: tuple[Tensor, Tensor, Tensor], last: Tensor, view: View, ends: Ends) -> Tensor:
    """What was read [G, H, P, e], with what the first and last stretches read, and short sources: all of them."""
    q, k, v = words
    size, mask = ends.places.shape[1], view.mask[:, None, None]

    def all_read(queries: Tensor, most: int | None = None) -> Tensor:
        scores = queries @ k[:, :, :most].transpose(2, 3) + mask[..., :most]
        return torch.softmax(scores, dim=-1) @ v[:, :, :most]

    y = torch.where(ends.is_last, all_read(last).unsqueeze(2), in_blocks(y, size)).flatten(2, 3)
    y = torch.cat([all_read(q[:, :, :size]), y[:, :, size:]], 2)
    near = torch.where(ends.is_short, all_read(q[:, :, : ends.most], ends.most), y[:, :, : ends.most])
    return torch.cat([near, y[:, :, ends.most :]], 2)


def _of_tokens(tokens: list[Tensor], k: Tensor, v: Tensor, view: View) -> Tensor:
    """What tokens read [G, H, m, e]: each other, and all words."""
    q, keys, values = tokens
    scores = torch.cat([q @ k.transpose(2, 3) + view.mask[:, None, None], q @ keys.transpose(2, 3)], 3)
    return torch.softmax(scores, dim=-1) @ torch.cat([v, values], 2)


class Whole(nn.Module):
    """The matrices of words that see all of a source; the keys' holds 1 / sqrt(e) already."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        inner = arch.heads * arch.head_dim
        self.q = Linear(arch.d_model, inner, bias=arch.linear_bias)
        self.kv = Linear(arch.d_model, 2 * inner, bias=arch.linear_bias)

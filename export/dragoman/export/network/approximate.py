"""Self-attention that approximates that of all words with all words, of encoders; one form is a decoder's, too.

Keys and values are made fewer (Linformer, compressed, linear), or words see some of the others: those of their block
and of another that is sorted there (Sinkhorn), of their bucket (LSH, as in the Reformer), of their clusters (routing).
Which words stand together follows from a source alone. Sums over words are products with matrices, in which padding is
zeros behind the words; so a source's rows are the same to the last bit in every batch.

Shapes: as in `network`, with P positions that are padded to blocks.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dragoman.bundle.manifest import Approximation, Architecture
from dragoman.export.network.layers import Attention, Linear
from dragoman.export.network.window import GRAIN, KEYS, in_blocks, one_by_one

QUERIES = 32
"""In a block, where each looks at very many keys."""
ALONE = -1e4
"""The score of a word with itself in its bucket: it is read where there is no other. Half precision can hold it, and
not Reformer's -1e5; exp() of either is zero."""


PLACES = 1 << 32
"""More than a source has."""


class Compress(nn.Module):
    """What makes one key, and one value, of those of a stretch."""

    def __init__(self, stretch: int, width: int) -> None:
        super().__init__()
        self.k, self.v = Linear(stretch * width, width), Linear(stretch * width, width)


class Sorter(nn.Module):
    """Which blocks are to be sorted where, by sums of what is in them."""

    def __init__(self, arch: Architecture, blocks: int) -> None:
        super().__init__()
        self.inner, self.outer = Linear(arch.d_model, arch.d_model), Linear(arch.d_model, arch.heads * blocks)


class ApproximateAttention(Attention):
    """The attention of one layer."""

    keys_down: nn.Parameter
    values_down: nn.Parameter
    """Linformer's [positions, size]: what each position adds to each of the few keys and values."""
    compress: Compress
    sort: Sorter
    qv: Linear
    """Where keys are the queries."""
    rotations: nn.Parameter
    """LSH's [rounds, H, e, buckets / 2]."""
    centroids: nn.Parameter
    """Of clusters [H, clusters, e]."""

    def __init__(self, arch: Architecture, form: Approximation, masked: float) -> None:
        """`arch` has the encoder's own sizes; what is `masked` has this added."""
        super().__init__(arch, arch.heads, arch.head_dim, is_self=True)
        self.form, self.masked = form, masked
        inner = arch.heads * arch.head_dim
        if form.kind == "linformer":
            self.keys_down, self.values_down = (
                nn.Parameter(torch.empty(arch.max_positions, form.size)) for _ in range(2)
            )
        elif form.kind == "compressed":
            self.compress = Compress(form.size, inner)
        elif form.kind == "sinkhorn":
            self.blocks = -(-arch.max_positions // form.size)
            self.sort = Sorter(arch, self.blocks)
        elif form.kind == "lsh":
            del self.qkv
            self.qv = Linear(arch.d_model, 2 * inner, bias=arch.linear_bias)
            self.rotations = nn.Parameter(torch.empty(form.rounds, arch.heads, arch.head_dim, form.count // 2))
        elif form.kind == "routing":
            self.centroids = nn.Parameter(torch.empty(arch.heads, form.count, arch.head_dim))

    def rows(self, x: Tensor) -> Tensor:
        """What the queries, keys and values of self-attention lie side by side in."""
        if self.form.kind != "lsh":
            return super().rows(x)
        queries, values = self.qv(x).chunk(2, 1)
        return torch.cat([queries, queries, values], 1)

    def see(self, x: Tensor, places: Tensor, mask: Tensor) -> Tensor:
        """Rows [n, d] -> what each place read [G, H, S, e], under the additive mask [G, 1, 1, S]."""
        q, k, v = self.split_rows(F.embedding(places.flatten(), self.rows(x)), *places.shape)
        words = mask[:, 0, 0] == 0
        here = words[:, None, :, None].to(v.dtype)
        if self.form.kind == "linear":
            return _linear(q, k, v, here)
        if self.form.kind == "linformer":
            return self._projected(q, k * here, v * here)
        if self.form.kind == "compressed":
            return self._compressed(q, k * here, v * here, words)
        if self.form.kind == "sinkhorn":
            rows = F.embedding(places.flatten(), x).reshape(*places.shape, -1) * here[:, 0]
            return self._sorted(q, k * here, v * here, rows, words)
        return self._hashed(q, v, words) if self.form.kind == "lsh" else self._routed(q, k, v, words)

    def _projected(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Each of a few keys and values is a sum over all words, whose factors belong to their positions."""
        place = torch.arange(q.shape[2], device=q.device).clamp(max=self.keys_down.shape[0] - 1)
        keys = F.embedding(place, self.keys_down).T @ k
        values = F.embedding(place, self.values_down).T @ v
        return torch.softmax(q @ keys.transpose(2, 3), dim=-1) @ values

    def _compressed(self, q: Tensor, k: Tensor, v: Tensor, words: Tensor) -> Tensor:
        """A convolution without overlap makes one key, and one value, of each stretch; all queries see all of these."""
        size, (sources, positions) = self.form.size, words.shape

        def made(x: Tensor, matrix: Linear) -> Tensor:
            rows = F.pad(x.transpose(1, 2).flatten(2), (0, 0, 0, -positions % size))
            few = matrix(rows.reshape(-1, size * rows.shape[2])).reshape(sources, -1, rows.shape[2])
            few = F.pad(few, (0, 0, 0, -few.shape[1] % KEYS))
            return few.reshape(sources, few.shape[1], self.heads, self.width).transpose(1, 2)

        keys, values = made(k, self.compress.k), made(v, self.compress.v)
        has_words = F.pad(words, (0, -positions % size)).reshape(sources, -1, size).any(2)
        has_words = F.pad(has_words, (0, -has_words.shape[1] % KEYS))
        mask = torch.where(has_words, 0.0, self.masked)[:, None, None]
        turned = keys.transpose(2, 3).clone()  # what Scan reads may lie in the same memory only if it is the same

        def read(queries: Tensor) -> Tensor:
            return torch.softmax(queries @ turned + mask, dim=-1) @ values

        blocks = in_blocks(F.pad(q, (0, 0, 0, -positions % QUERIES)), QUERIES).permute(2, 0, 1, 3, 4)
        y = one_by_one(read, (blocks,)).permute(1, 2, 0, 3, 4)
        return y.flatten(2, 3)[:, :, :positions]

    def _sorted(self, q: Tensor, k: Tensor, v: Tensor, rows: Tensor, words: Tensor) -> Tensor:
        """Words see their own block, and what of all blocks is sorted to its place, which is a mean of them."""
        size, (sources, positions) = self.form.size, words.shape
        padding = -positions % size
        q, k, v = (in_blocks(F.pad(part, (0, 0, 0, padding)), size) for part in (q, k, v))
        blocks = q.shape[2]
        counted = F.pad(words, (0, padding)).reshape(sources, 1, blocks, size).to(v.dtype)
        sums = F.pad(rows, (0, 0, 0, padding)).reshape(sources, blocks, size, -1).sum(2)
        sums = F.pad(sums, (0, 0, 0, -blocks % GRAIN))
        order = torch.relu(self.sort.outer(torch.relu(self.sort.inner(sums.flatten(0, 1)))))
        order = order.reshape(sources, sums.shape[1], self.heads, self.blocks).transpose(1, 2)
        number = torch.arange(sums.shape[1], device=q.device)
        has_words = number * size < words.long().sum(1, keepdim=True)
        order = order.index_select(3, number.clamp(max=self.blocks - 1)) * has_words[:, None, None].to(q.dtype)
        shares = _balanced(order, has_words[:, None], self.form.rounds)[:, :, :blocks, :blocks]
        keys, values = ((shares @ part.flatten(3)).reshape_as(part) for part in (k, v))
        seen = shares @ counted.expand(-1, self.heads, -1, -1)
        mask = torch.cat([seen, counted.expand_as(seen)], 3) > 0
        scores = q @ torch.cat([keys, k], 3).transpose(3, 4) + torch.where(mask, 0.0, self.masked).unsqueeze(3)
        y = torch.softmax(scores, dim=-1) @ torch.cat([values, v], 3)
        return y.flatten(2, 3)[:, :, :positions]

    def _hashed(self, q: Tensor, v: Tensor, words: Tensor) -> Tensor:
        """Words see those of their bucket that stand in the same chunk or the one before, once all are sorted by
        buckets; of several rounds each counts as much as what it saw.
        """
        size, positions = self.form.size, words.shape[1]
        q, v = (F.pad(part, (0, 0, 0, -positions % size)) for part in (q, v))
        words = F.pad(words, (0, q.shape[2] - positions))
        read, seen = zip(*(self._round(q, v, words, rotation) for rotation in self.rotations), strict=True)
        sums = torch.stack(seen)
        share = torch.exp(sums - sums.amax(0))
        return ((torch.stack(read) * share).sum(0) / share.sum(0))[:, :, :positions]

    def _round(self, q: Tensor, v: Tensor, words: Tensor, rotation: Tensor) -> tuple[Tensor, Tensor]:
        """What was read [G, H, P, e], and the logarithm of the sum of what it was weighed with [G, H, P, 1]."""
        size, positions, buckets = self.form.size, q.shape[2], self.form.count
        turned = q @ rotation
        bucket = torch.cat([turned, -turned], 3).argmax(3)
        bucket = torch.where(words[:, None], bucket, buckets)
        place = torch.arange(positions, device=q.device)
        order = torch.sort(bucket * PLACES + place, dim=2).values
        index = order % PLACES
        bucket = order - index
        chunks = [in_blocks(_taken(part, index), size) for part in (q, F.normalize(q, dim=3), v)]
        where, kind = (part.reshape(*part.shape[:2], -1, size) for part in (index, bucket))
        keys, values = (torch.cat([_before(part), part], 3) for part in chunks[1:])
        kinds, places = (torch.cat([_before(part, -1), part], 3).unsqueeze(3) for part in (kind, where))
        scores = chunks[0] @ keys.transpose(3, 4) * self.width**-0.5
        scores = torch.where(places == where.unsqueeze(4), ALONE, scores)
        scores = torch.where(kinds == kind.unsqueeze(4), scores, self.masked)
        most = scores.amax(4, keepdim=True)
        weights = torch.exp(scores - most)
        total = weights.sum(4, keepdim=True)
        y, seen = (weights @ values / total).flatten(2, 3), (most + torch.log(total)).flatten(2, 3)
        back = torch.zeros_like(index).scatter(2, index, place.expand_as(index))
        return _taken(y, back), _taken(seen, back)

    def _routed(self, q: Tensor, k: Tensor, v: Tensor, words: Tensor) -> Tensor:
        """Each cluster takes the queries that are nearest to its centroid, and the keys, which those see."""
        size, (sources, positions) = self.form.size, words.shape
        q, k = (F.layer_norm(part, (self.width,)) for part in (q, k))
        q, k, v = (F.pad(part, (0, 0, 0, size)) for part in (q, k, v))
        words = F.pad(words, (0, size))
        far = torch.where(words, 0.0, self.masked)[:, None, None]

        def nearest(x: Tensor) -> Tensor:
            near = (x @ self.centroids.transpose(1, 2)).transpose(2, 3) + far
            return near.topk(size, dim=3).indices.flatten(2)

        asks, sees = nearest(q), nearest(k)
        mask = _taken(far[:, 0].expand(-1, self.heads, -1).unsqueeze(3), sees)
        queries, keys, values, mask = (
            in_blocks(part, size) for part in (_taken(q, asks), _taken(k, sees), _taken(v, sees), mask)
        )
        scores = queries @ keys.transpose(3, 4) * self.width**-0.5 + mask.transpose(3, 4)
        y = (torch.softmax(scores, dim=-1) @ values).flatten(2, 3)
        y = torch.cat([y, torch.ones_like(y[..., :1])], 3)
        none = y.new_zeros(sources, self.heads, positions + size, self.width + 1)
        y = none.scatter_add(2, asks.unsqueeze(3).expand_as(y), y)[:, :, :positions]
        return y[..., :-1] / y[..., -1:].clamp(min=1)


class LinearAttention(Attention):
    """Linear attention of a decoder's words to those before them: what these add up to is all that is kept of them."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__(arch, arch.heads, arch.head_dim, is_self=True)

    def recall(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Rows [n, d] -> [n, d], and their states [n, H * e * (e + 1)], given their parents'."""
        q, k, v = self.split_rows(self.rows(x), x.shape[0], 1)
        before = state.reshape(-1, self.heads, self.width, self.width + 1)
        new = before + _positive(k).transpose(2, 3) * _counted(v)
        return self.merge(_mean(_positive(q) @ new)), new.flatten(1)

    def along(self, x: Tensor, shape: tuple[int, int]) -> Tensor:
        """The same of whole sequences: rows [G * T, d] -> [G * T, d], each word's weights one by one."""
        q, k, v = self.split_rows(self.rows(x), *shape)
        weights = (_positive(q) @ _positive(k).transpose(2, 3)).tril()
        return self.merge(_mean(weights @ _counted(v)))


def _linear(q: Tensor, k: Tensor, v: Tensor, here: Tensor) -> Tensor:
    """Weights are products of what is made of queries and keys, so that values can be summed before any is asked."""
    share = here / here.sum(2, keepdim=True)  # means, as half precision holds no sums of thousands
    return _mean(_positive(q) @ ((_positive(k) * share).transpose(2, 3) @ _counted(v)))


def _positive(x: Tensor) -> Tensor:
    return F.elu(x) + 1


def _counted(values: Tensor) -> Tensor:
    """Values with a one behind them, which adds up to what they are weighed with: [..., e] -> [..., e + 1]."""
    return F.pad(values, (0, 1), value=1.0)


def _mean(sums: Tensor) -> Tensor:
    return sums[..., :-1] / sums[..., -1:]


def _balanced(order: Tensor, has_words: Tensor, rounds: int) -> Tensor:
    """Sinkhorn's: rows and columns of exp(order) [G, H, m, m] are divided by their sums in turn, so many times."""
    both = (has_words.unsqueeze(2) & has_words.unsqueeze(3)).to(order.dtype)
    shares = torch.exp(order - order.amax(3, keepdim=True)) * both
    ones = order.new_ones(order.shape[3], GRAIN)  # of several columns, as the product with one has another order
    for _ in range(rounds):
        shares = shares / _not_zero((shares @ ones)[..., :1])
        shares = shares / _not_zero((ones.T @ shares)[..., :1, :])
    return shares


def _not_zero(sums: Tensor) -> Tensor:
    return torch.where(sums > 0, sums, 1.0)


def _taken(x: Tensor, index: Tensor) -> Tensor:
    """Positions [G, H, P, n] by their numbers [G, H, m] -> [G, H, m, n]."""
    first = torch.arange(x.shape[0] * x.shape[1], device=x.device).reshape(x.shape[0], x.shape[1], 1) * x.shape[2]
    rows = F.embedding((index + first).flatten(), x.reshape(-1, x.shape[3]))
    return rows.reshape(*index.shape, x.shape[3])


def _before(chunks: Tensor, value: float = 0.0) -> Tensor:
    """The chunk before each, of which the first has none."""
    padding = (0, 0) * (chunks.ndim - 3) + (1, 0)
    return F.pad(chunks, padding, value=value)[:, :, :-1]

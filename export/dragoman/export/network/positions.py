"""Where a word stands: sinusoids added to embeddings, and biases of attention scores by distance."""

import math
from collections.abc import Iterator
from itertools import repeat

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dragoman.bundle.manifest import Architecture


def sinusoid(positions: int, width: int, *, divisor_minus_one: bool, offset: int = 0) -> Tensor:
    """Sines in the first half of the columns, cosines in the second: [positions, width].

    Where the width is odd, the last column is zero with `divisor_minus_one`, and else holds a sine.
    """
    half = width // 2
    sines = half if divisor_minus_one else width - half
    step = math.log(10000.0) / (half - 1 if divisor_minus_one else width / 2)
    row = torch.arange(offset, offset + positions, dtype=torch.float64)[:, None]
    angle = row * torch.exp(torch.arange(sines) * -step)[None, :]
    columns = torch.cat([angle.sin(), angle[:, :half].cos()], dim=1)
    return F.pad(columns, (0, width - columns.shape[1])).float()


def bucket(distance: Tensor, buckets: int, farthest: int, *, two_sided: bool) -> Tensor:
    """Buckets of distances (position of the key less that of the query), as T5 numbers them.

    Half of the buckets hold one distance each, the others ever wider ranges up to `farthest`. A decoder looks back;
    an encoder has the first half of the numbers for what lies behind, the second for what lies ahead.
    """
    first = torch.zeros_like(distance)
    if two_sided:
        buckets //= 2
        first = (distance > 0).long() * buckets
        distance = distance.abs()
    else:
        distance = (-distance).clamp(min=0)
    exact = buckets // 2
    # In float32, as T5 has it: where a range begins is a matter of rounding.
    ratio = torch.log(distance.clamp(min=1).float() / exact) / math.log(farthest / exact)
    far = (exact + (ratio * (buckets - exact)).long()).clamp(max=buckets - 1)
    return first + torch.where(distance < exact, distance, far)


def clipped(queries: Tensor, keys: Tensor, farthest: int) -> Tensor:
    """Shaw's numbers of distances: positions [G, q] and [G, n] -> [G, q, n]; distance zero has number `farthest`."""
    return (keys.unsqueeze(1) - queries.unsqueeze(2)).clamp(-farthest, farthest) + farthest


class RelativeBias(nn.Module):
    """What is added to the attention scores of a query and a key, by their distance and the head.

    A stack has one table for all of its layers, or one for each of so many `layers`.
    """

    buckets: Tensor
    table: nn.Parameter
    tables: nn.ParameterList

    def __init__(self, arch: Architecture, heads: int, *, two_sided: bool, layers: int | None = None) -> None:
        super().__init__()
        self.has_one = layers is None
        shape = arch.relative_buckets, heads
        if layers is None:
            self.table = nn.Parameter(torch.empty(shape))
        else:
            self.tables = nn.ParameterList(nn.Parameter(torch.empty(shape)) for _ in range(layers))
        self.farthest = arch.relative_distance
        self.nearest = arch.relative_distance if two_sided else 0
        # Distances are few: their buckets are numbered here, once, and graphs look them up.
        distances = torch.arange(-self.farthest, self.nearest + 1)
        numbers = bucket(distances, arch.relative_buckets, arch.relative_distance, two_sided=two_sided)
        self.register_buffer("buckets", numbers, persistent=False)

    def forward(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Positions of queries [G, q] and keys [G, n] -> biases [G, H, q, n], those of all layers."""
        return _biases(self._numbers(queries, keys), self.table)

    def masks(self, mask: Tensor, queries: Tensor, keys: Tensor) -> Iterator[Tensor]:
        """An additive mask with the biases of the first layer, of the second, and so on."""
        if self.has_one:
            return repeat(mask + self(queries, keys))
        number = self._numbers(queries, keys)
        return (mask + _biases(number, table) for table in self.tables)

    def _numbers(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Which bucket each distance is in [G, q, n]."""
        distance = keys.unsqueeze(1) - queries.unsqueeze(2)
        return F.embedding(
            distance.clamp(-self.farthest, self.nearest) + self.farthest, self.buckets.unsqueeze(-1)
        ).squeeze(-1)


def _biases(number: Tensor, table: Tensor) -> Tensor:
    """Of each head, for buckets [G, q, n]: [G, H, q, n]."""
    return F.embedding(number, table).permute(0, 3, 1, 2)


class Turning(nn.Module):
    """How far pairs of numbers of queries and keys turn where they stand."""

    cosines: Tensor
    sines: Tensor

    def __init__(self, base: float, width: int, positions: int) -> None:
        super().__init__()
        # In float32, as the models that are trained with it have it.
        frequencies = 1.0 / (base ** (torch.arange(0, width, 2, dtype=torch.float32) / width))
        angles = torch.arange(positions, dtype=torch.float32)[:, None] * frequencies
        self.register_buffer("cosines", angles.cos(), persistent=False)
        self.register_buffer("sines", angles.sin(), persistent=False)

    def forward(self, depth: Tensor) -> tuple[Tensor, Tensor]:
        """Positions [G, n] -> cosines and sines [G, 1, n, e / 2]. Padding may go beyond the last position."""
        depth = depth.clamp(max=self.cosines.shape[0] - 1)
        return F.embedding(depth, self.cosines).unsqueeze(1), F.embedding(depth, self.sines).unsqueeze(1)


def turned(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Queries or keys [G, H, n, e] turned: pair i is number i of both halves."""
    cosines, sines = turn
    first, second = x.chunk(2, -1)
    return torch.cat([first * cosines - second * sines, second * cosines + first * sines], -1)


def near_masks(
    mask: Tensor, queries: Tensor, keys: Tensor, reach: tuple[int | None, ...], masked: float
) -> Iterator[Tensor]:
    """A mask for each layer, closed to keys that stand farther from a query than the layer's reach."""
    distance = (keys.unsqueeze(1) - queries.unsqueeze(2)).abs().unsqueeze(1)
    made: dict[int | None, Tensor] = {None: mask}
    for seen in reach:
        if seen is not None and seen not in made:
            made[seen] = mask + torch.where(distance > seen, masked, 0.0)
        yield made[seen]

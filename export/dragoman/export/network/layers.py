"""The parts that a layer of the canonical network is made of.

Shapes: G sources, n nodes or positions of a source, H heads, e their width, d the width of the network. What is
not attention works on rows: the nodes of all sources, one after the other.
Matrices are [in, out], so that an exported MatMul carries the weight under its own name.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dragoman.bundle.manifest import Activation, Architecture

ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "relu-squared": lambda x: torch.relu(x).square(),
    "gelu": F.gelu,
    "gelu-tanh": lambda x: F.gelu(x, approximate="tanh"),
    "gelu-sigmoid": lambda x: x * torch.sigmoid(1.702 * x),
    "swish": F.silu,
    "tanh": torch.tanh,
    "linear": lambda x: x,
}


class Linear(nn.Module):
    """y = x @ weight + bias."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(inputs, outputs))
        self.bias = nn.Parameter(torch.empty(outputs)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out]."""
        y = x @ self.weight
        return y if self.bias is None else y + self.bias


class Attention(nn.Module):
    """The matrices of multi-head attention; the keys' holds 1 / sqrt(e) already.

    Where keys and values come from the same rows as the queries (self-attention), one product makes all three.
    """

    qkv: Linear
    q: Linear
    kv: Linear
    relative_k: nn.Parameter
    relative_v: nn.Parameter
    """Shaw's positions: what is added to keys and values, by their distance from the query [2 * farthest + 1, e]."""

    def __init__(self, arch: Architecture, heads: int, width: int, *, is_self: bool) -> None:
        super().__init__()
        self.heads, self.width, self.key_heads = heads, width, arch.key_heads
        self.cap = None if arch.rotary is None else arch.rotary.cap
        self.is_joined = is_self and self.key_heads == heads
        d, inner = arch.d_model, heads * width
        if self.is_joined:
            self.qkv = Linear(d, 3 * inner, bias=arch.linear_bias)
        else:
            read = d if is_self else arch.encoder_width or d
            self.q = Linear(d, inner, bias=arch.linear_bias)
            self.kv = Linear(read, 2 * self.key_heads * width, bias=arch.linear_bias)
        self.o = Linear(inner, d, bias=arch.linear_bias)
        if is_self and arch.positions == "shaw":
            distances = 2 * arch.relative_distance + 1
            self.relative_k = nn.Parameter(torch.empty(distances, width))
            self.relative_v = nn.Parameter(torch.empty(distances, width))

    def split(self, x: Tensor, sources: int, nodes: int) -> list[Tensor]:
        """Rows [G * n, m * H * e] -> m of [G, H, n, e]."""
        return self._parts(x, sources, nodes, [self.heads] * (x.shape[1] // (self.heads * self.width)))

    def rows(self, x: Tensor) -> Tensor:
        """What the queries, keys and values of self-attention lie side by side in."""
        return self.qkv(x) if self.is_joined else torch.cat([self.q(x), self.kv(x)], 1)

    def split_rows(self, x: Tensor, sources: int, nodes: int) -> list[Tensor]:
        """What `rows` gives -> queries [G, H, n, e], keys and values, of which several heads' queries may share one."""
        return self._parts(x, sources, nodes, [self.heads, self.key_heads, self.key_heads])

    def split_memory(self, x: Tensor, sources: int, nodes: int) -> list[Tensor]:
        """What `kv` gives -> keys and values."""
        return self._parts(x, sources, nodes, [self.key_heads] * 2)

    def _parts(self, x: Tensor, sources: int, nodes: int, heads: list[int]) -> list[Tensor]:
        y = x.reshape(sources, nodes, sum(heads), self.width).transpose(1, 2)
        if len(heads) == 1:
            return [y]
        return list(y.split(heads[0] if len({*heads}) == 1 else heads, 1))

    def scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        """[G, H, q, e] and turned keys [G, K, e, n] -> [G, H, q, n]."""
        if self.key_heads == self.heads:
            return queries @ keys
        return self._spread(self._grouped(queries) @ keys)

    def capped(self, scores: Tensor) -> Tensor:
        """Scores that go no farther than a cap, where there is one."""
        return scores if self.cap is None else self.cap * torch.tanh(scores / self.cap)

    def read(self, weights: Tensor, values: Tensor) -> Tensor:
        """[G, H, q, n] and [G, K, n, e] -> [G, H, q, e]."""
        if self.key_heads == self.heads:
            return weights @ values
        return self._spread(self._grouped(weights) @ values)

    def _grouped(self, x: Tensor) -> Tensor:
        """[G, H, q, m] -> [G, K, H / K * q, m]: what shares keys lies together."""
        return x.unflatten(1, (self.key_heads, -1)).flatten(2, 3)

    def _spread(self, x: Tensor) -> Tensor:
        """The way back."""
        return x.unflatten(2, (self.heads // self.key_heads, -1)).flatten(1, 2)

    def near_scores(self, queries: Tensor, number: Tensor) -> Tensor:
        """What distances add to scores: queries [G, H, q, e] and numbers of distances [G, q, n] -> [G, H, q, n]."""
        index = number.unsqueeze(1).expand(-1, self.heads, -1, -1)
        return (queries @ self.relative_k.T).gather(3, index)

    def near_values(self, weights: Tensor, number: Tensor) -> Tensor:
        """What distances add to values: weights [G, H, q, n] -> [G, H, q, e]. Weights of one distance are summed."""
        index = number.unsqueeze(1).expand(-1, self.heads, -1, -1)
        none = weights.new_zeros(*weights.shape[:3], self.relative_v.shape[0])
        return none.scatter_add(3, index, weights) @ self.relative_v

    def merge(self, y: Tensor) -> Tensor:
        """What was read [G, H, n, e] -> rows [G * n, d]."""
        return self.o(y.transpose(1, 2).reshape(-1, self.heads * self.width))


class Ssru(nn.Module):
    """The simpler simple recurrent unit: c = f * c_parent + (1 - f) * W x, f = sigmoid(Wf x + bf), out = relu(c)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.both = Linear(width, 2 * width)
        """W, which has no bias (it is zero), and Wf."""

    def forward(self, x: Tensor, state: Tensor) -> Tensor:
        """New states [n, d], given each node's parent's."""
        return self.mix(self.both(x), state)

    def mix(self, read: Tensor, state: Tensor) -> Tensor:
        """New states [n, d], given the product of the input with both matrices, [n, 2 * d]."""
        candidate, forget = read.split(self.width, 1)
        return candidate + torch.sigmoid(forget) * (state - candidate)


class FeedForward(nn.Module):
    """Two matrices with an activation between them, or three, one of which is a gate."""

    def __init__(self, arch: Architecture, inner: int) -> None:
        super().__init__()
        self.up = Linear(arch.d_model, inner, bias=arch.linear_bias)
        self.gate = Linear(arch.d_model, inner, bias=arch.linear_bias) if arch.gated else None
        self.down = Linear(inner, arch.d_model, bias=arch.linear_bias)
        self.activation = ACTIVATIONS[arch.activation]

    def forward(self, x: Tensor) -> Tensor:
        """[n, d] -> [n, d]."""
        return self.down(self.inner(x))

    def inner(self, x: Tensor) -> Tensor:
        """What the last matrix reads."""
        up = self.up(x)
        return self.activation(up) if self.gate is None else self.activation(self.gate(x)) * up


class OutputTransform(nn.Module):
    """What stands between the last layer and the output layer: a matrix, an activation, a norm."""

    def __init__(self, arch: Architecture, activation: Activation) -> None:
        super().__init__()
        self.dense = Linear(arch.d_model, arch.d_model)
        self.norm = make_norm(arch)
        self.activation = ACTIVATIONS[activation]

    def forward(self, x: Tensor) -> Tensor:
        """[n, d] -> [n, d]."""
        y: Tensor = self.norm(self.activation(self.dense(x)))
        return y


class Sublayer(nn.Module):
    """Residual connection and norm around one part, in the order that the architecture says."""

    def __init__(self, arch: Architecture, norm: nn.Module, behind: nn.Module | None = None) -> None:
        super().__init__()
        self.norm, self.behind, self.is_pre = norm, behind, arch.norm != "post"

    def before(self, x: Tensor) -> Tensor:
        """What the part reads."""
        y: Tensor = self.norm(x) if self.is_pre else x
        return y

    def after(self, x: Tensor, y: Tensor) -> Tensor:
        """The residual stream with the part's answer added."""
        y = y if self.behind is None else self.behind(y)
        z: Tensor = x + y if self.is_pre else self.norm(x + y)
        return z


class Embedding(nn.Module):
    """Words and positions. An id outside the vocabulary reads as a zero vector, which is how Marian starts.

    The norm is of both together; of the target's words alone where the architecture says so.
    """

    def __init__(
        self,
        arch: Architecture,
        words: nn.Parameter,
        positions: Tensor | None,
        norm: nn.Module | None,
        *,
        is_target: bool = False,
    ) -> None:
        super().__init__()
        norm_first = is_target and arch.embedding_norm_first
        self.words, self.scale = words, arch.target_scale if is_target else arch.embedding_scale
        self.positions, self.norm, self.norm_first = positions, norm, norm_first

    def forward(self, ids: Tensor, depth: Tensor, *, may_start: bool) -> Tensor:
        """[G, n] ids and positions -> [G, n, d]."""
        last = self.words.shape[0] - 1
        scale: Tensor | float = self.scale
        if may_start:
            scale = torch.where(ids <= last, self.scale, 0.0).to(self.words.dtype).unsqueeze(-1)
        x = F.embedding(ids.clamp(max=last) if may_start else ids, self.words) * scale
        return self.placed(x, depth)

    def placed(self, x: Tensor, depth: Tensor) -> Tensor:
        """Scaled words where they stand."""
        if self.norm is not None and self.norm_first:
            x = self.norm(x)
        if self.positions is not None:
            x = x + F.embedding(depth, self.positions)
        return x if self.norm is None or self.norm_first else self.norm(x)


class Affine(nn.Module):
    """A norm whose statistics are constants: a scale and a bias."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.empty(width)), nn.Parameter(torch.empty(width))

    def forward(self, x: Tensor) -> Tensor:
        """[..., d] -> [..., d]."""
        return x * self.weight + self.bias


def final_norm(arch: Architecture, *, wanted: bool) -> nn.Module | None:
    """The norm behind the last layer of a stack; None where there is none."""
    return make_norm(arch) if arch.norm != "post" and wanted else None


def norm_behind(arch: Architecture) -> nn.Module | None:
    """The norm of what a part adds; None where there is none."""
    return make_norm(arch) if arch.norm == "both" else None


def make_norm(arch: Architecture) -> nn.Module:
    """A norm of the architecture's kind."""
    if arch.norm_kind == "affine":
        return Affine(arch.d_model)
    kind = nn.LayerNorm if arch.norm_kind == "layer" else nn.RMSNorm
    return kind(arch.d_model, eps=arch.norm_epsilon)

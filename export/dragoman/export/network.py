"""The canonical network: one Transformer encoder-decoder that every importer fills.

It is written once, in the form that graphs are exported from, and is the oracle that graphs are compared with.
The decoder has two forms. `step` computes new tree nodes, given what the pool holds about their ancestors; `full` is
the plain teacher-forced pass over whole sequences, kept as an independent, obvious version of the same thing.

Shapes: G sources, S source positions, T pool slots, q new nodes a source, H heads, e = d / H, V target words.
Matrices are [in, out], so that an exported MatMul carries the weight under its own name.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dragoman.bundle.manifest import Activation, Architecture

MASKED = -1e9
"""Added to attention scores that must not count: exp() of it is exactly zero."""

ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "gelu": F.gelu,
    "gelu-tanh": lambda x: F.gelu(x, approximate="tanh"),
    "gelu-sigmoid": lambda x: x * torch.sigmoid(1.702 * x),
    "swish": F.silu,
}


def sinusoid(positions: int, width: int, *, divisor_minus_one: bool) -> Tensor:
    """Sines in the first half of the columns, cosines in the second: [positions, width]."""
    half = width // 2
    step = math.log(10000.0) / (half - 1 if divisor_minus_one else half)
    angle = torch.arange(positions, dtype=torch.float64)[:, None] * torch.exp(torch.arange(half) * -step)[None, :]
    return F.pad(torch.cat([angle.sin(), angle.cos()], dim=1), (0, width % 2)).float()


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
    """Multi-head attention whose keys and values come from outside."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.o = (Linear(width, width) for _ in range(4))

    def split(self, x: Tensor) -> Tensor:
        """[G, n, d] -> [G, H, n, e]."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def keys_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What others attend to: [G, n, d] -> two of [G, H, n, e]. The key matrix holds 1 / sqrt(e) already."""
        return self.split(self.k(x)), self.split(self.v(x))

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """x [G, q, d], keys and values [G, H, n, e], mask broadcast to [G, H, q, n] -> [G, q, d]."""
        weights = torch.softmax(self.split(self.q(x)) @ keys.transpose(2, 3) + mask, dim=-1)
        return self.o((weights @ values).transpose(1, 2).flatten(2))


class Ssru(nn.Module):
    """The simpler simple recurrent unit: c = f * c_parent + (1 - f) * W x, f = sigmoid(Wf x + bf), out = relu(c)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.input = Linear(width, width, bias=False)
        self.forget = Linear(width, width)

    def forward(self, x: Tensor, state: Tensor) -> Tensor:
        """New states, given each node's parent's: [G, q, d]."""
        keep = torch.sigmoid(self.forget(x))
        candidate = self.input(x)
        return candidate + keep * (state - candidate)


class FeedForward(nn.Module):
    """Two matrices with an activation between them."""

    def __init__(self, width: int, inner: int, activation: Activation) -> None:
        super().__init__()
        self.up, self.down = Linear(width, inner), Linear(inner, width)
        self.activation = ACTIVATIONS[activation]

    def forward(self, x: Tensor) -> Tensor:
        """[..., d] -> [..., d]."""
        return self.down(self.activation(self.up(x)))


class Sublayer(nn.Module):
    """Residual connection and norm around one part, in the order that the architecture says."""

    def __init__(self, arch: Architecture, norm: nn.Module) -> None:
        super().__init__()
        self.norm, self.is_pre = norm, arch.norm == "pre"

    def before(self, x: Tensor) -> Tensor:
        """What the part reads."""
        y: Tensor = self.norm(x) if self.is_pre else x
        return y

    def after(self, x: Tensor, y: Tensor) -> Tensor:
        """The layer's stream, with the part's answer added."""
        z: Tensor = x + y if self.is_pre else self.norm(x + y)
        return z


def _norm(arch: Architecture) -> nn.LayerNorm:
    return nn.LayerNorm(arch.d_model, eps=arch.norm_epsilon)


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward."""

    self: Attention
    self_norm: nn.LayerNorm
    ffn_norm: nn.LayerNorm

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        self.self = Attention(arch.d_model, arch.heads)
        self.self_norm = _norm(arch)
        self.ffn = FeedForward(arch.d_model, arch.ffn, arch.activation)
        self.ffn_norm = _norm(arch)
        self.arch = arch

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """[G, S, d] -> [G, S, d]."""
        part = Sublayer(self.arch, self.self_norm)
        y = part.before(x)
        x = part.after(x, self.self(y, *self.self.keys_values(y), mask))
        part = Sublayer(self.arch, self.ffn_norm)
        return part.after(x, self.ffn(part.before(x)))


class DecoderLayer(nn.Module):
    """Self-attention or SSRU, cross-attention, feed-forward."""

    self: Attention
    rnn: Ssru
    cross: Attention
    ffn: FeedForward
    self_norm: nn.LayerNorm
    cross_norm: nn.LayerNorm
    ffn_norm: nn.LayerNorm

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        if arch.decoder == "ssru":
            self.rnn = Ssru(arch.d_model)
        else:
            self.self = Attention(arch.d_model, arch.heads)
        self.self_norm = _norm(arch)
        self.cross = Attention(arch.d_model, arch.heads)
        self.cross_norm = _norm(arch)
        self.ffn = FeedForward(arch.d_model, arch.ffn, arch.activation)
        self.ffn_norm = _norm(arch)
        self.arch = arch

    def rest(self, x: Tensor, cross: tuple[Tensor, Tensor], src_mask: Tensor) -> Tensor:
        """Everything after the part that sees other target positions."""
        part = Sublayer(self.arch, self.cross_norm)
        x = part.after(x, self.cross(part.before(x), *cross, src_mask))
        part = Sublayer(self.arch, self.ffn_norm)
        return part.after(x, self.ffn(part.before(x)))


class Embedding(nn.Module):
    """Words and positions. An id outside the vocabulary reads as a zero vector, which is how Marian starts."""

    def __init__(self, arch: Architecture, words: nn.Parameter, positions: Tensor, norm: nn.Module | None) -> None:
        super().__init__()
        self.words, self.scale = words, arch.embedding_scale
        self.positions, self.norm = positions, norm

    def forward(self, ids: Tensor, depth: Tensor, *, may_start: bool) -> Tensor:
        """[G, n] ids and positions -> [G, n, d]."""
        last = self.words.shape[0] - 1
        x = F.embedding(ids.clamp(max=last) if may_start else ids, self.words) * self.scale
        if may_start:
            x = x * (ids <= last).unsqueeze(-1).to(x.dtype)
        x = x + F.embedding(depth, self.positions)
        return x if self.norm is None else self.norm(x)


class Encoder(nn.Module):
    """The encoder's stack; embeddings come from the network that owns them."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(arch) for _ in range(arch.encoder_layers))
        self.embedding_norm = _norm(arch) if arch.embedding_norm else None
        self.norm = _norm(arch) if arch.norm == "pre" else None


class Decoder(nn.Module):
    """The decoder's stack."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(arch) for _ in range(arch.decoder_layers))
        self.embedding_norm = _norm(arch) if arch.embedding_norm else None
        self.norm = _norm(arch) if arch.norm == "pre" else None

    def stack(self) -> list[DecoderLayer]:
        """The layers, first to last."""
        return [layer for layer in self.layers if isinstance(layer, DecoderLayer)]


class Network(nn.Module):
    """An encoder-decoder with the weights of one checkpoint."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        self.arch = arch
        d = arch.d_model
        self.source_embedding = nn.Parameter(torch.empty(arch.source_vocabulary, d))
        if arch.tying != "all":
            self.target_embedding = nn.Parameter(torch.empty(arch.target_vocabulary, d))
        if arch.tying == "none":
            self.output_embedding = nn.Parameter(torch.empty(arch.target_vocabulary, d))
        if arch.output_bias:
            self.output_bias = nn.Parameter(torch.empty(arch.target_vocabulary))
        if arch.positions == "learned":
            self.source_positions = nn.Parameter(torch.empty(arch.max_positions, d))
            self.target_positions = nn.Parameter(torch.empty(arch.max_positions, d))
        else:
            table = sinusoid(arch.max_positions, d, divisor_minus_one=arch.sinusoid_divisor_minus_one)
            self.register_buffer("positions", table, persistent=False)
        self.encoder, self.decoder = Encoder(arch), Decoder(arch)

    def _positions(self, side: str) -> Tensor:
        table: Tensor = getattr(self, "positions" if self.arch.positions == "sinusoidal" else f"{side}_positions")
        return table

    @property
    def target_words(self) -> nn.Parameter:
        """The matrix that target ids are embedded with: [V, d]."""
        return self.source_embedding if self.arch.tying == "all" else self.target_embedding

    @property
    def output_words(self) -> nn.Parameter:
        """The matrix that gives logits: [V, d]."""
        return self.output_embedding if self.arch.tying == "none" else self.target_words

    def encode(self, ids: Tensor, src_mask: Tensor) -> Tensor:
        """ids [G, S], additive src_mask [G, 1, 1, S] -> hidden [G, S, d]."""
        embed = Embedding(self.arch, self.source_embedding, self._positions("source"), self.encoder.embedding_norm)
        # Padding may go beyond the last position; it is masked, so any position will do.
        depth = torch.arange(ids.shape[1], device=ids.device).clamp(max=self.arch.max_positions - 1).unsqueeze(0)
        x = embed(ids, depth, may_start=False)
        for layer in self.encoder.layers:
            x = layer(x, src_mask)
        return x if self.encoder.norm is None else self.encoder.norm(x)

    def cross(self, hidden: Tensor) -> list[Tensor]:
        """Cross-attention keys and values of every decoder layer, [G, H, S, e]: k.0, v.0, k.1, v.1, ..."""
        return [t for layer in self.decoder.stack() for t in layer.cross.keys_values(hidden)]

    def embed_target(self, ids: Tensor, depth: Tensor) -> Tensor:
        """[G, q] -> [G, q, d]."""
        norm = self.decoder.embedding_norm
        embed = Embedding(self.arch, self.target_words, self._positions("target"), norm)
        x: Tensor = embed(ids, depth, may_start=True)
        return x

    def finish(self, x: Tensor) -> Tensor:
        """The decoder's output as the output layer reads it."""
        return x if self.decoder.norm is None else self.decoder.norm(x)

    def logits(self, x: Tensor) -> Tensor:
        """[..., d] -> [..., V]."""
        y = x @ self.output_words.T
        return y + self.output_bias if self.arch.output_bias else y

    def step(
        self,
        ids: Tensor,
        depth: Tensor,
        mask: Tensor | None,
        state: list[Tensor],
        cross: list[Tensor],
        src_mask: Tensor,
    ) -> tuple[Tensor, list[Tensor]]:
        """New nodes' hidden vectors [G, q, d] and what the pool must keep of them.

        Self-attention: `state` is the pool k.0, v.0, k.1, ... [G, H, T, e], `mask` [G, 1, q, T + q] opens each node's
        ancestors and itself, and the new keys and values [G, H, q, e] come back. SSRU: `state` is each node's parent's
        [G, q, d], there is no mask, and the new states come back.
        """
        x, kept = self.embed_target(ids, depth), []
        for n, layer in enumerate(self.decoder.stack()):
            part = Sublayer(self.arch, layer.self_norm)
            y = part.before(x)
            if self.arch.decoder == "ssru":
                new = layer.rnn(y, state[n])
                kept.append(new)
                x = part.after(x, torch.relu(new))
            else:
                k, v = layer.self.keys_values(y)
                kept += [k, v]
                keys, values = torch.cat([state[2 * n], k], 2), torch.cat([state[2 * n + 1], v], 2)
                x = part.after(x, layer.self(y, keys, values, mask))
            x = layer.rest(x, (cross[2 * n], cross[2 * n + 1]), src_mask)
        return self.finish(x), kept

    def full(self, ids: Tensor, hidden: Tensor, src_mask: Tensor) -> Tensor:
        """Teacher-forced logits [G, T, V]: ids [G, T] are what the decoder reads, the start id first."""
        length = ids.shape[1]
        depth = torch.arange(length).expand_as(ids)
        causal = torch.full((length, length), MASKED).triu(1)
        cross = self.cross(hidden)
        x = self.embed_target(ids, depth)
        for n, layer in enumerate(self.decoder.stack()):
            part = Sublayer(self.arch, layer.self_norm)
            y = part.before(x)
            if self.arch.decoder == "ssru":
                state, states = torch.zeros_like(y[:, :1]), []
                for t in range(length):
                    keep = torch.sigmoid(layer.rnn.forget(y[:, t : t + 1]))
                    state = keep * state + (1 - keep) * layer.rnn.input(y[:, t : t + 1])
                    states.append(state)
                x = part.after(x, torch.relu(torch.cat(states, 1)))
            else:
                x = part.after(x, layer.self(y, *layer.self.keys_values(y), causal))
            x = layer.rest(x, (cross[2 * n], cross[2 * n + 1]), src_mask)
        return self.logits(self.finish(x))

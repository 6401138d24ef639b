"""The canonical network: one Transformer encoder-decoder that every importer fills.

It is written once, in the form that graphs are exported from, and is the oracle that graphs are compared with.
The decoder has two forms. `step` computes new tree nodes, given what the pool holds about their ancestors; `full` is
the plain teacher-forced pass over whole sequences, kept as an independent, obvious version of the same thing.

Shapes: G sources, S source positions, T pool slots, q new nodes a source, H heads, e their width, V target words.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dragoman.bundle.manifest import Architecture
from dragoman.export.layers import Attention, Embedding, FeedForward, Ssru, Sublayer, make_norm
from dragoman.export.positions import RelativeBias, sinusoid

MASKED = -1e9
"""Added to attention scores that must not count: exp() of it is exactly zero."""


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward."""

    self: Attention
    self_norm: nn.Module
    ffn_norm: nn.Module

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        self.self = Attention(arch, arch.encoder_heads or arch.heads, arch.encoder_head_dim)
        self.self_norm = make_norm(arch)
        self.ffn = FeedForward(arch, arch.encoder_ffn or arch.ffn)
        self.ffn_norm = make_norm(arch)
        self.arch = arch

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """[G, S, d] -> [G, S, d]; the mask is broadcast to [G, H, S, S]."""
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
    self_norm: nn.Module
    cross_norm: nn.Module
    ffn_norm: nn.Module

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        if arch.decoder == "ssru":
            self.rnn = Ssru(arch.d_model)
        else:
            self.self = Attention(arch, arch.heads, arch.head_dim)
        self.self_norm = make_norm(arch)
        self.cross = Attention(arch, arch.heads, arch.head_dim)
        self.cross_norm = make_norm(arch)
        self.ffn = FeedForward(arch, arch.ffn)
        self.ffn_norm = make_norm(arch)
        self.arch = arch

    def rest(self, x: Tensor, cross: tuple[Tensor, Tensor], src_mask: Tensor) -> Tensor:
        """Everything after the part that sees other target positions."""
        part = Sublayer(self.arch, self.cross_norm)
        x = part.after(x, self.cross(part.before(x), *cross, src_mask))
        part = Sublayer(self.arch, self.ffn_norm)
        return part.after(x, self.ffn(part.before(x)))


class Encoder(nn.Module):
    """The encoder's stack; embeddings come from the network that owns them."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        if arch.positions == "relative":
            self.relative = RelativeBias(arch, arch.encoder_heads or arch.heads, two_sided=True)
        self.layers = nn.ModuleList(EncoderLayer(arch) for _ in range(arch.encoder_layers))
        self.embedding_norm = make_norm(arch) if arch.embedding_norm else None
        self.norm = make_norm(arch) if arch.norm == "pre" else None


class Decoder(nn.Module):
    """The decoder's stack."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        if arch.positions == "relative":
            self.relative = RelativeBias(arch, arch.heads, two_sided=False)
        self.layers = nn.ModuleList(DecoderLayer(arch) for _ in range(arch.decoder_layers))
        self.embedding_norm = make_norm(arch) if arch.embedding_norm else None
        self.norm = make_norm(arch) if arch.norm == "pre" else None

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
        elif arch.positions == "sinusoidal":
            form = arch.sinusoid_divisor_minus_one
            table = sinusoid(arch.max_positions, d, divisor_minus_one=form, offset=arch.position_offset)
            self.register_buffer("positions", table, persistent=False)
        self.encoder, self.decoder = Encoder(arch), Decoder(arch)

    def _positions(self, side: str) -> Tensor | None:
        names = {"sinusoidal": "positions", "learned": f"{side}_positions"}
        name = names.get(self.arch.positions)
        return None if name is None else getattr(self, name)

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
        mask = src_mask
        if self.arch.positions == "relative":
            place = torch.arange(ids.shape[1], device=ids.device).unsqueeze(0)
            mask = mask + self.encoder.relative(place, place)
        for layer in self.encoder.layers:
            x = layer(x, mask)
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
        slot_depth: Tensor | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """New nodes' hidden vectors [G, q, d] and what the pool must keep of them.

        Self-attention: `state` is the pool k.0, v.0, k.1, ... [G, H, T, e], `mask` [G, 1, q, T + q] opens each node's
        ancestors and itself, and the new keys and values [G, H, q, e] come back. With relative positions `slot_depth`
        [G, T] says where the pool's nodes stand. SSRU: `state` is each node's parent's [G, q, d], there is no mask, and
        the new states come back.
        """
        x, kept = self.embed_target(ids, depth), []
        if slot_depth is not None:
            mask = mask + self.decoder.relative(depth, torch.cat([slot_depth, depth], 1))
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
        if self.arch.positions == "relative":
            causal = causal + self.decoder.relative(depth, depth)
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

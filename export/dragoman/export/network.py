"""The canonical network: one Transformer encoder-decoder that every importer fills.

It is written once, in the form that graphs are exported from, and is the oracle that graphs are compared with.
The decoder has two forms. `step` computes new tree nodes, given what the pool holds about their ancestors; `full` is
the plain teacher-forced pass over whole sequences, kept as an independent, obvious version of the same thing.

Shapes: G sources, S source positions, T pool slots, q new nodes a source, H heads, e their width, V target words.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dragoman.bundle.manifest import Architecture
from dragoman.export.layers import Attention, Embedding, FeedForward, Ssru, Sublayer, final_norm, make_norm
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
        self.self = Attention(arch, arch.heads, arch.head_dim, own=True)
        self.self_norm = make_norm(arch)
        self.ffn = FeedForward(arch, arch.ffn)
        self.ffn_norm = make_norm(arch)
        self.arch = arch

    def forward(self, x: Tensor, rows: Tensor, places: Tensor, mask: Tensor) -> Tensor:
        """Rows [n, d] -> [n, d]; the mask is broadcast to [G, H, S, S]."""
        part = Sublayer(self.arch, self.self_norm)
        # Every place reads the row that stands there; what padding reads is masked.
        padded = F.embedding(places.flatten(), self.self.qkv(part.before(x)))
        q, k, v = self.self.split(padded, *places.shape)
        y = (torch.softmax(q @ k.transpose(2, 3) + mask, dim=-1) @ v).transpose(1, 2)
        y = y.reshape(-1, self.self.heads * self.self.width)
        x = part.after(x, self.self.o(F.embedding(rows, y)))
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
            self.self = Attention(arch, arch.heads, arch.head_dim, own=True)
        self.self_norm = make_norm(arch)
        self.cross = Attention(arch, arch.heads, arch.head_dim, own=False)
        self.cross_norm = make_norm(arch)
        self.ffn = FeedForward(arch, arch.ffn)
        self.ffn_norm = make_norm(arch)
        self.arch = arch

    def attend(
        self, x: Tensor, shape: tuple[int, int], pool: list[Tensor], mask: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Self-attention of new nodes to the pool and among themselves: rows, and their keys and values.

        The pool is not joined with the new nodes, which would copy all of it at every step: their scores are.
        """
        part = Sublayer(self.arch, self.self_norm)
        q, k, v = self.self.split(self.self.qkv(part.before(x)), *shape)
        scores = torch.cat([q @ pool[0].transpose(2, 3), q @ k.transpose(2, 3)], 3)
        weights = torch.softmax(scores + mask, dim=-1)
        slots = pool[0].shape[2]
        y = weights[..., :slots] @ pool[1] + weights[..., slots:] @ v
        return part.after(x, self.self.merge(y)), [k, v]

    def recur(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """The recurrent unit: rows, and their new states."""
        part = Sublayer(self.arch, self.self_norm)
        new = self.rnn(part.before(x), state)
        return part.after(x, torch.relu(new)), new

    def rest(
        self, x: Tensor, shape: tuple[int, int], keys: Tensor, values: Tensor, src_mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Everything after the part that sees other target positions, and the cross-attention [G, H, q, S].

        Keys come turned, [G, H, e, S]: made once and read at every step, they are read in the order they lie in.
        """
        part = Sublayer(self.arch, self.cross_norm)
        (q,) = self.cross.split(self.cross.q(part.before(x)), *shape)
        weights = torch.softmax(q @ keys + src_mask, dim=-1)
        x = part.after(x, self.cross.merge(weights @ values))
        part = Sublayer(self.arch, self.ffn_norm)
        return part.after(x, self.ffn(part.before(x))), weights


class Encoder(nn.Module):
    """The encoder's stack; embeddings come from the network that owns them."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        own = arch.of_encoder
        if arch.positions == "relative":
            self.relative = RelativeBias(arch, own.heads, two_sided=True)
        self.layers = nn.ModuleList(EncoderLayer(own) for _ in range(arch.encoder_layers))
        self.embedding_norm = make_norm(own) if arch.embedding_norm else None
        self.norm = final_norm(own, wanted=arch.encoder_final_norm)


class Decoder(nn.Module):
    """The decoder's stack."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        if arch.positions == "relative":
            self.relative = RelativeBias(arch, arch.heads, two_sided=False)
        self.layers = nn.ModuleList(DecoderLayer(arch) for _ in range(arch.decoder_layers))
        self.embedding_norm = make_norm(arch) if arch.embedding_norm else None
        self.norm = final_norm(arch, wanted=arch.decoder_final_norm)

    def stack(self) -> list[DecoderLayer]:
        """The layers, first to last."""
        return [layer for layer in self.layers if isinstance(layer, DecoderLayer)]


class Network(nn.Module):
    """An encoder-decoder with the weights of one checkpoint."""

    positions: Tensor
    """Sinusoids [max_positions, d]."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        self.arch = arch
        d, encoder_d = arch.d_model, arch.of_encoder.d_model
        self.source_embedding = nn.Parameter(torch.empty(arch.source_vocabulary, encoder_d))
        if arch.tying != "all":
            self.target_embedding = nn.Parameter(torch.empty(arch.target_vocabulary, d))
        if arch.tying == "none":
            self.output_embedding = nn.Parameter(torch.empty(arch.target_vocabulary, d))
        if arch.output_bias:
            self.output_bias = nn.Parameter(torch.empty(arch.target_vocabulary))
        if arch.positions == "learned":
            self.source_positions = nn.Parameter(torch.empty(arch.max_positions, encoder_d))
            self.target_positions = nn.Parameter(torch.empty(arch.max_positions, d))
        elif arch.positions == "sinusoidal":
            form = arch.sinusoid_divisor_minus_one
            for name, width in (("positions", d), *((("source_positions", encoder_d),) if encoder_d != d else ())):
                table = sinusoid(arch.max_positions, width, divisor_minus_one=form, offset=arch.position_offset)
                self.register_buffer(name, table, persistent=False)
        self.encoder, self.decoder = Encoder(arch), Decoder(arch)
        self.nat = nn.ModuleDict()
        """Non-autoregressive decoders on the same encoder, by name: `dragoman.export.nat`."""

    def target_place_vectors(self) -> Tensor | None:
        """What is added to target words where they stand [max_positions, d]; None where positions are relative."""
        return self._positions("target")

    def _positions(self, side: str) -> Tensor | None:
        if self.arch.positions == "relative":
            return None
        own: Tensor | None = getattr(self, f"{side}_positions", None)
        return self.positions if own is None else own

    @property
    def target_words(self) -> nn.Parameter:
        """The matrix that target ids are embedded with: [V, d]."""
        return self.source_embedding if self.arch.tying == "all" else self.target_embedding

    @property
    def output_words(self) -> nn.Parameter:
        """The matrix that gives logits: [V, d]."""
        return self.output_embedding if self.arch.tying == "none" else self.target_words

    def encode(self, ids: Tensor, depth: Tensor, rows: Tensor, places: Tensor, src_mask: Tensor) -> Tensor:
        """The words of G sources without their padding, and their positions, both [n] -> hidden rows [n, d].

        `rows` [n] says which place of G x S each word has, `places` [G, S] which word stands there (padding: any), and
        `src_mask` [G, 1, 1, S] is additive. Only attention works on places: padding costs nothing elsewhere.
        """
        embed = Embedding(self.arch, self.source_embedding, self._positions("source"), self.encoder.embedding_norm)
        x, mask = embed(ids, depth, may_start=False), src_mask
        if self.arch.positions == "relative":
            place = torch.arange(places.shape[1], device=ids.device).unsqueeze(0)
            mask = mask + self.encoder.relative(place, place)
        for layer in self.encoder.layers:
            x = layer(x, rows, places, mask)
        return x if self.encoder.norm is None else self.encoder.norm(x)

    def cross(self, hidden: Tensor, places: Tensor) -> list[Tensor]:
        """Cross-attention keys [G, H, e, S] and values [G, H, S, e] of every decoder layer: k.0, v.0, k.1, v.1, ..."""
        found = []
        for layer in self.decoder.stack():
            keys, values = layer.cross.split(F.embedding(places.flatten(), layer.cross.kv(hidden)), *places.shape)
            found += [keys.transpose(2, 3), values]
        return found

    def memory(self, ids: Tensor, src_mask: Tensor) -> list[Tensor]:
        """The same from padded ids [G, S]: padding is encoded like any word, and masked. Slow and obvious."""
        places = torch.arange(ids.numel()).reshape(ids.shape)
        # Padding may go beyond the last position; any position will do.
        depth = torch.arange(ids.shape[1]).clamp(max=self.arch.max_positions - 1).expand_as(ids)
        return self.cross(self.encode(ids.flatten(), depth.flatten(), places.flatten(), places, src_mask), places)

    def embed_target(self, ids: Tensor, depth: Tensor) -> Tensor:
        """[G, q] -> rows [G * q, d]."""
        norm = self.decoder.embedding_norm
        embed = Embedding(self.arch, self.target_words, self._positions("target"), norm)
        x: Tensor = embed(ids.flatten(), depth.flatten(), may_start=True)
        return x

    def finish(self, x: Tensor) -> Tensor:
        """The decoder's output as the output layer reads it."""
        return x if self.decoder.norm is None else self.decoder.norm(x)

    def logits(self, x: Tensor) -> Tensor:
        """[n, d] -> [n, V]."""
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
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """New nodes' hidden rows [n, d], n being G x q, what they attended to [G, q, S], and what the pool must keep.

        Self-attention: `state` is the pool k.0, v.0, k.1, ... [G, H, T, e], `mask` [G, 1, q, T + q] opens each node's
        ancestors and itself, and the new keys and values [G, H, q, e] come back. With relative positions `slot_depth`
        [G, T] says where the pool's nodes stand. SSRU: `state` is each node's parent's [G, q, d], there is no mask, and
        the new states [n, d] come back.
        """
        shape = (ids.shape[0], ids.shape[1])
        x, kept = self.embed_target(ids, depth), []
        if slot_depth is not None:
            mask = mask + self.decoder.relative(depth, torch.cat([slot_depth, depth], 1))
        for n, layer in enumerate(self.decoder.stack()):
            if self.arch.decoder == "ssru":
                x, new = layer.recur(x, state[n].reshape(-1, self.arch.d_model))
                kept.append(new)
            else:
                assert mask is not None
                x, own = layer.attend(x, shape, state[2 * n : 2 * n + 2], mask)
                kept += own
            x, weights = layer.rest(x, shape, cross[2 * n], cross[2 * n + 1], src_mask)
        head = self.arch.alignment_head
        attention = weights.mean(1) if head is None else weights[:, head]
        return self.finish(x), attention, kept

    def forced(self, ids: Tensor, memory: list[Tensor], src_mask: Tensor) -> Tensor:
        """What the output layer reads along whole sequences, rows [G * T, d]; ids [G, T] begin with the start id."""
        shape, d = (ids.shape[0], ids.shape[1]), self.arch.d_model
        depth = torch.arange(shape[1], device=ids.device).expand_as(ids)
        x = self.embed_target(ids, depth)
        causal = torch.full((shape[1], shape[1]), MASKED, dtype=x.dtype, device=ids.device).triu(1)
        if self.arch.positions == "relative":
            causal = causal + self.decoder.relative(depth, depth)
        for n, layer in enumerate(self.decoder.stack()):
            if self.arch.decoder == "ssru":
                x = _recur_over_time(layer, x.reshape(*shape, d)).reshape(-1, d)
            else:
                part = Sublayer(self.arch, layer.self_norm)
                q, k, v = layer.self.split(layer.self.qkv(part.before(x)), *shape)
                x = part.after(x, layer.self.merge(torch.softmax(q @ k.transpose(2, 3) + causal, dim=-1) @ v))
            x, _ = layer.rest(x, shape, memory[2 * n], memory[2 * n + 1], src_mask)
        return self.finish(x)

    def full(self, ids: Tensor, memory: list[Tensor], src_mask: Tensor) -> Tensor:
        """Teacher-forced logits [G, T, V]: ids [G, T] are what the decoder reads, the start id first."""
        return self.logits(self.forced(ids, memory, src_mask)).reshape(*ids.shape, -1)


def _recur_over_time(layer: DecoderLayer, x: Tensor) -> Tensor:
    """The recurrent unit over whole sequences [G, T, d]: its matrices see all words at once, its states one by one."""
    part = Sublayer(layer.arch, layer.self_norm)
    read, state, found = layer.rnn.both(part.before(x)), torch.zeros_like(x[:, 0]), []
    for t in range(x.shape[1]):
        state = layer.rnn.mix(read[:, t], state)
        found.append(state)
    return part.after(x, torch.relu(torch.stack(found, 1)))

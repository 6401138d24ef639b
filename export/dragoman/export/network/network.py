"""The canonical network: the Transformer encoder-decoder that importers fill, and what all networks share.

It is written once, in the form that graphs are exported from, and is the oracle that graphs are compared with.
The decoder has two forms. `step` computes new tree nodes, given what the pool holds about their ancestors; `full` is
the plain teacher-forced pass over whole sequences, kept as an independent, obvious version of the same thing.

Shapes: G sources, S source positions, T pool slots, q new nodes a source, H heads, e their width, V target words.
"""

from collections.abc import Iterator
from itertools import repeat

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dragoman.bundle.manifest import Architecture
from dragoman.export.network.approximate import ApproximateAttention, LinearAttention
from dragoman.export.network.layers import (
    Attention,
    Embedding,
    FeedForward,
    OutputTransform,
    Ssru,
    Sublayer,
    final_norm,
    make_norm,
    norm_behind,
)
from dragoman.export.network.pointer import Pointer, mixed
from dragoman.export.network.positions import RelativeBias, Turning, clipped, near_masks, sinusoid, turned
from dragoman.export.network.window import View, WindowAttention, Windows

MASKED = -1e9
"""Added to attention scores that must not count: exp() of it is exactly zero."""


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward."""

    self: Attention
    self_norm: nn.Module
    ffn_norm: nn.Module

    def __init__(self, arch: Architecture, number: int | None = None) -> None:
        """With a `number`, the layer of that number of an encoder, which may have a window or another attention."""
        super().__init__()
        if arch.encoder_window is not None and number is not None:
            self.self = WindowAttention(arch, arch.encoder_window, number)
        elif arch.encoder_attention is not None and number is not None:
            self.self = ApproximateAttention(arch, arch.encoder_attention, MASKED)
        else:
            self.self = Attention(arch, arch.heads, arch.head_dim, is_self=True)
        self.self_norm = make_norm(arch)
        self.self_after = norm_behind(arch)
        self.ffn = FeedForward(arch, arch.ffn)
        self.ffn_norm = make_norm(arch)
        self.ffn_after = norm_behind(arch)
        self.arch = arch

    def forward(
        self,
        x: Tensor,
        rows: Tensor,
        places: Tensor,
        mask: Tensor,
        number: Tensor | None,
        turn: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Rows [n, d] -> [n, d]; the mask is broadcast to [G, H, S, S]; `number` [1, S, S] numbers Shaw's distances.

        `turn` says how queries and keys are turned where they stand.
        """
        part = Sublayer(self.arch, self.self_norm, self.self_after)
        if isinstance(self.self, ApproximateAttention):
            y = self.self.see(part.before(x), places, mask).transpose(1, 2).flatten(0, 1).flatten(1)
            return self.think(part.after(x, self.self.o(F.embedding(rows, y))))
        # Every place reads the row that stands there; what padding reads is masked.
        padded = F.embedding(places.flatten(), self.self.rows(part.before(x)))
        q, k, v = self.self.split_rows(padded, *places.shape)
        if turn is not None:
            q, k = turned(q, turn), turned(k, turn)
        if number is not None:
            number = number.expand(places.shape[0], -1, -1)
            mask = mask + self.self.near_scores(q, number)
        weights = torch.softmax(self.self.capped(self.self.scores(q, k.transpose(2, 3))) + mask, dim=-1)
        y = self.self.read(weights, v)
        if number is not None:
            y = y + self.self.near_values(weights, number)
        y = y.transpose(1, 2).reshape(-1, self.self.heads * self.self.width)
        return self.think(part.after(x, self.self.o(F.embedding(rows, y))))

    def look(self, x: Tensor, rows: Tensor, view: View) -> Tensor:
        """Rows [n, d] -> [n, d], of words that see through a window."""
        assert isinstance(self.self, WindowAttention), "made with a number"
        part = Sublayer(self.arch, self.self_norm, self.self_after)
        read = self.self.normed(x, self.self_norm, view) if part.is_pre else x
        return self.think(part.after(x, self.self.o(self.self.see(read, rows, view))))

    def think(self, x: Tensor) -> Tensor:
        """The feed-forward part: rows [n, d] -> [n, d]."""
        part = Sublayer(self.arch, self.ffn_norm, self.ffn_after)
        return part.after(x, self.ffn(part.before(x)))


class DecoderLayer(nn.Module):
    """Self-attention, linear attention or SSRU; cross-attention; feed-forward."""

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
        elif arch.decoder == "linear-attention":
            self.self = LinearAttention(arch)
        else:
            self.self = Attention(arch, arch.heads, arch.head_dim, is_self=True)
        self.self_norm = make_norm(arch)
        self.self_after = norm_behind(arch)
        self.cross = Attention(arch, arch.heads, arch.head_dim, is_self=False)
        self.cross_norm = make_norm(arch)
        self.cross_after = norm_behind(arch)
        self.ffn = FeedForward(arch, arch.ffn)
        self.ffn_norm = make_norm(arch)
        self.ffn_after = norm_behind(arch)
        self.arch = arch

    def attend(
        self,
        x: Tensor,
        shape: tuple[int, int],
        pool: list[Tensor],
        mask: Tensor,
        number: Tensor | None = None,
        turn: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Self-attention of new nodes to the pool and among themselves: rows, and their keys and values.

        `number` [G, q, T + q] numbers Shaw's distances; `turn` says how new queries and keys are turned.

        The pool is not joined with the new nodes, which would copy all of it at every step: their scores are.
        """
        part, own = Sublayer(self.arch, self.self_norm, self.self_after), self.self
        q, k, v = own.split_rows(own.rows(part.before(x)), *shape)
        if turn is not None:
            q, k = turned(q, turn), turned(k, turn)
        scores = torch.cat([own.scores(q, pool[0].transpose(2, 3)), own.scores(q, k.transpose(2, 3))], 3)
        if number is not None:
            scores = scores + own.near_scores(q, number)
        weights = torch.softmax(own.capped(scores) + mask, dim=-1)
        slots = pool[0].shape[2]
        y = own.read(weights[..., :slots], pool[1]) + own.read(weights[..., slots:], v)
        if number is not None:
            y = y + self.self.near_values(weights, number)
        return part.after(x, self.self.merge(y)), [k, v]

    def recur(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Linear attention or the recurrent unit: rows, and their new states."""
        part = Sublayer(self.arch, self.self_norm, self.self_after)
        if self.arch.decoder == "linear-attention":
            assert isinstance(self.self, LinearAttention)
            y, new = self.self.recall(part.before(x), state)
            return part.after(x, y), new
        new = self.rnn(part.before(x), state)
        return part.after(x, torch.relu(new)), new

    def rest(
        self, x: Tensor, shape: tuple[int, int], keys: Tensor, values: Tensor, src_mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Everything after the part that sees other target positions, and the cross-attention [G, H, q, S].

        Keys come turned, [G, H, e, S]: made once and read at every step, they are read in the order they lie in.
        """
        part, cross = Sublayer(self.arch, self.cross_norm, self.cross_after), self.cross
        (q,) = cross.split(cross.q(part.before(x)), *shape)
        weights = torch.softmax(cross.capped(cross.scores(q, keys)) + src_mask, dim=-1)
        x = part.after(x, cross.merge(cross.read(weights, values)))
        part = Sublayer(self.arch, self.ffn_norm, self.ffn_after)
        return part.after(x, self.ffn(part.before(x))), weights


class Stack(nn.Module):
    """What both stacks have in common: how the positions of words change what attention sees."""

    relative: RelativeBias | None
    turning: Turning | None

    def __init__(self, arch: Architecture, heads: int, layers: int, *, two_sided: bool) -> None:
        """`arch` has the stack's own sizes."""
        super().__init__()
        rotary = arch.rotary
        self.reach = () if rotary is None else (*rotary.reach, *[None] * layers)[:layers]
        self.turning = None if rotary is None else Turning(rotary.base, arch.head_dim, arch.max_positions)
        own = layers if arch.relative_by_layer else None
        is_biased = arch.positions == "relative"
        self.relative = RelativeBias(arch, heads, two_sided=two_sided, layers=own) if is_biased else None

    def masks(self, mask: Tensor, queries: Tensor, keys: Tensor) -> Iterator[Tensor]:
        """The mask of each layer in turn, for queries and keys that stand at these positions [G, q] and [G, n]."""
        if any(seen is not None for seen in self.reach):
            return near_masks(mask, queries, keys, self.reach, MASKED)
        return repeat(mask) if self.relative is None else self.relative.masks(mask, queries, keys)

    def turn(self, depth: Tensor) -> tuple[Tensor, Tensor] | None:
        """How queries and keys are turned that stand at these positions [G, n]; None where they are not."""
        return None if self.turning is None else self.turning(depth)


class Encoder(Stack):
    """The encoder's stack; embeddings come from the network that owns them."""

    def __init__(self, arch: Architecture) -> None:
        sizes = arch.of_encoder
        super().__init__(sizes, sizes.heads, arch.encoder_layers, two_sided=True)
        window = arch.encoder_window
        self.windows = None if window is None else Windows(sizes, window, MASKED)
        self.layers = nn.ModuleList(EncoderLayer(sizes, number) for number in range(arch.encoder_layers))
        self.embedding_norm = make_norm(sizes) if arch.embedding_norm else None
        self.norm = final_norm(sizes, wanted=arch.encoder_final_norm)

    def through_windows(self, x: Tensor, rows: Tensor, places: Tensor, src_mask: Tensor) -> Tensor | None:
        """What the layers make of rows where each word sees what is near; None where it sees all."""
        if self.windows is None:
            return None
        view, words = self.windows(places, src_mask, self.relative), x.shape[0]
        x = self.windows.with_tokens(x, places.shape[0])
        for layer in self.layers:
            assert isinstance(layer, EncoderLayer)
            x = layer.look(x, rows, view)
        return x[:words]


class Decoder(Stack):
    """The decoder's stack."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__(arch, arch.heads, arch.decoder_layers, two_sided=False)
        self.layers = nn.ModuleList(DecoderLayer(arch) for _ in range(arch.decoder_layers))
        self.embedding_norm = make_norm(arch) if arch.embedding_norm else None
        self.norm = final_norm(arch, wanted=arch.decoder_final_norm)
        self.transform = None if arch.output_transform is None else OutputTransform(arch, arch.output_transform)

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
        recurrent = arch.recurrent
        source, target = (arch.of_encoder.d_model, arch.d_model)
        if recurrent is not None:
            source, target = recurrent.source_width, recurrent.target_width
        self.source_embedding = nn.Parameter(torch.empty(arch.source_vocabulary, source))
        if arch.tying != "all":
            self.target_embedding = nn.Parameter(torch.empty(arch.target_vocabulary, target))
        if arch.tying == "none":
            self.output_embedding = nn.Parameter(torch.empty(arch.target_vocabulary, arch.d_model))
        if arch.output_bias:
            self.output_bias = nn.Parameter(torch.empty(arch.target_vocabulary))
        self._build(arch)
        if arch.copies:
            self.pointer = Pointer(self._pointer_inputs())
        self.nat = nn.ModuleDict()
        """Non-autoregressive decoders on the same encoder, by name: `dragoman.export.network.nat`."""

    def _build(self, arch: Architecture) -> None:
        """Make everything but the words."""
        d, encoder_d = arch.d_model, arch.of_encoder.d_model
        if arch.positions == "learned":
            self.source_positions = nn.Parameter(torch.empty(arch.source_positions, encoder_d))
            self.target_positions = nn.Parameter(torch.empty(arch.max_positions, d))
        elif arch.positions == "sinusoidal":
            form = arch.sinusoid_divisor_minus_one
            tables = {"positions": (arch.max_positions, d)}
            if (arch.source_positions, encoder_d) != tables["positions"]:
                tables["source_positions"] = arch.source_positions, encoder_d
            for name, sizes in tables.items():
                table = sinusoid(*sizes, divisor_minus_one=form, offset=arch.position_offset)
                self.register_buffer(name, table, persistent=False)
        self.encoder, self.decoder = Encoder(arch), Decoder(arch)

    def target_place_vectors(self) -> Tensor | None:
        """What is added to target words where they stand [max_positions, d]; None where positions are relative."""
        return self._positions("target")

    def _positions(self, side: str) -> Tensor | None:
        if self.arch.positions in ("relative", "shaw", "rotary"):
            return None
        table: Tensor | None = getattr(self, f"{side}_positions", None)
        return self.positions if table is None else table

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
        x, number = embed(ids, depth, may_start=False), None
        seen = self.encoder.through_windows(x, rows, places, src_mask)
        if seen is not None:
            return seen if self.encoder.norm is None else self.encoder.norm(seen)
        place = torch.arange(places.shape[1], device=ids.device).unsqueeze(0)
        if self.arch.positions == "shaw":
            number = clipped(place, place, self.arch.relative_distance)
        masks = self.encoder.masks(src_mask, place, place)
        turn = self.encoder.turn(place)
        for layer, mask in zip(self.encoder.layers, masks, strict=False):
            x = layer(x, rows, places, mask, number, turn)
        return x if self.encoder.norm is None else self.encoder.norm(x)

    def cross(self, hidden: Tensor, places: Tensor) -> list[Tensor]:
        """Cross-attention keys [G, H, e, S] and values [G, H, S, e] of every decoder layer: k.0, v.0, k.1, v.1, ..."""
        cross = []
        for layer in self.decoder.stack():
            rows = F.embedding(places.flatten(), layer.cross.kv(hidden))
            keys, values = layer.cross.split_memory(rows, *places.shape)
            cross += [keys.transpose(2, 3), values]
        return cross

    def read(self, ids: Tensor, depth: Tensor, rows: Tensor, places: Tensor, src_mask: Tensor) -> list[Tensor]:
        """All that decoding reads of sources, whose arguments are those of `encode`."""
        return self.cross(self.encode(ids, depth, rows, places, src_mask), places)

    def first(self, memory: list[Tensor]) -> list[Tensor]:
        """The state of each tree's root: an empty pool, or zeros."""
        arch, count = self.arch, memory[0].shape[0]
        if arch.keeps_states:
            return [torch.zeros(count, 1, arch.state_width) for _ in range(arch.decoder_layers)]
        return [torch.zeros(count, arch.key_heads, 0, arch.head_dim) for _ in range(2 * arch.decoder_layers)]

    def memory(self, ids: Tensor, src_mask: Tensor) -> list[Tensor]:
        """What `read` gives, from padded ids [G, S]: padding is encoded like words, then masked. Slow and obvious."""
        places = torch.arange(ids.numel()).reshape(ids.shape)
        # Padding may go beyond the last position; any position will do.
        depth = torch.arange(ids.shape[1]).clamp(max=self.arch.source_positions - 1).expand_as(ids)
        return self.read(ids.flatten(), depth.flatten(), places.flatten(), places, src_mask)

    def _pointer_inputs(self) -> int:
        """How many numbers the gate reads: what the output layer reads, and the embedded word."""
        return 2 * self.arch.d_model

    def with_gate(self, x: Tensor, ids: Tensor, also: Tensor | None = None) -> Tensor:
        """Rows as the output layer reads them, with one column more where words are copied: the gate's.

        The gate reads what the output layer does, or `also`, and the words alone, without their positions.
        """
        if not self.arch.copies:
            return x
        embed = Embedding(self.arch, self.target_words, None, None)
        words = embed(ids.flatten(), ids.flatten(), may_start=True)
        return torch.cat([x, self.pointer(torch.cat([x if also is None else also, words], 1))], 1)

    def mixed(self, x: Tensor, attention: Tensor, extended: Tensor) -> Tensor:
        """Log-probabilities [n, V + S] of rows with a gate, in the way of a pointer-generator."""
        return mixed(self.logits(x), x[:, -1:], attention, extended)

    def embed_target(self, ids: Tensor, depth: Tensor) -> Tensor:
        """Target words and their positions [G, q] -> rows [G * q, d]."""
        x: Tensor = self.target_embed()(ids.flatten(), depth.flatten(), may_start=True)
        return x

    def target_embed(self) -> Embedding:
        """What makes rows of target words and their positions."""
        norm = self.decoder.embedding_norm
        return Embedding(self.arch, self.target_words, self._positions("target"), norm, is_target=True)

    def finish(self, x: Tensor) -> Tensor:
        """The decoder's output as the output layer reads it."""
        x = x if self.decoder.norm is None else self.decoder.norm(x)
        return x if self.decoder.transform is None else self.decoder.transform(x)

    def logits(self, x: Tensor) -> Tensor:
        """[n, d] -> [n, V]; a gate's column is not read."""
        x = x[:, : self.arch.d_model] if self.arch.copies else x
        y = self.capped(x @ self.output_words.T)
        return y + self.output_bias if self.arch.output_bias else y

    def capped(self, logits: Tensor) -> Tensor:
        """Words' scores that go no farther than a cap, where there is one."""
        cap = self.arch.output_cap
        return logits if cap is None else cap * torch.tanh(logits / cap)

    def step(
        self,
        ids: Tensor,
        depth: Tensor,
        mask: Tensor | None,
        state: list[Tensor],
        cross: list[Tensor],
        src_mask: Tensor,
        slot_depth: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None, list[Tensor]]:
        """New nodes' hidden rows [n, d], n being G x q, what they attended to [G, q, S], and what the pool must keep.

        Self-attention: `state` is the pool k.0, v.0, k.1, ... [G, H, T, e], `mask` [G, 1, q, T + q] opens each node's
        ancestors and itself, and the new keys and values [G, H, q, e] come back. With relative positions `slot_depth`
        [G, T] says where the pool's nodes stand. SSRU and linear attention: `state` is each node's parent's [G, q, w],
        there is no mask, and the new states [n, w] come back.
        """
        shape = (ids.shape[0], ids.shape[1])
        x, kept, number = self.embed_target(ids, depth), [], None
        keys = depth if slot_depth is None else torch.cat([slot_depth, depth], 1)
        if self.arch.positions == "shaw":
            number = clipped(depth, keys, self.arch.relative_distance)
        turn = self.decoder.turn(depth)
        masks: Iterator[Tensor | None] = repeat(None) if mask is None else self.decoder.masks(mask, depth, keys)
        for n, (layer, seen) in enumerate(zip(self.decoder.stack(), masks, strict=False)):
            if self.arch.keeps_states:
                x, new = layer.recur(x, state[n].reshape(-1, self.arch.state_width))
                kept.append(new)
            else:
                assert seen is not None
                x, pair = layer.attend(x, shape, state[2 * n : 2 * n + 2], seen, number, turn)
                kept += pair
            x, weights = layer.rest(x, shape, cross[2 * n], cross[2 * n + 1], src_mask)
        return self.with_gate(self.finish(x), ids), self.aligning(weights), kept

    def aligning(self, weights: Tensor) -> Tensor:
        """Which source words each word comes from, by what the last layer attended to: [G, H, q, S] -> [G, q, S]."""
        head = self.arch.alignment_head
        return weights.mean(1) if head is None else weights[:, head]

    def full(self, ids: Tensor, memory: list[Tensor], src_mask: Tensor, extended: Tensor | None = None) -> Tensor:
        """Teacher-forced logits [G, T, V]: ids [G, T] are what the decoder reads, the start id first.

        With `extended` [G, S], log-probabilities [G, T, V + S].
        """
        x, attention = self.attended(ids, memory, src_mask)
        x = self.with_gate(x, ids)
        if extended is None:
            return self.logits(x).reshape(*ids.shape, -1)
        return self.mixed(x, attention, extended).reshape(*ids.shape, -1)

    def forced(self, ids: Tensor, memory: list[Tensor], src_mask: Tensor) -> Tensor:
        """What the output layer reads along whole sequences, rows [G * T, d]; ids [G, T] begin with the start id."""
        return self.attended(ids, memory, src_mask)[0]

    def attended(self, ids: Tensor, memory: list[Tensor], src_mask: Tensor) -> tuple[Tensor, Tensor]:
        """What `forced` gives, and which source words each word comes from [G, T, S]."""
        shape, d = (ids.shape[0], ids.shape[1]), self.arch.d_model
        depth = torch.arange(shape[1], device=ids.device).expand_as(ids)
        x = self.embed_target(ids, depth)
        causal = torch.full((shape[1], shape[1]), MASKED, dtype=x.dtype, device=ids.device).triu(1)
        number = clipped(depth, depth, self.arch.relative_distance) if self.arch.positions == "shaw" else None
        weights = src_mask  # a decoder without layers attends to nothing
        masks = self.decoder.masks(causal, depth, depth)
        for n, (layer, mask) in enumerate(zip(self.decoder.stack(), masks, strict=False)):
            if self.arch.decoder == "ssru":
                x = _recur_over_time(layer, x.reshape(*shape, d)).reshape(-1, d)
            elif self.arch.decoder == "linear-attention":
                part = Sublayer(self.arch, layer.self_norm, layer.self_after)
                assert isinstance(layer.self, LinearAttention)
                x = part.after(x, layer.self.along(part.before(x), shape))
            else:
                part, own = Sublayer(self.arch, layer.self_norm, layer.self_after), layer.self
                q, k, v = own.split_rows(own.rows(part.before(x)), *shape)
                turn = self.decoder.turn(depth)
                if turn is not None:
                    q, k = turned(q, turn), turned(k, turn)
                scores = own.capped(own.scores(q, k.transpose(2, 3))) + mask
                if number is not None:
                    scores = scores + own.near_scores(q, number)
                seen = scores.softmax(-1)
                y = own.read(seen, v) if number is None else seen @ v + own.near_values(seen, number)
                x = part.after(x, layer.self.merge(y))
            x, weights = layer.rest(x, shape, memory[2 * n], memory[2 * n + 1], src_mask)
        return self.finish(x), self.aligning(weights)


def _recur_over_time(layer: DecoderLayer, x: Tensor) -> Tensor:
    """The recurrent unit over whole sequences [G, T, d]: its matrices see all words at once, its states one by one."""
    part = Sublayer(layer.arch, layer.self_norm, layer.self_after)
    read, state, states = layer.rnn.both(part.before(x)), torch.zeros_like(x[:, 0]), []
    for t in range(x.shape[1]):
        state = layer.rnn.mix(read[:, t], state)
        states.append(state)
    return part.after(x, torch.relu(torch.stack(states, 1)))

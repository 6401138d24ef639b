"""The canonical network of the second family: LSTM or GRU encoder and decoder with attention, behind the same step.

The decoder attends with the newest hidden state of its last layer and gives tanh(W [context, hidden]), which with input
feeding the next step reads beside its word (Luong's order). States are kept for each node as SSRU's are: `h` of every
layer, and `c` of an LSTM's, then what is fed.

The encoder's matrices stay as torch has them, [gates * hidden, in], and are multiplied by ONNX Runtime's own LSTM and
GRU, which know true lengths; the decoder's are [in, gates * hidden] like all others. Gates come in torch's order.
Shapes are those of `network`; M is the width of the encoder's row of a word, h that of hidden states.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dragoman.bundle.manifest import Architecture, Recurrent
from dragoman.export.network.layers import Embedding, Linear
from dragoman.export.network.network import Network

GATES = {"lstm": 4, "gru": 3}
ONNX_GATES = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2)}
"""The places of ONNX's gates among torch's: input, output, forget, cell; update, reset, hidden."""


def sizes_of(arch: Architecture) -> Recurrent:
    """The sizes that an architecture of this family has."""
    assert arch.recurrent is not None, "the manifest's rules give every recurrent decoder its sizes"
    return arch.recurrent


def cell(kind: str, given: Tensor, recurrent: Tensor, state: list[Tensor]) -> list[Tensor]:
    """New states from the gates' two sums, of the input and of the state before: [n, gates * h] each."""
    if kind == "lstm":
        i, f, g, o = (given + recurrent).chunk(4, 1)
        c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
        return [torch.sigmoid(o) * torch.tanh(c), c]
    (ri, zi, ni), (rh, zh, nh) = given.chunk(3, 1), recurrent.chunk(3, 1)
    new = torch.tanh(ni + torch.sigmoid(ri + rh) * nh)
    return [new + torch.sigmoid(zi + zh) * (state[0] - new)]


class RecurrentEncoder(nn.Module):
    """Layers that read a source in one direction or both."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        sizes = sizes_of(arch)
        self.kind, self.hidden, self.layers = arch.decoder, sizes.encoder_hidden, arch.encoder_layers
        self.directions = ("", "_reverse") if sizes.bidirectional else ("",)
        form = nn.LSTM if self.kind == "lstm" else nn.GRU
        self.rnn = form(sizes.source_width, self.hidden, self.layers, bidirectional=sizes.bidirectional)

    def forward(self, x: Tensor, is_word: Tensor) -> tuple[Tensor, list[Tensor]]:
        """[G, S, d] and [G, S] -> [G, S, M], zero at padding, and last states [G, M]: h, and c, of every layer."""
        last = []
        for layer in range(self.layers):
            read = self._fused if torch.onnx.is_in_onnx_export() else self._plain
            x, states = read(layer, x, is_word)
            last += states
        return x, last

    def _weights(self, layer: int, direction: str) -> list[Tensor]:
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        return [getattr(self.rnn, f"{name}_l{layer}{direction}") for name in names]

    def _plain(self, layer: int, x: Tensor, is_word: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Word by word: slow and obvious."""
        outputs, last = [], []
        for direction in self.directions:
            w, u, b, c = self._weights(layer, direction)
            state = [x.new_zeros(x.shape[0], self.hidden) for _ in range(2 if self.kind == "lstm" else 1)]
            hidden, order = [torch.empty(0)] * x.shape[1], range(x.shape[1])
            for t in reversed(order) if direction else order:
                new = cell(self.kind, F.linear(x[:, t], w, b), F.linear(state[0], u, c), state)
                here = is_word[:, t, None]
                state = [torch.where(here, a, b) for a, b in zip(new, state, strict=True)]
                hidden[t] = new[0] * here
            outputs.append(torch.stack(hidden, 1))
            last.append(state)
        return torch.cat(outputs, 2), [torch.cat(each, 1) for each in zip(*last, strict=True)]

    def _fused(self, layer: int, x: Tensor, is_word: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The layer as one node of a graph."""
        h = self.hidden

        def turned(weight: Tensor) -> Tensor:
            return torch.cat([weight[gate * h : (gate + 1) * h] for gate in ONNX_GATES[self.kind]], 0)

        made = [[turned(weight) for weight in self._weights(layer, direction)] for direction in self.directions]
        w, u, b, c = (torch.stack(each) for each in zip(*made, strict=True))
        sources, positions, directions = x.shape[0], x.shape[1], len(self.directions)
        way = "bidirectional" if directions == 2 else "forward"
        attributes: dict[str, Any] = {"hidden_size": self.hidden, "direction": way}
        if self.kind == "gru":
            attributes["linear_before_reset"] = 1
        states = 2 if self.kind == "lstm" else 1
        lengths = is_word.sum(1).to(torch.int32)
        hidden, *last = torch.onnx.ops.symbolic_multi_out(
            self.kind.upper(),
            (x.transpose(0, 1), w, u, torch.cat([b, c], 1), lengths),
            attributes,
            dtypes=[torch.float32] * (1 + states),
            shapes=[(positions, directions, sources, self.hidden), *[(directions, sources, self.hidden)] * states],
        )
        y = hidden.permute(2, 0, 1, 3).reshape(sources, positions, -1)
        return y, [state.transpose(0, 1).reshape(sources, -1) for state in last]


class Cell(nn.Module):
    """One layer of the decoder."""

    def __init__(self, kind: str, inputs: int, hidden: int) -> None:
        super().__init__()
        self.kind = kind
        self.input, self.state = Linear(inputs, GATES[kind] * hidden), Linear(hidden, GATES[kind] * hidden)

    def forward(self, x: Tensor, state: list[Tensor]) -> list[Tensor]:
        """Rows [n, in] and their parents' states -> new states [n, h]: h, and c."""
        return cell(self.kind, self.input(x), self.state(state[0]), state)


class Attention(nn.Module):
    """Scores of hidden states and source words, and what becomes of the context."""

    query: Linear
    key: Linear
    score: nn.Parameter

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        sizes = sizes_of(arch)
        self.kind, hidden, memory = sizes.attention, sizes.decoder_hidden, sizes.memory_width
        if self.kind == "additive":
            self.query = Linear(hidden, sizes.key_width, bias=False)
            self.score = nn.Parameter(torch.empty(sizes.key_width))
        if self.kind != "dot":
            self.key = Linear(memory, sizes.key_width, bias=self.kind == "additive")
        self.out = Linear(memory + hidden, hidden)

    def keys(self, memory: Tensor) -> Tensor:
        """Keys [G, 1, e, S] of the encoder's words [G, S, M], made once a source."""
        rows = memory.flatten(0, 1)
        keys: Tensor = rows if self.kind == "dot" else self.key(rows)
        keys = keys.reshape(*memory.shape[:2], -1)
        return keys.transpose(1, 2).unsqueeze(1)

    def forward(
        self, hidden: Tensor, shape: tuple[int, int], keys: Tensor, values: Tensor, src_mask: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Rows [G * q, h] -> rows that go on [G * q, h], contexts [G * q, M], and the attention [G, 1, q, S]."""
        query = self.query(hidden) if self.kind == "additive" else hidden
        query = query.unflatten(0, shape).unsqueeze(1)
        if self.kind == "additive":
            scores = self.score @ torch.tanh(query.unsqueeze(-1) + keys.unsqueeze(2))
        else:
            scores = query @ keys
        weights = torch.softmax(scores + src_mask, dim=-1)
        context = (weights @ values).flatten(0, 2)
        return torch.tanh(self.out(torch.cat([context, hidden], 1))), context, weights


class RecurrentDecoder(nn.Module):
    """The decoder's layers, its attention, and where its first states come from."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        sizes = sizes_of(arch)
        hidden, fed = sizes.decoder_hidden, sizes.decoder_hidden if sizes.input_feeding else 0
        widths = [sizes.target_width + fed, *[hidden] * (arch.decoder_layers - 1)]
        self.layers = nn.ModuleList(Cell(arch.decoder, width, hidden) for width in widths)
        self.attention = Attention(arch)
        states = ("hidden", "cell") if arch.decoder == "lstm" else ("hidden",)
        bridged = states if sizes.bridge else ()
        self.bridge = nn.ModuleDict({name: Linear(sizes.memory_width, hidden) for name in bridged})
        self.out = Linear(hidden, arch.d_model) if hidden != arch.d_model else None

    def stack(self) -> list[Cell]:
        """The layers, first to last."""
        return [layer for layer in self.layers if isinstance(layer, Cell)]

    def first(self, last: list[Tensor]) -> list[Tensor]:
        """Each layer's states at the root, from the encoder's last ones."""
        bridges = list(self.bridge.values())
        return [bridges[n % len(bridges)](state) for n, state in enumerate(last)] if bridges else last


class RecurrentNetwork(Network):
    """A recurrent encoder-decoder with the weights of one checkpoint."""

    encoder: RecurrentEncoder  # type: ignore[assignment]
    decoder: RecurrentDecoder  # type: ignore[assignment]

    def _build(self, arch: Architecture) -> None:
        self.sizes = sizes_of(arch)
        self.states = 2 if arch.decoder == "lstm" else 1
        self.encoder, self.decoder = RecurrentEncoder(arch), RecurrentDecoder(arch)

    def read(self, ids: Tensor, depth: Tensor, rows: Tensor, places: Tensor, src_mask: Tensor) -> list[Tensor]:
        """Keys [G, 1, e, S] and values [G, 1, S, M] of the attention, and each layer's first states [G, h]."""
        embed = Embedding(self.arch, self.source_embedding, None, None)
        del rows
        words = embed(ids, depth, may_start=False)
        padded = F.embedding(places, words)
        memory, last = self.encoder(padded, src_mask[:, 0, 0] == 0)
        return [self.decoder.attention.keys(memory), memory.unsqueeze(1), *self.decoder.first(last)]

    def first(self, memory: list[Tensor]) -> list[Tensor]:
        """The state of each root [G, 1, h]: the encoder's, and zeros for what is fed."""
        given = [state.unsqueeze(1) for state in memory[2:]]
        return [*given, torch.zeros_like(given[0])] if self.sizes.input_feeding else given

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
        """The step of `Network`: states of each node's parent [G, q, h] come in, new ones [n, h] go out."""
        del mask, slot_depth
        shape = (ids.shape[0], ids.shape[1])
        rows = [each.reshape(-1, each.shape[-1]) for each in state]
        x, features, weights, kept = self._advance(self.embed_target(ids, depth), shape, rows, cross, src_mask)
        return self.with_gate(self._finished(x), ids, features), weights[:, 0], kept

    def full(self, ids: Tensor, memory: list[Tensor], src_mask: Tensor, extended: Tensor | None = None) -> Tensor:
        """Teacher-forced logits [G, T, V], word after word; with `extended`, log-probabilities [G, T, V + S]."""
        state = [each[:, 0] for each in self.first(memory)]
        words = self.embed_target(ids, torch.zeros_like(ids)).reshape(*ids.shape, -1)
        rows = []
        for t in range(ids.shape[1]):
            x, features, weights, state = self._advance(words[:, t], (ids.shape[0], 1), state, memory, src_mask)
            x = self.with_gate(self._finished(x), ids[:, t], features)
            rows.append(self.logits(x) if extended is None else self.mixed(x, weights[:, 0], extended))
        return torch.stack(rows, 1)

    def _pointer_inputs(self) -> int:
        """How many numbers the gate reads: context, the last layer's hidden state, and the embedded word."""
        return self.sizes.memory_width + self.sizes.decoder_hidden + self.sizes.target_width

    def embed_target(self, ids: Tensor, depth: Tensor) -> Tensor:
        """Target words [G, q] -> rows [G * q, d]; positions are not read."""
        embed = Embedding(self.arch, self.target_words, None, None)
        x: Tensor = embed(ids.flatten(), depth.flatten(), may_start=True)
        return x

    def _advance(
        self, x: Tensor, shape: tuple[int, int], state: list[Tensor], cross: list[Tensor], src_mask: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
        """Embedded rows and their parents' states -> rows after attention, what a gate reads of them, new states.

        What a gate reads is the context and the hidden state; the attention is [G, 1, q, S].
        """
        feeds, kept = self.sizes.input_feeding, list[Tensor]()
        given = torch.cat([x, state[-1]], 1) if feeds else x
        for n, layer in enumerate(self.decoder.stack()):
            kept += layer(given, state[n * self.states : (n + 1) * self.states])
            given = kept[-self.states]
        x, context, weights = self.decoder.attention(given, shape, cross[0], cross[1], src_mask)
        return x, torch.cat([context, given], 1), weights, [*kept, x] if feeds else kept

    def _finished(self, x: Tensor) -> Tensor:
        """What the output layer reads."""
        return x if self.decoder.out is None else self.decoder.out.forward(x)


def network_of(arch: Architecture) -> Network:
    """A network of the architecture's family, without weights."""
    return Network(arch) if arch.recurrent is None else RecurrentNetwork(arch)

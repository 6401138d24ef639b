"""The canonical network of the second family: a recurrent encoder and decoder, behind the same step.

Words go through cells, attention is asked with the newest hidden state, and further cells or a matrix read what it
gives, as `Recurrent` says: Luong's order (attention behind all cells, its rows fed to the next step), Bahdanau's
(before them), conditional GRUs (between two that share a state), or none. States are kept for each node as SSRU's are:
`h` of every layer, and `c` of an LSTM's, then what is fed.

The encoder's matrices stay as torch has them, [gates * hidden, in], and are multiplied by ONNX Runtime's own LSTM, GRU
and RNN, which know true lengths; the decoder's are [in, gates * hidden] like all others. Gates come in torch's order.
Shapes are those of `network`; M is the width of the row of a source word, h that of hidden states.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dragoman.bundle.manifest import Architecture, Recurrent, RecurrentPart
from dragoman.export.network.layers import ACTIVATIONS, Embedding, Linear
from dragoman.export.network.network import Network

GATES = {"lstm": 4, "gru": 3, "tanh": 1}
ONNX_GATES = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2), "tanh": (0,)}
"""The places of ONNX's gates among torch's: input, output, forget, cell; update, reset, hidden."""
ONNX_NODES = {"lstm": "LSTM", "gru": "GRU", "tanh": "RNN"}
FORMS = {"lstm": nn.LSTM, "gru": nn.GRU, "tanh": nn.RNN}


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
    if kind == "tanh":
        return [torch.tanh(given + recurrent)]
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
        self.rnn = FORMS[self.kind](sizes.source_width, self.hidden, self.layers, bidirectional=sizes.bidirectional)
        self.out = None if sizes.row_width is None else Linear(sizes.encoder_width, sizes.row_width)

    def forward(self, x: Tensor, is_word: Tensor) -> tuple[Tensor, list[Tensor]]:
        """[G, S, d] and [G, S] -> rows [G, S, M], and last states [G, m]: h, and c, of every layer."""
        last = []
        for layer in range(self.layers):
            read = self._fused if torch.onnx.is_in_onnx_export() else self._plain
            x, states = read(layer, x, is_word)
            last += states
        return x if self.out is None else torch.tanh(self.out(x.flatten(0, 1)).reshape(*x.shape[:2], -1)), last

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
            ONNX_NODES[self.kind],
            (x.transpose(0, 1), w, u, torch.cat([b, c], 1), lengths),
            attributes,
            dtypes=[torch.float32] * (1 + states),
            shapes=[(positions, directions, sources, self.hidden), *[(directions, sources, self.hidden)] * states],
        )
        y = hidden.permute(2, 0, 1, 3).reshape(sources, positions, -1)
        return y, [state.transpose(0, 1).reshape(sources, -1) for state in last]


def cell_widths(sizes: Recurrent, cells: int) -> list[int]:
    """Width of what each of a decoder's cells reads."""
    before = cells if sizes.before is None else sizes.before
    widths = [sizes.target_width, *[0 if sizes.is_transition else sizes.decoder_hidden] * (cells - 1)]
    if before < cells:
        widths[before] = sizes.width_of(sizes.cell_reads)
    return [widths[0] + sizes.output_width * sizes.input_feeding, *widths[1:]]


class Unread(nn.Module):
    """The gates' sums of a cell that reads nothing but its state."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.empty(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """[n, 0] -> [1, out]."""
        del x
        return self.bias.unsqueeze(0)


class Cell(nn.Module):
    """One layer of the decoder."""

    def __init__(self, kind: str, inputs: int, hidden: int) -> None:
        super().__init__()
        self.kind = kind
        gates = GATES[kind] * hidden
        self.input = Linear(inputs, gates) if inputs else Unread(gates)
        self.state = Linear(hidden, gates)

    def forward(self, x: Tensor, state: list[Tensor]) -> list[Tensor]:
        """Rows [n, in] and their parents' states -> new states [n, h]: h, and c."""
        return cell(self.kind, self.input(x), self.state(state[0]), state)


class Attention(nn.Module):
    """Scores of hidden states and source words, and what becomes of the context."""

    query: Linear
    key: Linear
    value: Linear
    result: Linear
    score: nn.Parameter

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        sizes = sizes_of(arch)
        self.kind, hidden, memory = sizes.attention, sizes.decoder_hidden, sizes.memory_width
        self.heads, width = sizes.attention_heads, sizes.key_width
        if self.kind == "additive":
            self.query = Linear(hidden, width, bias=False)
            self.score = nn.Parameter(torch.empty(width))
        if self.kind in ("general", "additive", "heads"):
            self.key = Linear(memory, width, bias=self.kind != "general")
        if self.kind == "heads":
            self.query, self.value = Linear(hidden, width), Linear(memory, width)
            self.result = Linear(width, hidden)
        reads = sizes.output_reads if sizes.output_matrix else ()
        self.out = Linear(sizes.width_of(reads), hidden) if reads else None

    def memory(self, rows: Tensor) -> list[Tensor]:
        """Keys [G, H, e, S] and values [G, H, S, v] of the encoder's rows [G, S, M], made once a source."""
        if self.kind == "none":
            return []
        flat = rows.flatten(0, 1)
        keys = (flat if self.kind == "dot" else self.key(flat)).reshape(*rows.shape[:2], -1)
        if self.kind != "heads":
            return [keys.transpose(1, 2).unsqueeze(1), rows.unsqueeze(1)]
        values = self.value(flat).reshape(*rows.shape[:2], self.heads, -1).transpose(1, 2)
        keys = keys.unflatten(2, (self.heads, -1))
        return [keys.permute(0, 2, 3, 1) * keys.shape[3] ** -0.5, values]

    def forward(
        self, hidden: Tensor, shape: tuple[int, int], cross: list[Tensor], src_mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Rows [G * q, h] -> contexts [G * q, M], and the attention [G, q, S], the mean of the heads."""
        keys, values = cross
        query = hidden if self.kind in ("dot", "general") else self.query(hidden)
        query = query.unflatten(0, shape)
        query = query.unsqueeze(1) if self.heads == 1 else query.unflatten(2, (self.heads, -1)).transpose(1, 2)
        if self.kind == "additive":
            scores = self.score @ torch.tanh(query.unsqueeze(-1) + keys.unsqueeze(2))
        else:
            scores = query @ keys
        weights = torch.softmax(scores + src_mask, dim=-1)
        context = weights @ values
        context = context.flatten(0, 2) if self.heads == 1 else context.transpose(1, 2).flatten(2).flatten(0, 1)
        attention = weights[:, 0] if self.heads == 1 else weights.mean(1)
        return self.result(context) if self.kind == "heads" else context, attention


class RecurrentDecoder(nn.Module):
    """The decoder's cells, its attention, and where its first states come from."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        sizes = sizes_of(arch)
        hidden, widths = sizes.decoder_hidden, cell_widths(sizes, arch.decoder_layers)
        self.first_of, self.activation = sizes.first, ACTIVATIONS[sizes.bridge_activation]
        self.before = arch.decoder_layers if sizes.before is None else sizes.before
        self.layers = nn.ModuleList(Cell(arch.decoder, width, hidden) for width in widths)
        self.attention = Attention(arch)
        states = ("hidden", "cell") if arch.decoder == "lstm" else ("hidden",)
        bridged = states if sizes.bridge else ()
        self.bridge = nn.ModuleDict({name: Linear(sizes.first_width, hidden) for name in bridged})
        self.out = Linear(sizes.output_width, arch.d_model) if sizes.output_width != arch.d_model else None

    def stack(self) -> list[Cell]:
        """The layers, first to last."""
        return [layer for layer in self.layers if isinstance(layer, Cell)]

    def first(self, rows: Tensor, is_word: Tensor, last: list[Tensor], count: int) -> list[Tensor]:
        """So many states at the root: h, and c, of each layer."""
        if self.first_of == "zeros":
            return []
        kinds = 2 if self.layers[0].kind == "lstm" else 1
        given = last if self.first_of == "last" else last[-kinds:]
        if self.first_of == "mean":
            shares = is_word / is_word.sum(1, keepdim=True)
            given = [(shares.unsqueeze(1) @ rows).squeeze(1)]  # as attention does it: padding changes no bit
        bridges = list(self.bridge.values())
        made = [
            self.activation(bridges[n % kinds](given[n % len(given)])) if bridges else given[n % len(given)]
            for n in range(max(len(given), kinds))
        ]
        return made * (count // len(made))


class RecurrentNetwork(Network):
    """A recurrent encoder-decoder with the weights of one checkpoint."""

    encoder: RecurrentEncoder  # type: ignore[assignment]
    decoder: RecurrentDecoder  # type: ignore[assignment]

    def _build(self, arch: Architecture) -> None:
        self.sizes = sizes_of(arch)
        self.states = 2 if arch.decoder == "lstm" else 1
        self.layers = 1 if self.sizes.is_transition else arch.decoder_layers
        self.reads = 0 if self.sizes.attention == "none" else 2
        """How many tensors of a source attention reads."""
        self.encoder, self.decoder = RecurrentEncoder(arch), RecurrentDecoder(arch)

    def read(self, ids: Tensor, depth: Tensor, rows: Tensor, places: Tensor, src_mask: Tensor) -> list[Tensor]:
        """Keys [G, 1, e, S] and values [G, 1, S, M] of the attention, and each layer's first states [G, h]."""
        embed = Embedding(self.arch, self.source_embedding, None, None)
        del rows
        words = embed(ids, depth, may_start=False)
        padded = F.embedding(places, words)
        is_word = src_mask[:, 0, 0] == 0
        memory, last = self.encoder(padded, is_word)
        first = self.decoder.first(memory, is_word, last, self.states * self.layers)
        return [*self.decoder.attention.memory(memory), *first]

    def first(self, memory: list[Tensor]) -> list[Tensor]:
        """The state of each root [G, 1, h]: the encoder's, and zeros for the others."""
        given, sizes = [state.unsqueeze(1) for state in memory[self.reads :]], self.sizes
        widths = [*[sizes.decoder_hidden] * (self.states * self.layers), *[sizes.output_width] * sizes.input_feeding]
        return [*given, *[memory[0].new_zeros(len(memory[0]), 1, width) for width in widths[len(given) :]]]

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
        """The step of `Network`: states of each node's parent [G, q, h] come in, new ones [n, h] go out."""
        del mask, slot_depth
        shape = (ids.shape[0], ids.shape[1])
        rows = [each.reshape(-1, each.shape[-1]) for each in state]
        x, features, weights, kept = self._advance(self.embed_target(ids, depth), shape, rows, cross, src_mask)
        return self.with_gate(self._finished(x), ids, features), weights, kept

    def full(self, ids: Tensor, memory: list[Tensor], src_mask: Tensor, extended: Tensor | None = None) -> Tensor:
        """Teacher-forced logits [G, T, V], word after word; with `extended`, log-probabilities [G, T, V + S]."""
        state = [each[:, 0] for each in self.first(memory)]
        words = self.embed_target(ids, torch.zeros_like(ids)).reshape(*ids.shape, -1)
        rows = []
        for t in range(ids.shape[1]):
            x, features, weights, state = self._advance(words[:, t], (ids.shape[0], 1), state, memory, src_mask)
            x = self.with_gate(self._finished(x), ids[:, t], features)
            rows.append(self.logits(x) if extended is None or weights is None else self.mixed(x, weights, extended))
        return torch.stack(rows, 1)

    def _pointer_inputs(self) -> int:
        """How many numbers the gate reads: context, the last layer's hidden state, and the embedded word."""
        return self.sizes.context_width + self.sizes.decoder_hidden + self.sizes.target_width

    def embed_target(self, ids: Tensor, depth: Tensor) -> Tensor:
        """Target words [G, q] -> rows [G * q, d]; positions are not read."""
        embed = Embedding(self.arch, self.target_words, None, None)
        x: Tensor = embed(ids.flatten(), depth.flatten(), may_start=True)
        return x

    def _advance(
        self, x: Tensor, shape: tuple[int, int], state: list[Tensor], cross: list[Tensor], src_mask: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None, list[Tensor]]:
        """Embedded rows and their parents' states -> rows behind all cells, what a gate reads of them, new states.

        What a gate reads is the context and the hidden state; the attention is [G, q, S], the mean of its heads.
        """
        sizes, cells, kept = self.sizes, self.decoder.stack(), list[Tensor]()
        own = [state[n * self.states : (n + 1) * self.states] for n in range(self.layers)]
        fed = [state[-1]] if sizes.input_feeding else []
        hidden, weights, given = own[-1][0], None, torch.cat([x, *fed], 1) if fed else x
        parts: dict[RecurrentPart, Tensor] = {"word": x}
        for n in range(len(cells) + 1):
            if n == self.decoder.before and sizes.attention != "none":
                parts["hidden"] = hidden
                parts["context"], weights = self.decoder.attention(hidden, shape, cross[:2], src_mask)
                given = torch.cat([parts[part] for part in sizes.cell_reads] + (fed if n == 0 else []), 1)
            if n < len(cells):
                before = kept if sizes.is_transition and kept else own[0 if sizes.is_transition else n]
                new = cells[n](given, before)
                kept = new if sizes.is_transition else kept + new
                hidden = new[0]
                given = x[:, :0] if sizes.is_transition else hidden
        parts["hidden"] = hidden
        x = self._behind(parts)
        features = torch.cat([parts["context"], hidden], 1) if self.arch.copies else hidden
        return x, features, weights, [*kept, x] if fed else kept

    def _behind(self, parts: dict[RecurrentPart, Tensor]) -> Tensor:
        """The rows behind all cells."""
        read, out = [parts[part] for part in self.sizes.output_reads], self.decoder.attention.out
        if not read:
            return parts["hidden"]
        x = torch.cat(read, 1) if len(read) > 1 else read[0]
        return x if out is None else ACTIVATIONS[self.sizes.output_activation](out(x))

    def _finished(self, x: Tensor) -> Tensor:
        """What the output layer reads."""
        return x if self.decoder.out is None else self.decoder.out.forward(x)


def network_of(arch: Architecture) -> Network:
    """A network of the architecture's family, without weights."""
    return Network(arch) if arch.recurrent is None else RecurrentNetwork(arch)

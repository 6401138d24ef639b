"""The canonical network of the second family: a recurrent encoder and decoder, behind the same step.

Words go through cells, attention is asked with the newest hidden state, and further cells or a matrix read what it
gives, as `Recurrent` says: Luong's order (attention behind all cells, its rows fed to the next step), Bahdanau's
(before them), conditional GRUs (between two that share a state, on which layers may stand), or none. States are kept
for each node as SSRU's are: `h` of every layer, and `c` of an LSTM's, then what is fed.

The encoder's matrices stay as torch has them, [gates * hidden, in], and are multiplied by ONNX Runtime's own LSTM, GRU
and RNN, which know true lengths; the decoder's are [in, gates * hidden] like all others. Gates come in torch's order.
Shapes are those of `network`; M is the width of the row of a source word, h that of hidden states.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dragoman.bundle.manifest import Architecture, Recurrent, RecurrentPart
from dragoman.export.network.cells import Cell, Norm, cell
from dragoman.export.network.layers import ACTIVATIONS, Embedding, Linear
from dragoman.export.network.network import Network
from dragoman.export.network.stacks import StackedEncoder

ONNX_GATES = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2), "tanh": (0,)}
"""The places of ONNX's gates among torch's: input, output, forget, cell; update, reset, hidden."""
ONNX_NODES = {"lstm": "LSTM", "gru": "GRU", "tanh": "RNN"}
FORMS = {"lstm": nn.LSTM, "gru": nn.GRU, "tanh": nn.RNN}


def sizes_of(arch: Architecture) -> Recurrent:
    """The sizes that an architecture of this family has."""
    assert arch.recurrent is not None, "the manifest's rules give every recurrent decoder its sizes"
    return arch.recurrent


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
    base = sizes.base_of(cells)
    before = base if sizes.before is None else sizes.before
    widths = [sizes.target_width, *[0 if sizes.is_transition else sizes.decoder_hidden] * (base - 1)]
    if before < base:
        widths[before] = sizes.width_of(sizes.cell_reads)
    upper = [sizes.decoder_hidden, *[0] * (sizes.upper_cells - 1)] * sizes.upper_layers
    return [widths[0] + sizes.output_width * sizes.input_feeding, *widths[1:], *upper]


class Attention(nn.Module):
    """Scores of hidden states and source words, and what becomes of the context."""

    query: Linear
    key: Linear
    value: Linear
    result: Linear
    score: nn.Parameter
    location: nn.Parameter
    key_norm: Norm
    query_norm: Norm

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        sizes = sizes_of(arch)
        self.kind, hidden, memory = sizes.attention, sizes.decoder_hidden, sizes.memory_width
        self.heads, width = sizes.attention_heads, sizes.key_width
        self.history, self.reach = sizes.attention_history, sizes.history_reach
        if self.history != "none":
            self.location = nn.Parameter(torch.empty(width, 2 * self.reach + 1))
        if self.kind == "additive":
            self.query = Linear(hidden, width, bias=False)
            self.score = nn.Parameter(torch.empty(width))
        if self.kind in ("general", "additive", "heads"):
            self.key = Linear(memory, width, bias=self.kind != "general" and sizes.cell_norm != "whole")
        if self.kind == "heads":
            self.query, self.value = Linear(hidden, width), Linear(memory, width)
            self.result = Linear(width, hidden)
        has_bias = sizes.cell_norm != "whole"
        self.is_normed, epsilon = sizes.cell_norm != "none", arch.norm_epsilon
        if self.is_normed:
            self.key_norm, self.query_norm = Norm((width,), epsilon), Norm((width,), epsilon)
        self.reads, out = sizes.output_reads if sizes.output_matrix else (), sizes.output_width
        reads = self.reads
        self.out = Linear(sizes.width_of(reads), out) if reads and not self.is_normed else None
        parts = reads if self.is_normed else ()
        self.parts = nn.ModuleDict({part: Linear(sizes.width_of((part,)), out, bias=has_bias) for part in parts})
        self.part_norms = nn.ModuleDict({part: Norm((out,), epsilon) for part in parts})

    def memory(self, rows: Tensor) -> list[Tensor]:
        """Keys [G, H, e, S] and values [G, H, S, v] of the encoder's rows [G, S, M], made once a source."""
        if self.kind == "none":
            return []
        flat = rows.flatten(0, 1)
        keys = flat if self.kind == "dot" else self.key(flat)
        keys = (self.key_norm(keys) if self.is_normed else keys).reshape(*rows.shape[:2], -1)
        if self.kind != "heads":
            return [keys.transpose(1, 2).unsqueeze(1), rows.unsqueeze(1)]
        values = self.value(flat).reshape(*rows.shape[:2], self.heads, -1).transpose(1, 2)
        keys = keys.unflatten(2, (self.heads, -1))
        return [keys.permute(0, 2, 3, 1) * keys.shape[3] ** -0.5, values]

    def forward(
        self, hidden: Tensor, shape: tuple[int, int], cross: list[Tensor], src_mask: Tensor, past: list[Tensor]
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Rows [G * q, h] -> contexts [G * q, M], the attention [G, q, S], the mean of the heads, and what is known of
        it at the next word, as `past` is of the words before: [G * q, S], or nothing.
        """
        earlier = [each.reshape(*shape, -1) for each in past]
        keys, values = cross
        query = hidden if self.kind in ("dot", "general") else self.query(hidden)
        query = (self.query_norm(query) if self.is_normed else query).unflatten(0, shape)
        query = query.unsqueeze(1) if self.heads == 1 else query.unflatten(2, (self.heads, -1)).transpose(1, 2)
        if self.kind == "additive":
            summed = query.unsqueeze(-1) + keys.unsqueeze(2)
            if earlier:
                summed = summed + self._located(earlier[0]).unsqueeze(1)
            scores = self.score @ torch.tanh(summed)
        else:
            scores = query @ keys
        weights = torch.softmax(scores + src_mask, dim=-1)
        context = weights @ values
        context = context.flatten(0, 2) if self.heads == 1 else context.transpose(1, 2).flatten(2).flatten(0, 1)
        attention = weights[:, 0] if self.heads == 1 else weights.mean(1)
        known = [attention + earlier[0] if self.history == "sum" else attention] if earlier else []
        return (
            self.result(context) if self.kind == "heads" else context,
            attention,
            [each.flatten(0, 1) for each in known],
        )

    def _located(self, earlier: Tensor) -> Tensor:
        """Earlier weights [G, q, S] -> what the sum of query and key gets of them [G, q, e, S]."""
        if not self.reach:
            return self.location * earlier.unsqueeze(2)
        padded = F.pad(earlier, (self.reach, self.reach))
        ends = range(2 * self.reach, -1, -1)
        near = torch.stack([padded[..., 2 * self.reach - end : -end or None] for end in ends], 2)
        return self.location @ near

    def normed(self, given: Mapping[RecurrentPart, Tensor]) -> Tensor:
        """The sum of the parts' products, each of them normed."""
        x: Tensor | None = None
        for part in self.reads:
            row: Tensor = self.part_norms[part](self.parts[part](given[part]))
            x = row if x is None else x + row
        assert x is not None, "the manifest's rules have it read something"
        return x


class RecurrentDecoder(nn.Module):
    """The decoder's cells, its attention, and where its first states come from."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        sizes = sizes_of(arch)
        hidden, widths = sizes.decoder_hidden, cell_widths(sizes, arch.decoder_layers)
        self.first_of, self.activation = sizes.first, ACTIVATIONS[sizes.bridge_activation]
        self.base = sizes.base_of(arch.decoder_layers)
        self.before = self.base if sizes.before is None else sizes.before
        norm, epsilon = sizes.cell_norm, arch.norm_epsilon
        self.layers = nn.ModuleList(Cell(arch.decoder, width, hidden, norm, epsilon) for width in widths)
        self.attention = Attention(arch)
        states = ("hidden", "cell") if arch.decoder == "lstm" else ("hidden",)
        bridged = states if sizes.bridge else ()
        bias = norm != "whole"
        self.bridge = nn.ModuleDict({name: Linear(sizes.first_width, hidden, bias=bias) for name in bridged})
        normed = bridged if norm != "none" else ()
        self.bridge_norm = nn.ModuleDict({name: Norm((hidden,), epsilon) for name in normed})
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
        bridges, norms = list(self.bridge.values()), list(self.bridge_norm.values())
        made = []
        for n in range(max(len(given), kinds)):
            state = given[n % len(given)]
            if bridges:
                state = bridges[n % kinds](state)
                state = self.activation(norms[n % kinds](state) if norms else state)
            made.append(state)
        return made * (count // len(made))


class RecurrentNetwork(Network):
    """A recurrent encoder-decoder with the weights of one checkpoint."""

    encoder: RecurrentEncoder | StackedEncoder  # type: ignore[assignment]
    decoder: RecurrentDecoder  # type: ignore[assignment]

    def _build(self, arch: Architecture) -> None:
        self.sizes = sizes_of(arch)
        self.states = 2 if arch.decoder == "lstm" else 1
        self.layers = self.sizes.layers_of(arch.decoder_layers)
        self.reads = 0 if self.sizes.attention == "none" else 2
        """How many tensors of a source attention reads."""
        self.encoder = RecurrentEncoder(arch) if self.sizes.encoder_form == "layers" else StackedEncoder(arch)
        self.decoder = RecurrentDecoder(arch)

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
        widths += [] if sizes.attention_history == "none" else [memory[0].shape[-1]]
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
        sizes, every, kept = self.sizes, self.decoder.stack(), list[Tensor]()
        cells = every[: self.decoder.base]
        own = [state[n * self.states : (n + 1) * self.states] for n in range(self.layers)]
        fed = state[self.layers * self.states :][: int(sizes.input_feeding)]
        past = state[self.layers * self.states + len(fed) :]
        below = own[0 if sizes.is_transition else -1]
        hidden, weights, given = below[0], None, torch.cat([x, *fed], 1) if fed else x
        parts: dict[RecurrentPart, Tensor] = {"word": x}
        for n in range(len(cells) + 1):
            if n == self.decoder.before and sizes.attention != "none":
                parts["hidden"] = hidden
                context, weights, past = self.decoder.attention(hidden, shape, cross[:2], src_mask, past)
                parts["context"] = context
                given = torch.cat([parts[part] for part in sizes.cell_reads] + (fed if n == 0 else []), 1)
            if n < len(cells):
                before = kept if sizes.is_transition and kept else own[0 if sizes.is_transition else n]
                new = cells[n](given, before)
                kept = new if sizes.is_transition else kept + new
                hidden = new[0]
                given = x[:, :0] if sizes.is_transition else hidden
        for layer in range(sizes.upper_layers):
            first = len(cells) + layer * sizes.upper_cells
            given, new = hidden, own[1 + layer]
            for upper in every[first : first + sizes.upper_cells]:
                new = upper(given, new)
                given = x[:, :0]
            kept = kept + new
            hidden = new[0] + hidden if sizes.skips else new[0]
        parts["hidden"] = hidden
        x = self._behind(parts)
        features = torch.cat([parts["context"], hidden], 1) if self.arch.copies else hidden
        return x, features, weights, [*kept, *([x] if fed else []), *past]

    def _behind(self, parts: dict[RecurrentPart, Tensor]) -> Tensor:
        """The rows behind all cells."""
        read, out = [parts[part] for part in self.sizes.output_reads], self.decoder.attention.out
        if not read:
            return parts["hidden"]
        if self.decoder.attention.is_normed and self.sizes.output_matrix:
            return ACTIVATIONS[self.sizes.output_activation](self.decoder.attention.normed(parts))
        x = torch.cat(read, 1) if len(read) > 1 else read[0]
        return x if out is None else ACTIVATIONS[self.sizes.output_activation](out(x))

    def _finished(self, x: Tensor) -> Tensor:
        """What the output layer reads."""
        return x if self.decoder.out is None else self.decoder.out.forward(x)


def network_of(arch: Architecture) -> Network:
    """A network of the architecture's family, without weights."""
    return Network(arch) if arch.recurrent is None else RecurrentNetwork(arch)

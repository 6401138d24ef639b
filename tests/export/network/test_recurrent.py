"""The recurrent network's two forms, and its orders of cells and attention beside torch's own cells, word by word; what
is left out, Luong's order, is compared in the plain importer's tests.
"""

from dataclasses import replace

import pytest
import torch

from dragoman.bundle.manifest import Architecture, Recurrent
from dragoman.bundle.rules import shape_problems
from dragoman.export.network.network import MASKED
from dragoman.export.network.recurrent import RecurrentNetwork, cell, network_of

SIZES = Recurrent(12, 10, 9, 18)
ARCH = Architecture(20, 0, 0, 2, 2, 50, 50, decoder="lstm", tying="none", recurrent=SIZES)
CHOICES = {
    "lstm": ARCH,
    "gru": replace(ARCH, decoder="gru"),
    "no feeding": replace(ARCH, recurrent=replace(SIZES, input_feeding=False)),
    "one way, bridged": replace(ARCH, recurrent=replace(SIZES, bidirectional=False, bridge=True)),
    "additive": replace(ARCH, recurrent=replace(SIZES, attention="additive", attention_width=7)),
}


NO_FEEDING = Recurrent(12, 10, 9, 14, input_feeding=False)
TANH = {"bridge": True, "bridge_activation": "tanh"}
FORMS = {
    "bahdanau": replace(
        replace(NO_FEEDING, attention="additive", attention_width=7, before=0, first="top", **TANH),
        cell_reads=("word", "context"),
        output_reads=("hidden", "context", "word"),
        output_matrix=False,
    ),
    "conditional": replace(
        replace(
            NO_FEEDING, attention="additive", attention_width=6, before=1, is_transition=True, first="mean", **TANH
        ),
        cell_reads=("context",),
        output_reads=("hidden", "word", "context"),
    ),
    "between": replace(
        replace(NO_FEEDING, decoder_hidden=12, before=1, first="zeros", row_width=15, output_reads=()),
        attention="heads",
        attention_heads=3,
    ),
    "none": Recurrent(12, 10, 14, 14, False, attention="none", input_feeding=False, output_reads=()),
    "fed": replace(
        Recurrent(12, 10, 9, 14, before=0, first="mean", bridge=True),
        cell_reads=("context",),
        output_reads=("hidden",),
        output_activation="linear",
    ),
}
FORMS["coverage"] = replace(FORMS["bahdanau"], attention_history="sum")
FORMS["location"] = replace(FORMS["conditional"], attention_history="last", history_reach=2)
FORMS["coverage of neighbours, fed"] = replace(
    FORMS["fed"], attention="additive", attention_history="sum", history_reach=1
)
"""Orders of cells and attention; each is also tried with other cells and other numbers of them."""
KINDS = ("gru", "lstm", "tanh")
CELLS = {"gru": torch.nn.GRUCell, "lstm": torch.nn.LSTMCell, "tanh": torch.nn.RNNCell}


def form_of(form: str, kind: str) -> Architecture:
    layers = {"gru": 1, "lstm": 2, "tanh": 3}[kind]
    encoder, cells = {"none": (layers, layers), "conditional": (layers, layers + 1)}.get(
        "conditional" if form == "location" else form, (layers, 4 - layers)
    )
    cells += form == "between" and cells == 1
    arch = Architecture(20, 0, 0, encoder, cells, 50, 50, decoder=kind, tying="none", recurrent=FORMS[form])
    assert not list(shape_problems(arch))
    return arch


def a_network(arch: Architecture) -> RecurrentNetwork:
    torch.manual_seed(4)
    network = network_of(arch)
    assert isinstance(network, RecurrentNetwork)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return network.eval().requires_grad_(False)


@pytest.mark.parametrize("choice", CHOICES)
def test_steps_equal_the_full_pass(choice):
    """Node after node, each from its parent's states."""
    network = a_network(CHOICES[choice])
    ids, words = torch.randint(0, 50, (2, 5)), torch.randint(0, 50, (2, 4))
    mask = torch.zeros(2, 1, 1, 5)
    mask[0, ..., 3:] = MASKED
    memory = network.memory(ids, mask)

    state, logits = network.first(memory), []
    for t in range(4):
        rows, attention, kept = network.step(words[:, t : t + 1], torch.full((2, 1), t), None, state, memory, mask)
        state = [new[:, None] for new in kept]
        logits.append(network.logits(rows))

    assert attention[0, 0, 3:].tolist() == [0, 0]
    torch.testing.assert_close(torch.stack(logits, 1), network.full(words, memory, mask))


def test_padding_does_not_change_what_a_source_is():
    """Its rows, and the states that it ends with, are those that it has alone."""
    network = a_network(ARCH)
    ids = torch.randint(0, 50, (1, 3))
    padded = torch.cat([ids, torch.randint(0, 50, (1, 2))], 1)
    mask = torch.zeros(1, 1, 1, 5)
    mask[..., 3:] = MASKED

    keys, values, *states = network.memory(padded, mask)

    alone_keys, alone_values, *alone = network.memory(ids, torch.zeros(1, 1, 1, 3))
    torch.testing.assert_close(values[:, :, :3], alone_values)
    torch.testing.assert_close(keys[..., :3], alone_keys)
    assert not values[:, :, 3:].any()
    for state, expected in zip(states, alone, strict=True):
        torch.testing.assert_close(state, expected)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_a_cell_is_torchs(kind):
    """From the two sums of its gates."""
    torch.manual_seed(1)
    reference = (torch.nn.LSTMCell if kind == "lstm" else torch.nn.GRUCell)(5, 7)
    x, state = torch.randn(3, 5), [torch.randn(3, 7) for _ in range(2 if kind == "lstm" else 1)]

    given = torch.nn.functional.linear(x, reference.weight_ih, reference.bias_ih)
    recurrent = torch.nn.functional.linear(state[0], reference.weight_hh, reference.bias_hh)
    new = cell(kind, given, recurrent, state)

    expected = reference(x, tuple(state)) if kind == "lstm" else (reference(x, state[0]),)
    for own, theirs in zip(new, expected, strict=True):
        torch.testing.assert_close(own, theirs)


class Plain:
    """The formulas, with torch's own cells, of one source and one word at a time."""

    def __init__(self, network: RecurrentNetwork) -> None:
        self.arch, self.sizes, self.encoder = network.arch, network.sizes, network.encoder
        self.w = dict(network.named_parameters())
        self.count = 2 if self.arch.decoder == "lstm" else 1

    def linear(self, name, x):
        return x @ self.w[f"{name}.weight"] + self.w.get(f"{name}.bias", 0)

    def read(self, source):
        """Rows, and what the first states are made of."""
        rows, last = self.encoder.rnn(self.w["source_embedding"][source])
        last = last if self.count == 2 else (last,)
        sides = 2 if self.sizes.bidirectional else 1
        if self.sizes.row_width is not None:
            rows = torch.tanh(self.linear("encoder.out", rows))
        if self.sizes.first == "mean":
            return rows, [[rows.mean(0)] * self.count] * self.arch.decoder_layers
        layers = [
            [state[n * sides : (n + 1) * sides].flatten() for state in last] for n in range(self.arch.encoder_layers)
        ]
        return rows, layers if self.sizes.first == "last" else layers[-1:] * self.arch.decoder_layers

    def first(self, given):
        names, act = ("hidden", "cell"), {"tanh": torch.tanh, "linear": lambda x: x}[self.sizes.bridge_activation]
        if self.sizes.first == "zeros":
            return [[torch.zeros(self.sizes.decoder_hidden)] * self.count for _ in range(self.arch.decoder_layers)]
        if not self.sizes.bridge:
            return given
        return [
            [act(self.linear(f"decoder.bridge.{n}", s)) for n, s in zip(names, each, strict=False)] for each in given
        ]

    def located(self, past):
        """What is added to each source word's key, of the weights around it."""
        reach, location = self.sizes.history_reach, self.w["decoder.attention.location"]
        return torch.stack(
            [
                sum(past[k] * location[:, k - j + reach] for k in range(len(past)) if abs(k - j) <= reach)
                for j in range(len(past))
            ]
        )

    def attend(self, hidden, rows, past):
        name, sizes = "decoder.attention", self.sizes
        if sizes.attention == "additive":
            keys = self.linear(f"{name}.key", rows) + self.linear(f"{name}.query", hidden)
            keys = keys if sizes.attention_history == "none" else keys + self.located(past)
            weights = (torch.tanh(keys) @ self.w[f"{name}.score"]).softmax(0)
        elif sizes.attention == "general":
            weights = (self.linear(f"{name}.key", rows) @ hidden).softmax(0)
        else:
            d, width = sizes.decoder_hidden, sizes.key_width
            attention = torch.nn.MultiheadAttention(width, sizes.attention_heads, kdim=15, vdim=15, batch_first=True)
            for part, own in (("q", "query"), ("k", "key"), ("v", "value")):
                getattr(attention, f"{part}_proj_weight").data = self.w[f"{name}.{own}.weight"].T
            biases = [self.w[f"{name}.{own}.bias"] for own in ("query", "key", "value")]
            attention.in_proj_bias.data = torch.cat(biases)
            attention.out_proj.weight.data = self.w[f"{name}.result.weight"].T
            attention.out_proj.bias.data = self.w[f"{name}.result.bias"]
            result, weights = attention(hidden.reshape(1, 1, d), rows[None], rows[None])
            return result[0, 0], weights[0, 0]
        return weights @ rows, weights

    def cell(self, n, x, state):
        kind, name = self.arch.decoder, f"decoder.layers.{n}"
        bias = self.w[f"{name}.input.bias"]
        weight = self.w.get(f"{name}.input.weight", torch.zeros(1, len(bias)))
        cell = CELLS[kind](len(weight), self.sizes.decoder_hidden)
        cell.weight_ih.data, cell.bias_ih.data = weight.T, bias
        cell.weight_hh.data, cell.bias_hh.data = self.w[f"{name}.state.weight"].T, self.w[f"{name}.state.bias"]
        x, state = (x if len(x) else torch.zeros(1))[None], [s[None] for s in state]
        new = cell(x, tuple(state)) if kind == "lstm" else (cell(x, state[0]),)
        return [s[0] for s in new]

    def __call__(self, source, words):
        """Logits after each word [T, V], and the attention [T, S] where there is any."""
        sizes, cells = self.sizes, self.arch.decoder_layers
        rows, given = self.read(source)
        own, fed = self.first(given), torch.zeros(sizes.output_width)
        before = cells if sizes.before is None else sizes.before
        logits, attended, past = [], [], torch.zeros(len(rows))
        for index in words:
            word = x = self.w["target_embedding"][index]
            asking = own[0][0] if sizes.is_transition else own[-1][0]
            context = None
            for n in range(cells + 1):
                if n == before and sizes.attention != "none":
                    context, weights = self.attend(asking, rows, past)
                    past = past + weights if sizes.attention_history == "sum" else weights
                    attended.append(weights)
                    parts = {"word": word, "context": context, "hidden": asking}
                    x = torch.cat([parts[part] for part in sizes.cell_reads])
                if n < cells:
                    x = torch.cat([x, fed]) if n == 0 and sizes.input_feeding else x
                    at = 0 if sizes.is_transition else n
                    own[at] = self.cell(n, x, own[at])
                    asking = own[at][0]
                    x = asking[:0] if sizes.is_transition else asking
            parts = {"word": word, "context": context, "hidden": asking}
            out = torch.cat([parts[part] for part in sizes.output_reads]) if sizes.output_reads else asking
            if sizes.output_reads and sizes.output_matrix:
                out = self.linear("decoder.attention.out", out)
                out = out if sizes.output_activation == "linear" else torch.tanh(out)
            fed = out
            out = self.linear("decoder.out", out) if "decoder.out.weight" in self.w else out
            logits.append(out @ self.w["output_embedding"].T + self.w["output_bias"])
        return torch.stack(logits), torch.stack(attended) if attended else None


@torch.inference_mode()
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", FORMS)
def test_each_order_of_cells_and_attention_is_that_of_plain_formulas(form, kind):
    """Steps and the full pass of a padded batch, within 1e-4: Bahdanau's order, conditional GRUs', attention between
    cells, none, and before a cell that is fed what it led to; coverage (See et al.), also of neighbours, and
    location-aware attention (Chorowski et al.); each with three kinds of cells, one to three of them.
    """
    network = a_network(form_of(form, kind))
    plain, sources, words = Plain(network), [[3, 9, 4, 5, 8], [7], [6, 2]], torch.randint(0, 50, (3, 6))
    ids, mask = torch.zeros(3, 5, dtype=torch.long), torch.full((3, 1, 1, 5), MASKED)
    for g, source in enumerate(sources):
        ids[g, : len(source)], mask[g, ..., : len(source)] = torch.tensor(source), 0
    memory = network.memory(ids, mask)
    state, logits, attended = network.first(memory), [], []
    for t in range(6):
        rows, attention, kept = network.step(words[:, t : t + 1], torch.full((3, 1), t), None, state, memory, mask)
        state = [new[:, None] for new in kept]
        logits.append(network.logits(rows))
        attended.append(attention)

    full = network.full(words, memory, mask)

    for g, source in enumerate(sources):
        expected, weights = plain(source, words[g].tolist())
        for ours in (torch.stack(logits, 1)[g], full[g]):
            torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)
        if weights is None:
            assert attended == [None] * 6
        else:
            ours = torch.cat([row[g : g + 1] for row in attended], 1)[0]
            torch.testing.assert_close(ours[:, : len(source)], weights, atol=1e-4, rtol=1e-4)

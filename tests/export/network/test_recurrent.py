"""The recurrent network's two forms; logits are compared with torch's own cells in the plain importer's tests."""

from dataclasses import replace

import pytest
import torch

from dragoman.bundle.manifest import Architecture, Recurrent
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

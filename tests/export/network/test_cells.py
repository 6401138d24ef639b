"""Cells whose products are normed, beside the formulas."""

import pytest
import torch

from dragoman.export.network.cells import GATES, Cell, Norm


def a_cell(kind, inputs, norm):
    torch.manual_seed(3)
    cell = Cell(kind, inputs, 6, norm, 1e-5)
    for parameter in cell.parameters():
        torch.nn.init.normal_(parameter)
    return cell.requires_grad_(False)


def normed(x, norm, widths):
    parts = []
    for part, weight, bias in zip(*(each.split(widths, -1) for each in (x, norm.weight, norm.bias)), strict=True):
        centred = part - part.mean(-1, keepdim=True)
        parts.append(centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() * weight + bias)
    return torch.cat(parts, -1)


@pytest.mark.parametrize("norm", ["none", "whole", "split"])
@pytest.mark.parametrize("inputs", [0, 5])
@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_products_are_normed_before_they_are_summed(kind, inputs, norm):
    """Of all gates together, or of the last gate apart; a cell that reads nothing has its bias in that place."""
    cell, hidden = a_cell(kind, inputs, norm), 6
    x, state = torch.randn(4, inputs), [torch.randn(4, hidden) for _ in range(2 if kind == "lstm" else 1)]
    widths = [(GATES[kind] - 1) * hidden, hidden] if norm == "split" else [GATES[kind] * hidden]

    new = cell(x, state)

    w = dict(cell.named_parameters())
    given = x @ w["input.weight"] + w.get("input.bias", 0) if inputs else w["input.bias"].expand(4, -1)
    recurrent = state[0] @ w["state.weight"] + w.get("state.bias", 0)
    given = normed(given, cell.input_norm, widths) if inputs and norm != "none" else given
    recurrent = normed(recurrent, cell.state_norm, widths) if norm != "none" else recurrent
    if kind == "gru":
        r, z = (given[:, : 2 * hidden] + recurrent[:, : 2 * hidden]).sigmoid().chunk(2, 1)
        candidate = (given[:, 2 * hidden :] + r * recurrent[:, 2 * hidden :]).tanh()
        expected = [(1 - z) * candidate + z * state[0]]
    else:
        i, f, g, o = (given + recurrent).chunk(4, 1)
        c = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
        expected = [o.sigmoid() * c.tanh(), c]
    for ours, theirs in zip(new, expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    assert ("state.bias" in w) == (norm != "whole"), "what a norm would take away is not there"


def test_a_norm_of_one_part_is_torchs():
    """With its weight, bias and epsilon."""
    torch.manual_seed(1)
    norm, reference = Norm((7,), 1e-3), torch.nn.LayerNorm(7, 1e-3)
    for ours, theirs in ((norm.weight, reference.weight), (norm.bias, reference.bias)):
        torch.nn.init.normal_(theirs)
        ours.data = theirs.data
    x = torch.randn(3, 7)
    torch.testing.assert_close(norm(x), reference(x))

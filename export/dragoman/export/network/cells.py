"""The cells of recurrent networks: LSTM, GRU and plain tanh, whose products may be normed before they are summed.

Matrices are [in, gates * hidden] like all others, and gates come in torch's order.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dragoman.bundle.manifest import CellNorm
from dragoman.export.network.layers import Linear

GATES = {"lstm": 4, "gru": 3, "tanh": 1}


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


class Norm(nn.Module):
    """Norms of the parts of rows that stand side by side."""

    def __init__(self, widths: tuple[int, ...], epsilon: float) -> None:
        super().__init__()
        self.widths, self.epsilon = [*widths], epsilon
        self.weight = nn.Parameter(torch.empty(sum(widths)))
        self.bias = nn.Parameter(torch.empty(sum(widths)))

    def forward(self, x: Tensor) -> Tensor:
        """[..., n] -> [..., n]."""
        if len(self.widths) == 1:
            return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.epsilon)
        normed, begin = [], 0
        for width in self.widths:
            part = slice(begin, begin + width)
            weight, bias = self.weight[part], self.bias[part]
            normed.append(F.layer_norm(x[..., part], weight.shape, weight, bias, self.epsilon))
            begin += width
        return torch.cat(normed, -1)


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
    """One cell: what its gates make of what it reads and of the state before."""

    def __init__(self, kind: str, inputs: int, hidden: int, norm: CellNorm = "none", epsilon: float = 0.0) -> None:
        super().__init__()
        self.kind = kind
        gates = GATES[kind] * hidden
        widths = (gates - hidden, hidden) if norm == "split" else (gates,)
        has_bias = norm != "whole"  # there it is behind the norm
        self.input = Linear(inputs, gates, bias=has_bias) if inputs else Unread(gates)
        self.state = Linear(hidden, gates, bias=has_bias)
        self.input_norm = Norm(widths, epsilon) if inputs and norm != "none" else None
        self.state_norm = Norm(widths, epsilon) if norm != "none" else None

    def read(self, x: Tensor) -> Tensor:
        """Rows [n, in] -> the gates' sums of what is read [n, gates * h], or [1, gates * h] where nothing is."""
        given: Tensor = self.input(x)
        return given if self.input_norm is None else self.input_norm.forward(given)

    def advance(self, given: Tensor, state: list[Tensor]) -> list[Tensor]:
        """New states [n, h], h, and c, from what `read` gives and the states before."""
        recurrent = self.state.forward(state[0])
        recurrent = recurrent if self.state_norm is None else self.state_norm.forward(recurrent)
        return cell(self.kind, given, recurrent, state)

    def forward(self, x: Tensor, state: list[Tensor]) -> list[Tensor]:
        """Rows [n, in] and their parents' states -> new states [n, h]: h, and c."""
        return self.advance(self.read(x), state)

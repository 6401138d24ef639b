"""Pointer-generator output: each step's probability is shared between the vocabulary and the words of the source.

    p(w) = g * p_vocabulary(w) + (1 - g) * (attention to all source positions that hold w)

over an extended vocabulary of V + S words: id V + s stands for the word at source position s, where that is no word of
the vocabulary and none like it stands before. `extended` [G, S] says for each position what its word's id is; padding
may name any, since it gets no attention.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

IMPOSSIBLE = -1e9
"""Log-probability of ids that stand for no word of this source."""


class Pointer(nn.Module):
    """The gate: how much is generated, before the sigmoid, [n, inputs] -> [n, 1]."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.gate = nn.Parameter(torch.empty(inputs))
        self.bias = nn.Parameter(torch.empty(1))

    def forward(self, x: Tensor) -> Tensor:
        """Rows of the decoder and of embedded words, in the order that `core.checkpoint` gives -> the gate's logits."""
        return x @ self.gate.unsqueeze(1) + self.bias


def log_sigmoid(x: Tensor) -> Tensor:
    """For float64, whose sigmoid in ONNX Runtime is zero where a model is very sure."""
    return x.clamp(max=0) - (1 + (-x.abs()).exp()).log()


def mixed(logits: Tensor, gate: Tensor, attention: Tensor, extended: Tensor) -> Tensor:
    """Log-probabilities [n, V + S] of logits [n, V], `gate` [n, 1] and `attention` [G, q, S], n being G x q.

    Only words of the source are taken out of logarithms. Those are computed in float64: a float32 logarithm in a
    vector of sixteen is not the one that the number has alone.
    """
    gate = gate.double()
    nodes, positions = attention.shape[1], attention.shape[2]
    index = extended.unsqueeze(1).expand(-1, nodes, -1).flatten(0, 1)
    generated = F.pad(log_sigmoid(gate).to(logits.dtype) + logits.log_softmax(-1), (0, positions), value=IMPOSSIBLE)
    copied = torch.zeros_like(generated).scatter_add(1, index, attention.flatten(0, 1)).gather(1, index)
    before = generated.gather(1, index)
    both = (before.double().exp() + log_sigmoid(-gate).exp() * copied.double()).clamp(min=1e-300).log()
    return generated.scatter(1, index, torch.where(copied > 0, both.to(before.dtype), before))

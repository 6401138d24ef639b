"""What an autoregressive decoder learns: the teacher's distribution of each next word, and where the teacher looks."""

import torch
from torch import Tensor, nn

from dragoman.export.distill.inputs import Inputs, Words
from dragoman.export.distill.output_layer import divergence
from dragoman.export.network.network import Network

SMALLEST = 1e-9
"""Of what a word gets of the attention, so that it has a logarithm."""


class Autoregressive(nn.Module):
    """A decoder that reads what it wrote: each next word is to be as probable as it is to the teacher.

    With a guide, one head of its last layer is to look where the guide looks, with this weight.
    """

    def __init__(self, network: Network, start_id: int, guide: Network | None = None, weight: float = 0.0) -> None:
        super().__init__()
        self.network, self.start_id = network, start_id
        self.guide, self.weight = guide, weight

    def forward(self, given: Inputs, words: Words) -> Tensor:
        """The loss of one batch."""
        read = torch.cat([torch.full_like(given.targets[:, :1], self.start_id), given.targets[:, :-1]], 1)
        memory = self.network.cross(given.encoded, given.places)
        rows, attention = self.network.attended(read, memory, given.src_mask)
        is_target = given.is_target
        rows, teacher = rows[is_target.flatten()], given.decoded[is_target]
        loss = divergence(rows, teacher, words.rows, words.bias) / len(rows)
        if self.guide is None:
            return loss
        return loss + self.weight * astray(attention[is_target], _seen(self.guide, read, given)[is_target])


@torch.no_grad()
def _seen(guide: Network, read: Tensor, given: Inputs) -> Tensor:
    """Where the guide looks [G, T, S] as it reads the same."""
    return guide.attended(read, guide.cross(given.encoded, given.places), given.src_mask)[1]


def astray(attention: Tensor, wanted: Tensor) -> Tensor:
    """Cross-entropy of attention [n, S] with where it should go, a mean over words."""
    return -(wanted.float() * attention.float().clamp_min(SMALLEST).log()).sum(-1).mean()

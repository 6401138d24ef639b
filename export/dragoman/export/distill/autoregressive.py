"""What an autoregressive decoder learns: the teacher's distribution of each next word."""

import torch
from torch import Tensor, nn

from dragoman.export.distill.inputs import Inputs, Words
from dragoman.export.distill.output_layer import divergence
from dragoman.export.network.network import Network


class Autoregressive(nn.Module):
    """A decoder that reads what it wrote: each next word is to be as probable as it is to the teacher."""

    def __init__(self, network: Network, start_id: int) -> None:
        super().__init__()
        self.network, self.start_id = network, start_id

    def forward(self, given: Inputs, words: Words) -> Tensor:
        """The loss of one batch."""
        read = torch.cat([torch.full_like(given.targets[:, :1], self.start_id), given.targets[:, :-1]], 1)
        rows = self.network.forced(read, self.network.cross(given.encoded, given.places), given.src_mask)
        is_target = given.is_target
        rows, teacher = rows[is_target.flatten()], given.decoded[is_target]
        return divergence(rows, teacher, words.rows, words.bias) / len(rows)

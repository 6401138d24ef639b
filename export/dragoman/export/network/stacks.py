"""The encoder whose layers stand in stacks: Marian's and Nematus'.

A stack of layers for each way, whose tops stand side by side, or a tower that reads forwards on one layer that reads
both ways. A layer is one state that goes through several cells, and its products may be normed, for which ONNX has no
node: words go through a `Scan`; products of what is read are made before, of all words at once.
"""

import torch
from torch import Tensor, nn
from torch._higher_order_ops.scan import scan  # torch has no public name for it

from dragoman.bundle.manifest import Architecture
from dragoman.export.network.cells import Cell


class StackedEncoder(nn.Module):
    """Stacks of layers, each of which reads a source in one direction."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        sizes = arch.recurrent
        assert sizes is not None, "the manifest's rules give every recurrent network its sizes"
        self.form, self.skips, self.hidden = sizes.encoder_form, sizes.skips, sizes.encoder_hidden
        self.states = 2 if arch.decoder == "lstm" else 1

        def layer(width: int) -> nn.ModuleList:
            widths = [width, *[0] * (sizes.encoder_cells - 1)]
            kinds = (arch.decoder, sizes.encoder_hidden, sizes.cell_norm, arch.norm_epsilon)
            return nn.ModuleList(Cell(kinds[0], each, *kinds[1:]) for each in widths)

        above = arch.encoder_layers - 1
        heights = [sizes.source_width, *[self.hidden] * (0 if self.form == "tower" else above)]
        self.stacks = nn.ModuleList(nn.ModuleList(layer(width) for width in heights) for _ in range(2))
        widths = [2 * self.hidden, *[self.hidden] * (above - 1)] if self.form == "tower" else []
        self.tower = nn.ModuleList(layer(width) for width in widths)

    def forward(self, x: Tensor, is_word: Tensor) -> tuple[Tensor, list[Tensor]]:
        """[G, S, d] and [G, S] -> rows [G, S, M]; there are no last states."""
        x, here = x.transpose(0, 1), is_word.transpose(0, 1).unsqueeze(2)
        tops = [self._stack(stack, x, here, backwards=way == 1) for way, stack in enumerate(self.stacks)]
        x = torch.cat(tops, 2)
        if len(self.tower):
            x = self._stack(self.tower, x, here, backwards=False)
        return (x * here).transpose(0, 1), []

    def _stack(self, layers: nn.Module, x: Tensor, here: Tensor, *, backwards: bool) -> Tensor:
        """Words [S, G, d] -> what the last layer makes of them [S, G, h]."""
        for n, cells in enumerate(layers.children()):
            turns = backwards != (self.form == "alternating" and n % 2 == 1)
            made = self._layer([each for each in cells.children() if isinstance(each, Cell)], x, here, backwards=turns)
            x = made + x if self.skips and n > 0 else made
        return x

    def _layer(self, cells: list[Cell], x: Tensor, here: Tensor, *, backwards: bool) -> Tensor:
        """One layer, word by word; padding changes no state, so a source begins with zeros from either end."""
        first, *others = cells
        given = first.read(x.flatten(0, 1)).reshape(*x.shape[:2], -1)
        if backwards:
            given, here = given.flip(0), here.flip(0)
        begin = [x.new_zeros(x.shape[1], self.hidden) for _ in range(self.states)]

        def step(before: list[Tensor], word: tuple[Tensor, Tensor]) -> tuple[list[Tensor], Tensor]:
            new = first.advance(word[0], before)
            for each in others:
                new = each.forward(new[0][:, :0], new)
            new = [torch.where(word[1], a, b) for a, b in zip(new, before, strict=True)]
            return new, new[0].clone()

        rows: Tensor
        if torch.onnx.is_in_onnx_export():
            _, rows = scan(step, begin, (given, here))
        else:
            outputs, state = [], begin
            for word in zip(given, here, strict=True):
                state, row = step(state, word)
                outputs.append(row)
            rows = torch.stack(outputs)
        return rows.flip(0) if backwards else rows

"""Non-autoregressive decoders: all tokens of a canvas at once, on the encoder that the network has.

A decoder is a stack of the network's own decoder layers whose self-attention sees the whole canvas. Words, output layer
and positions are the network's (CTC, whose canvas is longer than any text, has positions of its own). A late canvas is
made by layers without a memory that go on with the source's rows, which know their positions. One module
serves training, where everything is padded and the logits of all places are wanted, and graphs, where only some are:

    cross = decoder.memory(hidden, places)                            keys and values of the encoder's rows, as
                                                                      `Network.cross` gives the other decoder's
    shown = decoder.shown(hidden, places)                             what its masks show of the source, where they do
    x = decoder.embed(network, ids, shown)                            mask-predict, one-shot, and block drafts: a canvas
    rows = decoder.run(x, (G, T), canvas_mask, cross, src_mask)       hidden rows [G * T, d]
    rows = decoder.read(network, hidden, places, src_mask, ids)       CTC: all of it, from the source and words shown
    logits = decoder.logits(network, rows)                            [G * T, V], and a column for a blank of its own
    lengths = decoder.length_logits(hidden, places, src_mask)         [G, classes], of the mean of the source's rows

A canvas for mask-predict is `first_id` (where there is one), the words or masks, and `last_id` (where there is one). A
block draft reads the words before it, and after them `block` masks: words behind the end of a text are the end token,
and `last_id` is not part of it. All masks are additive; what is padded may hold anything.

Shapes: G sources, S source positions, T places of a canvas, d the width of the network, V target words.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dragoman.bundle.manifest import Architecture, Nat
from dragoman.export.network.layers import Linear, Sublayer, final_norm, make_norm
from dragoman.export.network.network import DecoderLayer, EncoderLayer, Network
from dragoman.export.network.positions import RelativeBias, sinusoid


class NatDecoder(nn.Module):
    """The stack of a decoder, and what its kind has besides."""

    mask: nn.Parameter
    """What a masked place reads where it is no word [d]; scaled like words are."""
    blank: nn.Parameter
    """The output layer's row of a blank that is no word [d]."""
    blank_bias: nn.Parameter
    """The blank's bias [1]."""
    canvas_positions: Tensor
    """CTC: what is added to the places of a canvas [max_canvas, d]."""

    def __init__(self, arch: Architecture, nat: Nat) -> None:
        super().__init__()
        self.arch, self.nat = arch, nat
        layer_arch = replace(arch, decoder="self-attention", decoder_layers=nat.layers)
        d = arch.d_model
        kind = EncoderLayer if nat.canvas == "late" else DecoderLayer
        self.layers = nn.ModuleList(kind(layer_arch) for _ in range(nat.layers))
        self.embedding_norm = make_norm(arch) if arch.embedding_norm and nat.canvas != "late" else None
        self.norm = final_norm(arch, wanted=arch.decoder_final_norm)
        if arch.positions == "relative":
            self.relative = RelativeBias(arch, arch.heads, two_sided=True)
        if nat.mask_id == arch.target_vocabulary and nat.canvas != "shown":
            self.mask = nn.Parameter(torch.empty(d))
        if nat.blank_id == arch.target_vocabulary:
            self.blank, self.blank_bias = nn.Parameter(torch.empty(d)), nn.Parameter(torch.empty(1))
        if nat.canvas in ("split", "late", "shown"):
            self.split = Linear(arch.of_encoder.d_model, nat.upsample * d)
        if nat.canvas == "late" and nat.refines:
            self.said = Linear(nat.upsample * d, d, bias=False)
        if nat.length_classes:
            self.length = Linear(arch.of_encoder.d_model, nat.length_classes)
        if nat.kind != "ctc" or nat.canvas == "late":
            return
        if arch.positions == "learned":
            self.canvas_positions = nn.Parameter(torch.empty(nat.max_canvas, d))
        elif arch.positions == "sinusoidal":
            form = arch.sinusoid_divisor_minus_one
            table = sinusoid(nat.max_canvas, d, divisor_minus_one=form, offset=arch.position_offset)
            self.register_buffer("canvas_positions", table, persistent=False)

    def stack(self) -> list[DecoderLayer]:
        """The layers that read a memory, first to last; a late canvas has none."""
        return [layer for layer in self.layers if isinstance(layer, DecoderLayer)]

    def further(self) -> list[EncoderLayer]:
        """The layers of a late canvas, first to last."""
        return [layer for layer in self.layers if isinstance(layer, EncoderLayer)]

    def memory(self, hidden: Tensor, places: Tensor) -> list[Tensor]:
        """The encoder's rows [n, d] and which of them stands where [G, S] -> keys [G, H, e, S], values [G, H, S, e]."""
        cross = []
        for layer in self.stack():
            keys, values = layer.cross.split(F.embedding(places.flatten(), layer.cross.kv(hidden)), *places.shape)
            cross += [keys.transpose(2, 3), values]
        return cross

    def length_logits(self, hidden: Tensor, places: Tensor, src_mask: Tensor) -> Tensor:
        """Logits of lengths [G, classes], from the mean of each source's rows; `src_mask` is [G, 1, 1, S]."""
        words = (src_mask[:, 0, 0] == 0).to(hidden.dtype).unsqueeze(-1)  # [G, S, 1]
        total = (F.embedding(places, hidden) * words).sum(1)
        logits: Tensor = self.length(total / words.sum(1))
        return logits

    def shown(self, hidden: Tensor, places: Tensor) -> Tensor | None:
        """The rows of the source's positions that masks show [G, S, d]; None where they show nothing."""
        if self.nat.canvas != "shown":
            return None
        return F.embedding(places, self.split(hidden))

    def embed(self, network: Network, ids: Tensor, shown: Tensor | None = None, places: Tensor | None = None) -> Tensor:
        """A canvas of words and masks [G, T] -> rows [G * T, d]; `shown` [G, S, d] where masks show something, or those
        rows [n, d] and the `places` [G, T] among them.
        """
        words, scale = self.arch.target_vocabulary, self.arch.embedding_scale
        is_mask = (ids >= words).unsqueeze(-1)
        x = F.embedding(ids.clamp(max=words - 1), network.target_words)
        if shown is not None and places is not None:
            x = torch.where(is_mask, F.embedding(places, shown), x * scale)
        elif shown is not None:
            first = torch.arange(shown.shape[0], device=ids.device).unsqueeze(1) * shown.shape[1]
            x = torch.where(is_mask, F.embedding((ids - words).clamp(min=0) + first, shown.flatten(0, 1)), x * scale)
        elif self.nat.mask_id == words:
            x = torch.where(is_mask, self.mask, x) * scale
        else:
            x = x * scale
        return self._place(x, network.target_place_vectors())

    def read(
        self, network: Network, hidden: Tensor, places: Tensor, src_mask: Tensor, ids: Tensor | None = None
    ) -> Tensor:
        """CTC: the encoder's rows [n, d], and words [G, S * upsample] -> rows of canvases [G * S * upsample, d].

        A late canvas is split from the rows behind the layers, which work on the source's places.
        """
        if self.nat.canvas != "late":
            mask = src_mask.unsqueeze(-1).expand(-1, -1, -1, -1, self.nat.upsample).flatten(3)
            x = self.upsample(network, hidden, places, ids)
            return self.run(x, (mask.shape[0], mask.shape[3]), mask, self.memory(hidden, places), src_mask)
        x = F.embedding(places.flatten(), hidden)
        if ids is not None:
            none = x.new_zeros(())
            x = x + self.said(self._shown_words(network, ids, none).reshape(-1, self.said.weight.shape[0]))
        mask = self._mask(src_mask, places.shape[1])
        for layer in self.further():
            x = layer.think(self._attend(layer, x, (places.shape[0], places.shape[1]), mask))
        rows: Tensor = self.split(x if self.norm is None else self.norm(x))
        return rows.reshape(-1, self.arch.d_model)

    def _shown_words(self, network: Network, ids: Tensor, otherwise: Tensor) -> Tensor:
        """The words that a canvas shows, and `otherwise` where it shows none, as ids behind the vocabulary say."""
        words = self.arch.target_vocabulary
        shown = F.embedding(ids.clamp(max=words - 1), network.target_words) * self.arch.embedding_scale
        return torch.where((ids < words).unsqueeze(-1), shown.to(otherwise.dtype), otherwise)

    def upsample(self, network: Network, hidden: Tensor, places: Tensor, ids: Tensor | None = None) -> Tensor:
        """CTC: the canvas of each source [G, S * upsample] -> rows [G * S * upsample, d].

        It may show words in some places: `ids` [G, S * upsample] has them, and ids behind the vocabulary elsewhere.
        """
        if self.nat.canvas == "split":
            parts = F.embedding(places, self.split(hidden))  # [G, S, upsample * d]
            x = parts.reshape(places.shape[0], -1, self.arch.d_model)
        else:
            row = self.mask_vector(network)
            x = (row * self.arch.embedding_scale).expand(places.shape[0], places.shape[1] * self.nat.upsample, -1)
        if ids is not None:
            x = self._shown_words(network, ids, x)
        return self._place(x, self.canvas_positions if self.arch.positions != "relative" else None)

    def mask_vector(self, network: Network) -> Tensor:
        """What a masked place reads [d], unscaled."""
        if self.nat.mask_id == self.arch.target_vocabulary:
            return self.mask
        return F.embedding(torch.tensor(self.nat.mask_id, device=network.target_words.device), network.target_words)

    def _place(self, x: Tensor, table: Tensor | None) -> Tensor:
        """Words [G, T, d] at their places -> rows [G * T, d]."""
        if table is not None:
            # Padding may go beyond the last position; any position will do.
            depth = torch.arange(x.shape[1], device=x.device).clamp(max=table.shape[0] - 1)
            x = x + F.embedding(depth, table)
        if self.embedding_norm is not None:
            x = self.embedding_norm(x)
        return x.reshape(-1, self.arch.d_model)

    def run(
        self, x: Tensor, shape: tuple[int, int], canvas_mask: Tensor, cross: list[Tensor], src_mask: Tensor
    ) -> Tensor:
        """Rows of canvases [G * T, d] -> hidden rows [G * T, d]. `canvas_mask` [G, 1, 1, T] closes what is padded."""
        mask = self._mask(canvas_mask, shape[1])
        for n, layer in enumerate(self.stack()):
            x = self._attend(layer, x, shape, mask)
            x, _ = layer.rest(x, shape, cross[2 * n], cross[2 * n + 1], src_mask)
        return x if self.norm is None else self.norm(x)

    def _mask(self, closed: Tensor, places: int) -> Tensor:
        """What is added to scores of self-attention among so many places, given what closes their padding."""
        if self.arch.positions != "relative":
            return closed
        place = torch.arange(places, device=closed.device).unsqueeze(0)
        bias: Tensor = self.relative(place, place)
        return closed + bias

    def _attend(self, layer: DecoderLayer | EncoderLayer, x: Tensor, shape: tuple[int, int], mask: Tensor) -> Tensor:
        """Self-attention in both directions: rows [G * T, d] -> [G * T, d]."""
        part = Sublayer(self.arch, layer.self_norm)
        q, k, v = layer.self.split(layer.self.qkv(part.before(x)), *shape)
        return part.after(x, layer.self.merge(torch.softmax(q @ k.transpose(2, 3) + mask, dim=-1) @ v))

    def blank_logit(self, rows: Tensor) -> Tensor | None:
        """The logit [n, 1] of a blank that is no word; None where the blank is a word, or there is none."""
        if self.nat.blank_id != self.arch.target_vocabulary:
            return None
        return (rows * self.blank).sum(-1, keepdim=True) + self.blank_bias

    def logits(self, network: Network, rows: Tensor) -> Tensor:
        """[n, d] -> [n, V], or [n, V + 1] with a blank that is no word."""
        words, blank = network.logits(rows), self.blank_logit(rows)
        return words if blank is None else torch.cat([words, blank], -1)


def attach(network: Network, decoders: dict[str, Nat]) -> None:
    """Give a network its non-autoregressive decoders, without weights: `network.nat[name]`."""
    for name, nat in decoders.items():
        network.nat[name] = NatDecoder(network.arch, nat)


def decoder_of(network: Network, name: str) -> NatDecoder:
    """The non-autoregressive decoder of that name."""
    decoder = network.nat[name]
    assert isinstance(decoder, NatDecoder)
    return decoder


def decoders(network: Network) -> dict[str, Nat]:
    """What the manifest says of a network's non-autoregressive decoders, by name."""
    return {name: decoder_of(network, name).nat for name in network.nat}

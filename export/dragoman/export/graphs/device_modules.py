"""The graphs for devices as torch modules: what `modules` computes, in the operators that a GPU has one kernel for.

The layers are the network's own. Only attention is another operator, and where keys and values lie: in rows [G, T, d],
written in place by the step itself. The operator is ONNX's, which torch does not run: these modules are for tracing,
and their graphs are compared with the network's numbers by ONNX Runtime.
"""

from collections.abc import Callable, Iterator
from itertools import repeat

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dragoman.bundle.graphs import (
    DEVICE_ASKED,
    DEVICE_ENCODER,
    DEVICE_JOIN,
    DEVICE_STEP,
    WORD_SCALE,
    decoder_name,
    device_nat_graph,
)
from dragoman.bundle.manifest import Architecture
from dragoman.export.network.layers import Attention, Linear, Sublayer
from dragoman.export.network.nat import decoder_of, decoders
from dragoman.export.network.network import MASKED, DecoderLayer, EncoderLayer, Network

DEVICE_OPSET = 24
"""The first in which the operator takes lengths."""
CLOSED = -30_000.0
"""What hides padding: within float16, and exp() of it is zero."""


def attend(queries: Tensor, keys: Tensor, values: Tensor, heads: int, mask: Tensor | None, lengths: Tensor) -> Tensor:
    """Attention of [G, q, d] to [G, n, d], under an additive mask or to the first `lengths` places; keys are scaled."""
    seen = [mask] if mask is not None else [None, None, None, lengths]
    found: Tensor = torch.onnx.ops.symbolic(
        "Attention",
        [queries, keys, values, *seen],
        {"scale": 1.0, "q_num_heads": heads, "kv_num_heads": heads},
        dtype=queries.dtype,
        shape=queries.shape,
        version=DEVICE_OPSET,
    )
    return found


def write(into: Tensor, at: Tensor, rows: Tensor) -> Tensor:
    """`into` [G, T, d] with the rows [n, d] at places [n, 2]; in place where the output is bound onto the input."""
    written: Tensor = torch.onnx.ops.symbolic(
        "ScatterND", [into, at, rows], {}, dtype=into.dtype, shape=into.shape, version=DEVICE_OPSET
    )
    return written


def joined(part: Sublayer, x: Tensor, y: Tensor, last: Linear) -> Tensor:
    """`part.after(x, last(y))`, in one operator behind the product where a norm follows both additions."""
    norm = part.norm
    if part.is_pre or not isinstance(norm, nn.LayerNorm) or last.bias is None:
        return part.after(x, last(y))
    found: Tensor = torch.onnx.ops.symbolic(
        "com.microsoft::SkipLayerNormalization",
        [x, y @ last.weight, norm.weight, norm.bias, last.bias],
        {"epsilon": norm.eps},
        dtype=x.dtype,
        shape=x.shape,
        version=1,
    )
    return found


def think(arch: Architecture, layer: EncoderLayer | DecoderLayer, x: Tensor) -> Tensor:
    """The feed-forward part of a layer: rows [n, d] -> [n, d]."""
    part = Sublayer(arch, layer.ffn_norm)
    return joined(part, x, layer.ffn.inner(part.before(x)), layer.ffn.down)


class DeviceEncoderGraph(nn.Module):
    """Padded sources to hidden rows [G, S, d]; those of padding are never read."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network, self.arch = network, network.arch.of_encoder

    def forward(self, ids: Tensor, lengths: Tensor) -> list[Tensor]:
        """ids [G, S], lengths [G]."""
        network, shape = self.network, (ids.shape[0], ids.shape[1])
        x = F.embedding(ids, network.source_embedding) * network.arch.embedding_scale
        places = network._positions("source")
        x = (x if places is None else x + places[: ids.shape[1]]).flatten(0, 1)
        x = x if network.encoder.embedding_norm is None else network.encoder.embedding_norm(x)
        for layer, mask in zip(network.encoder.layers, self._masks(shape[1], lengths, x.dtype), strict=False):
            assert isinstance(layer, EncoderLayer)
            part = Sublayer(self.arch, layer.self_norm)
            q, k, v = _parted(layer.self.qkv(part.before(x)), shape, 3)
            y = attend(q, k, v, layer.self.heads, mask, lengths)
            x = think(self.arch, layer, joined(part, x, y.flatten(0, 1), layer.self.o))
        x = x if network.encoder.norm is None else network.encoder.norm(x)
        return [x.reshape(*shape, -1), *self._lengths(x, shape, lengths)]

    def _lengths(self, x: Tensor, shape: tuple[int, int], lengths: Tensor) -> Iterator[Tensor]:
        """What decoders without autoregression expect: log-probabilities [G, classes]."""
        heads = [decoder_of(self.network, name) for name in self.network.nat]
        heads = [one for one in heads if one.nat.length_classes]
        if not heads:
            return
        is_word = (torch.arange(shape[1]) < lengths[:, None]).to(x.dtype)
        # As a product: a reduction is cuDNN's.
        mean = (is_word[:, None] @ x.reshape(*shape, -1)).squeeze(1) / lengths[:, None].to(x.dtype)
        for head in heads:
            yield head.length(mean).float().log_softmax(-1)

    def _masks(self, positions: int, lengths: Tensor, dtype: torch.dtype) -> Iterator[Tensor | None]:
        """The mask of each layer, where distances count; elsewhere lengths are enough."""
        if not self.network.arch.is_relative:
            return repeat(None)
        place = torch.arange(positions)[None]
        hidden = torch.where(place < lengths[:, None], 0.0, CLOSED).to(dtype)
        return self.network.encoder.masks(hidden[:, None, None], place, place)


class DeviceJoinGraph(nn.Module):
    """Hidden rows to keys and values of the decoder's layers, in the places `to` [n, 2] of sources' memory."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, hidden: Tensor, to: Tensor, cross: list[Tensor]) -> list[Tensor]:
        """hidden [n, d]."""
        made = []
        for n, layer in enumerate(self.network.decoder.stack()):
            keys, values = layer.cross.kv(hidden).chunk(2, 1)
            made += [write(cross[2 * n], to, keys), write(cross[2 * n + 1], to, values)]
        return made


class DeviceStepGraph(nn.Module):
    """One step over the token trees of many sources, which writes its nodes into `slots` [n, 2] before it reads."""

    word_scale: Tensor
    """Of each word's vector, and zero."""
    bias: Tensor

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network, self.arch = network, network.arch
        words = network.target_words
        scale = torch.full((len(words) + 1, 1), self.arch.target_scale, dtype=words.dtype)
        scale[-1] = 0
        self.register_buffer(WORD_SCALE, scale)
        if self.arch.output_bias:
            self.register_buffer("bias", _finite(network.output_bias))

    def forward(
        self,
        ids: Tensor,
        depth: Tensor,
        mask: Tensor,
        slots: Tensor,
        state: list[Tensor],
        cross: list[Tensor],
        lengths: Tensor,
        top: Tensor,
        slot_depth: Tensor | None = None,
        chosen: Tensor | None = None,
    ) -> list[Tensor]:
        """`mask` [G, 1, q, T] opens each node's ancestors and itself; `lengths` [G] are the sources', `slot_depth`
        [G, T] says where nodes stand.
        """
        shape, written = (ids.shape[0], ids.shape[1]), []
        x, weights = self._embedded(ids.flatten(), depth.flatten()), mask
        masks = self.network.decoder.masks(mask, depth, depth if slot_depth is None else slot_depth)
        for n, (layer, seen) in enumerate(zip(self.network.decoder.stack(), masks, strict=False)):
            part = Sublayer(self.arch, layer.self_norm)
            q, k, v = layer.self.qkv(part.before(x)).chunk(3, 1)
            keys, values = (write(into, slots, new) for into, new in zip(state[2 * n :], (k, v), strict=False))
            written += [keys, values]
            y = attend(q.reshape(*shape, -1), keys, values, layer.self.heads, seen, lengths)
            x = joined(part, x, y.flatten(0, 1), layer.self.o)
            is_asked = chosen is not None and n == self.arch.decoder_layers - 1
            x, weights = self._rest(layer, x, shape, cross[2 * n : 2 * n + 2], lengths, is_asked=is_asked)
        logits = self.network.finish(x) @ self.network.output_words.T
        logits = logits + self.bias if self.arch.output_bias else logits
        logp = logits.log_softmax(-1)
        values, index = logp.topk(top.shape[0])
        said = [values.float(), index]
        if chosen is not None:
            best = index[:, :1]
            normaliser = logits.gather(1, best).float() - logp.gather(1, best).float()
            said += [logits.gather(1, chosen.flatten(0, 1)).float() - normaliser, normaliser, weights]
        return [*said, *written]

    def _embedded(self, ids: Tensor, depth: Tensor) -> Tensor:
        """What `Embedding` computes; an id outside of the vocabulary has the scale zero."""
        words = self.network.target_words
        last = words.shape[0]
        x = F.embedding(ids.clamp(max=last - 1), words) * F.embedding(ids.clamp(max=last), self.word_scale)
        return self.network.target_embed().placed(x, depth)

    def _rest(
        self,
        layer: DecoderLayer,
        x: Tensor,
        shape: tuple[int, int],
        cross: list[Tensor],
        lengths: Tensor,
        *,
        is_asked: bool,
    ) -> tuple[Tensor, Tensor]:
        """Cross-attention and the feed-forward; what was attended to [G, q, S] where that is asked."""
        part = Sublayer(self.arch, layer.cross_norm)
        q = layer.cross.q(part.before(x)).reshape(*shape, -1)
        y = attend(q, cross[0], cross[1], layer.cross.heads, None, lengths)
        weights = self._weights(layer.cross, q, cross[0], lengths) if is_asked else q
        return think(self.arch, layer, joined(part, x, y.flatten(0, 1), layer.cross.o)), weights

    def _weights(self, attention: Attention, q: Tensor, keys: Tensor, lengths: Tensor) -> Tensor:
        parted = (attention.heads, attention.width)
        keys = keys.reshape(*keys.shape[:2], *parted)
        scores = (q.reshape(*q.shape[:2], *parted).transpose(1, 2) @ keys.permute(0, 2, 3, 1)).float()
        is_padding = torch.arange(keys.shape[1]) >= lengths[:, None]
        weights: Tensor = (scores + is_padding[:, None, None] * MASKED).softmax(-1)
        if self.arch.alignment_head is not None:
            return weights[:, self.arch.alignment_head]
        # Their mean as one product: a reduction is cuDNN's, and many products take addresses that lie on the host.
        mean = torch.full((attention.heads, 1), 1 / attention.heads)
        return (weights.permute(0, 2, 3, 1) @ mean).squeeze(-1)


class DeviceNatGraph(nn.Module):
    """A pass of mask-predict over canvases: what the decoder reads of sources is made of the encoder's rows each time,
    which takes a tenth of a pass and spares a store with the keys and values of its layers.
    """

    bias: Tensor

    def __init__(self, network: Network, name: str) -> None:
        super().__init__()
        self.network, self.name = network, name
        if network.arch.output_bias:
            self.register_buffer("bias", _finite(network.output_bias))

    def forward(
        self,
        hidden: Tensor,
        places: Tensor,
        src_mask: Tensor,
        ids: Tensor,
        canvas_mask: Tensor,
        rows: Tensor,
        top: Tensor,
        shown: Tensor | None = None,
    ) -> list[Tensor]:
        """`places` [G, S] are those of each canvas' source among `hidden` [n, d]; `shown` [G, T] those among all."""
        decoder, shape = decoder_of(self.network, self.name), (ids.shape[0], ids.shape[1])
        read, cross = F.embedding(places.flatten(), hidden), []
        for layer in decoder.stack():
            keys, values = layer.cross.split(layer.cross.kv(read), places.shape[0], places.shape[1])
            cross += [keys.transpose(2, 3), values]
        source = None if shown is None else decoder.split(read)
        x = decoder.embed(self.network, ids, source, shown)
        x = F.embedding(rows, decoder.run(x, shape, canvas_mask, cross, src_mask))
        logits = x @ self.network.output_words.T
        logits = logits + self.bias if self.network.arch.output_bias else logits
        values, index = logits.log_softmax(-1).topk(top.shape[0])
        return [values.float(), index]


def _finite(bias: Tensor) -> Tensor:
    """Biases of words that are never said are finite numbers: what is not would be taken for a broken one."""
    return bias.detach().clamp(min=torch.finfo(bias.dtype).min)


def _parted(x: Tensor, shape: tuple[int, int], parts: int) -> list[Tensor]:
    """Rows [G * n, parts * d] as so many [G, n, d]."""
    return [part.reshape(*shape, -1) for part in x.chunk(parts, 1)]


DEVICE_MODULES: dict[str, Callable[[Network], nn.Module]] = {
    DEVICE_ENCODER: DeviceEncoderGraph,
    DEVICE_JOIN: DeviceJoinGraph,
    DEVICE_STEP: DeviceStepGraph,
    DEVICE_ASKED: DeviceStepGraph,
}


def device_module(network: Network, graph: str) -> nn.Module:
    """The torch module that a graph for devices is exported from."""
    if graph in DEVICE_MODULES:
        return DEVICE_MODULES[graph](network)
    return DeviceNatGraph(network, decoder_name(graph))


def device_graph_names(network: Network) -> tuple[str, ...]:
    """Those that are traced, in this order."""
    nat = [device_nat_graph(name) for name, one in decoders(network).items() if one.kind == "mask-predict"]
    return (*DEVICE_MODULES, *nat)

"""New decoders on a teacher's encoder, begun from what decoders that are trained already know."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from dragoman.bundle.manifest import Nat
from dragoman.export.network.layers import Linear
from dragoman.export.network.nat import NatDecoder, attach, decoder_of
from dragoman.export.network.network import DecoderLayer, Network


def with_autoregressive(teacher: Network, layers: int, seed: int) -> Network:
    """The teacher's network with a new decoder of masked self-attention."""
    network = Network(replace(teacher.arch, decoder="self-attention", decoder_layers=layers))
    own = network.state_dict()
    found = {n: v for n, v in teacher.state_dict().items() if n in own and not n.startswith("decoder.layers.")}
    torch.manual_seed(seed)
    network.load_state_dict(found, strict=False)
    begin(network.decoder.stack(), teacher.decoder.stack())
    return network.requires_grad_(False)  # noqa: FBT003 - torch's own signature


def with_nat(network: Network, nat: Nat, seed: int) -> None:
    """A non-autoregressive decoder besides, begun from the layers of the network's own.

    The layers of a late canvas go on where the encoder ends, and have no use for what others know of a memory beside
    them: they say nothing yet.
    """
    attach(network, {nat.kind: nat})
    decoder = decoder_of(network, nat.kind)
    torch.manual_seed(seed)
    _fill(decoder, network)
    if nat.canvas == "late":
        _silence(decoder)
    else:
        begin(decoder.stack(), network.decoder.stack())
    for made, known in (
        (decoder.norm, network.decoder.norm),
        (decoder.embedding_norm, network.decoder.embedding_norm),
    ):
        if made is not None and known is not None:
            made.load_state_dict(known.state_dict())
    decoder.requires_grad_(False)  # noqa: FBT003


def _fill(decoder: NatDecoder, network: Network) -> None:
    """What no other decoder has."""
    arch = network.arch
    for module in decoder.modules():
        if isinstance(module, nn.LayerNorm | nn.RMSNorm):
            module.reset_parameters()
        elif isinstance(module, Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for name, parameter in decoder.named_parameters():
        if name in ("mask", "blank"):
            nn.init.normal_(parameter, std=float(network.target_words.std()))
        elif name == "blank_bias":
            nn.init.zeros_(parameter)
        elif name in ("relative.table", "canvas_positions"):
            nn.init.normal_(parameter, std=arch.d_model**-0.5)
    if decoder.nat.canvas in ("split", "late", "shown"):
        # Each part begins as the source's row itself.
        decoder.split.weight.data.copy_(torch.eye(arch.d_model).repeat(1, decoder.nat.upsample))


def _silence(decoder: NatDecoder) -> None:
    """The source's rows come out normed and otherwise as they went in, and words that are shown change nothing."""
    said = [decoder.said] if decoder.nat.refines else []
    for linear in (*said, *(part for layer in decoder.further() for part in (layer.self.o, layer.ffn.down))):
        nn.init.zeros_(linear.weight)


def begin(made: list[DecoderLayer], given: list[DecoderLayer]) -> None:
    """Fill new layers from given ones, whose order is kept where there are more or fewer of them.

    What a recurrent layer knows of other places has no form that attention could take: its attention begins at random,
    and says nothing yet.
    """
    for n, layer in enumerate(made):
        own = layer.state_dict()
        source = given[n * len(given) // len(made)].state_dict()
        known = {name: value for name, value in source.items() if name in own}
        layer.load_state_dict(known, strict=False)
        if any(name.startswith("self.") for name in known):
            continue
        nn.init.xavier_uniform_(layer.self.qkv.weight)
        nn.init.zeros_(layer.self.o.weight)
        for linear in (layer.self.qkv, layer.self.o):
            if linear.bias is not None:
                nn.init.zeros_(linear.bias)

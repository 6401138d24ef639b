"""New decoders on a teacher's encoder, begun from what the teacher's own decoder knows."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from dragoman.bundle.manifest import Nat
from dragoman.export.nat import attach, decoder_of
from dragoman.export.network import DecoderLayer, Network


def autoregressive_network(teacher: Network, layers: int, seed: int) -> Network:
    """The teacher with a new decoder of masked self-attention; only that is to be trained."""
    network = Network(replace(teacher.arch, decoder="self-attention", decoder_layers=layers))
    own = network.state_dict()
    found = {n: v for n, v in teacher.state_dict().items() if n in own and not n.startswith("decoder.")}
    network.load_state_dict(found, strict=False)
    torch.manual_seed(seed)
    begin(network.decoder.stack(), teacher.decoder.stack())
    for kind in ("norm", "embedding_norm"):
        given, made = getattr(teacher.decoder, kind), getattr(network.decoder, kind)
        if made is not None:
            made.load_state_dict(given.state_dict())
    network.requires_grad_(False)  # noqa: FBT003 - torch's own signature
    network.decoder.requires_grad_(True)  # noqa: FBT003
    return network.train()


def add_nat(network: Network, name: str, nat: Nat, given: list[DecoderLayer], seed: int) -> None:
    """A non-autoregressive decoder, begun from the layers of a trained one; only that is to be trained."""
    attach(network, {name: nat})
    decoder = decoder_of(network, name)
    torch.manual_seed(seed)
    for parameter in decoder.parameters():
        if parameter.ndim > 1:
            nn.init.xavier_uniform_(parameter)
        else:
            nn.init.zeros_(parameter)
    for norm in decoder.modules():
        if isinstance(norm, nn.LayerNorm | nn.RMSNorm):
            norm.reset_parameters()
    begin(decoder.stack(), given)
    if nat.mask_id == network.arch.target_vocabulary:
        nn.init.normal_(decoder.mask, std=network.arch.d_model**-0.5 / max(1.0, network.arch.embedding_scale) ** 0.5)
    if nat.canvas == "split":
        # Each part begins as the source's row itself.
        decoder.split.weight.data.copy_(torch.eye(network.arch.d_model).repeat(1, nat.upsample))
    network.requires_grad_(False)  # noqa: FBT003
    decoder.requires_grad_(True)  # noqa: FBT003


def begin(made: list[DecoderLayer], given: list[DecoderLayer]) -> None:
    """Fill new layers from given ones, whose order is kept where there are more or fewer.

    What a recurrent layer knows of other places has no form that attention could take: it begins at random, and says
    nothing yet.
    """
    for n, layer in enumerate(made):
        source = given[n * len(given) // len(made)]
        own = layer.state_dict()
        known = {name: value for name, value in source.state_dict().items() if name in own}
        layer.load_state_dict(known, strict=False)
        if not any(name.startswith("self.") for name in known):
            nn.init.xavier_uniform_(layer.self.qkv.weight)
            nn.init.zeros_(layer.self.o.weight)
            for linear in (layer.self.qkv, layer.self.o):
                if linear.bias is not None:
                    nn.init.zeros_(linear.bias)

"""Students: new decoders on a teacher's encoder, begun from what trained decoders know, and written as a checkpoint."""

from dataclasses import replace

import torch
from torch import nn

from dragoman.bundle.manifest import Nat
from dragoman.export.core.checkpoint import Checkpoint
from dragoman.export.network.layers import Linear
from dragoman.export.network.load import checkpoint_weights
from dragoman.export.network.nat import NatDecoder, attach, decoder_of, decoders
from dragoman.export.network.network import DecoderLayer, Network


def with_autoregressive(teacher: Network, layers: int, seed: int, *, is_guided: bool = False) -> Network:
    """The teacher's network with a new decoder of masked self-attention.

    Where its attention is guided, what aligns is said by the head that begins from the teacher's for that. Else nothing
    teaches a head, and all of them together say it best.
    """
    head = (teacher.arch.alignment_head or 0) if is_guided else None
    network = Network(replace(teacher.arch, decoder="self-attention", decoder_layers=layers, alignment_head=head))
    names = network.state_dict().keys()
    known = {n: v for n, v in teacher.state_dict().items() if n in names and not n.startswith("decoder.layers.")}
    torch.manual_seed(seed)
    network.load_state_dict(known, strict=False)
    begin(network.decoder.stack(), teacher.decoder.stack())
    made, given = network.decoder.relative, teacher.decoder.relative
    if made is not None and given is not None and not made.has_one:
        for n, table in enumerate(made.tables):
            table.data.copy_(given.tables[n * len(given.tables) // layers])
    return network.requires_grad_(False)  # noqa: FBT003 - torch's own signature


def with_nat(network: Network, nat: Nat, seed: int) -> None:
    """Give the network a non-autoregressive decoder, begun from the layers of its autoregressive one.

    The layers of a late canvas go on where the encoder ends and have no use for what others know of a memory: at the
    beginning they change nothing.
    """
    attach(network, {nat.kind: nat})
    decoder = decoder_of(network, nat.kind)
    torch.manual_seed(seed)
    _fill(decoder, network)
    if nat.canvas == "late":
        _silence(decoder)
    else:
        begin(decoder.stack(), network.decoder.stack())
    for made, known in ((decoder.norm, network.decoder.norm), (decoder.embedding_norm, network.decoder.embedding_norm)):
        if made is not None and known is not None:
            made.load_state_dict(known.state_dict())
    decoder.requires_grad_(False)  # noqa: FBT003


def _fill(decoder: NatDecoder, network: Network) -> None:
    """Initial weights of what no other decoder has."""
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
    """Have the layers change nothing at first: the source's rows are only normed, and words shown add nothing."""
    said = [decoder.said] if decoder.nat.refines else []
    for linear in (*said, *(part for layer in decoder.further() for part in (layer.self.o, layer.ffn.down))):
        nn.init.zeros_(linear.weight)


def begin(made: list[DecoderLayer], given: list[DecoderLayer]) -> None:
    """Fill new layers from given ones, whose order is kept where there are more or fewer of them.

    What a recurrent layer knows of other places has no form that attention could take: the new attention begins at
    random, and adds nothing at the beginning.
    """
    for n, layer in enumerate(made):
        names = layer.state_dict().keys()
        source = given[n * len(given) // len(made)].state_dict()
        known = {name: value for name, value in source.items() if name in names}
        layer.load_state_dict(known, strict=False)
        if any(name.startswith("self.") for name in known):
            continue
        nn.init.xavier_uniform_(layer.self.qkv.weight)
        nn.init.zeros_(layer.self.o.weight)
        for linear in (layer.self.qkv, layer.self.o):
            if linear.bias is not None:
                nn.init.zeros_(linear.bias)


def student_checkpoint(teacher: Checkpoint, network: Network, history: dict[str, str]) -> Checkpoint:
    """The teacher with other decoders, as a checkpoint that an export turns into a bundle like any other.

    Encoder, words, tokenizer, shortlist, licence and the integers of what was not trained stay the teacher's. The scale
    that its output layer was calibrated with says nothing about what other decoders give it.
    """
    weights = checkpoint_weights(network)
    trained = ("decoder.", "nat.") if network.arch.decoder != teacher.architecture.decoder else ("nat.",)
    kept = {n: q for n, q in teacher.quantized.items() if n in weights and not n.startswith(trained)}
    for name in kept:
        weights[name] = teacher.weights[name]
    return replace(
        teacher,
        architecture=network.arch,
        weights=weights,
        quantized=kept,
        output_activation_scale=None,
        nat=decoders(network),
        history={**teacher.history, **history},
        oracle=None,
        notes=(),
    )

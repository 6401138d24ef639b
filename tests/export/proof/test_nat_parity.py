"""Inputs that graphs of non-autoregressive decoders are compared on."""

from dataclasses import replace

import pytest
import torch

from dragoman.bundle.graphs import is_over_shortlist, nat_graphs, signature
from dragoman.bundle.manifest import Architecture, Nat
from dragoman.export.graphs.running import packed
from dragoman.export.network.nat import attach, decoders
from dragoman.export.network.network import MASKED, Network
from dragoman.export.proof.nat_parity import nat_inputs

ARCH = Architecture(16, 2, 24, 1, 1, 96, 96)
LATE = Nat("ctc", layers=1, max_canvas=64, canvas="late", upsample=2, blank_id=96, refines=True)
SHOWN = Nat("mask-predict", 2, 32, canvas="shown", mask_id=96, length_classes=8)
KINDS = [
    LATE,
    replace(LATE, canvas="masks", mask_id=3, refines=False),
    SHOWN,
    replace(SHOWN, canvas="masks", mask_id=3),
]
SIZES = {"G": 3, "S": 6, "T": 10, "k": 4, "C": 64}


@pytest.mark.parametrize("nat", KINDS)
def test_inputs_are_those_of_the_signature(nat):
    """By name, and with its axes wherever they have a size; the rows of candidate words are looked up by a graph."""
    network = Network(ARCH)
    attach(network, {nat.kind: nat})
    torch.manual_seed(0)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)
    padded, mask = torch.randint(0, 96, (3, 6)), torch.zeros(3, 1, 1, 6)
    mask[::2, ..., -1] = MASKED

    for graph in nat_graphs(nat.kind, nat, shortlist=True):
        with torch.inference_mode():
            given = nat_inputs(network, graph, SIZES, packed(padded, mask), padded)

        declared = {tensor.name: tensor for tensor in signature(ARCH, graph, decoders(network)).inputs}
        assert given.keys() == declared.keys() - ({"words"} if is_over_shortlist(graph) else set())
        sizes: dict[str, int] = {}
        for name, value in given.items():
            assert len(value.shape) == len(declared[name].shape)
            for axis, size in zip(declared[name].shape, value.shape, strict=True):
                assert size == (sizes.setdefault(axis, size) if isinstance(axis, str) else axis), name

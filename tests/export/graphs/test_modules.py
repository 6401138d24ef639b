"""Torch modules beside the signatures that they are traced with."""

import inspect
from dataclasses import replace

import pytest

from dragoman.bundle.graphs import CANDIDATES, ENCODER, STEP, STEP_SHORTLIST, nat_graphs, signature
from dragoman.bundle.manifest import Architecture, Nat, Recurrent
from dragoman.export.graphs.arguments import arguments, example
from dragoman.export.graphs.modules import module_of
from dragoman.export.network.nat import attach
from dragoman.export.network.recurrent import network_of

PLAIN = Architecture(32, 4, 24, 1, 2, 320, 320)
RECURRENT = Architecture(20, 0, 0, 1, 1, 320, 320, decoder="lstm", recurrent=Recurrent(20, 20, 9, 18, bridge=True))
ARCHITECTURES = {
    "self-attention": PLAIN,
    "ssru": replace(PLAIN, decoder="ssru"),
    "linear-attention": replace(PLAIN, decoder="linear-attention", head_width=6),
    "relative": replace(PLAIN, positions="shaw", relative_distance=3),
    "copies": replace(PLAIN, copies=True),
    "lstm": replace(RECURRENT, tying="none"),
}
NAT = {
    "ctc": Nat("ctc", layers=1, max_canvas=64, canvas="late", upsample=2, blank_id=320, refines=True),
    "mask-predict": Nat("mask-predict", 2, 32, canvas="shown", mask_id=320, length_classes=8),
}
SIZES = {"G": 2, "S": 3, "T": 4, "q": 2, "k": 2, "m": 1, "n": 4, "r": 3, "C": 64}


def parameters_of(module) -> tuple[set[str], set[str]]:
    """Names that `forward` needs, and those that it may be given."""
    named = inspect.signature(module.forward).parameters.values()
    return {p.name for p in named if p.default is p.empty}, {p.name for p in named}


@pytest.mark.parametrize("kind", ARCHITECTURES)
@pytest.mark.parametrize("graph", [ENCODER, STEP, STEP_SHORTLIST, CANDIDATES])
def test_a_module_takes_what_its_signature_declares(kind, graph):
    """Neither more nor less; only a decoder with states has no mask, which then is None."""
    arch = ARCHITECTURES[kind]
    needed, known = parameters_of(module_of(network_of(arch), graph))
    if graph == STEP_SHORTLIST and arch.copies:
        return  # a manifest refuses the two together

    given = arguments(example(signature(arch, graph).inputs, SIZES))

    assert needed <= set(given) <= known


@pytest.mark.parametrize(
    "graph", [graph for name, nat in NAT.items() for graph in nat_graphs(name, nat, shortlist=True)]
)
def test_a_decoder_s_module_takes_what_its_signature_declares(graph):
    """Over the vocabulary and over candidates, for canvases and for what they read."""
    network = network_of(PLAIN)
    attach(network, NAT)

    needed, known = parameters_of(module_of(network, graph))

    assert needed <= set(arguments(example(signature(PLAIN, graph, NAT).inputs, SIZES))) <= known

"""Graphs as they are traced: what the passes behind them rely on."""

from dataclasses import replace

import pytest
import torch

from dragoman.bundle.manifest import Architecture, Nat
from dragoman.export.graphs.trace import trace
from dragoman.export.network.nat import attach
from dragoman.export.network.network import Network
from dragoman.export.passes.int8_weights import quantize_weight
from dragoman.export.passes.quantize import to_int8

WORDS = 320
CTC = Nat("ctc", layers=1, max_canvas=64, canvas="late", upsample=2, blank_id=WORDS, refines=True)
SPLIT = replace(CTC, canvas="split")


@pytest.mark.parametrize(
    ("tying", "graph", "nat"), [("all", "nat.ctc", CTC), ("all", "nat.ctc", SPLIT), ("none", "step", CTC)]
)
def test_no_matrix_stays_float_in_an_int8_graph(tying, graph, nat):
    """Also the output layer of a graph that reads it turned and nowhere else, where folding would hide its name."""
    sizes = {"d_model": 32, "heads": 4, "ffn": 24, "encoder_layers": 1, "decoder_layers": 1, "max_positions": 32}
    words = {"source_vocabulary": WORDS, "target_vocabulary": WORDS}
    network = Network(Architecture(**sizes, **words, decoder="ssru", tying=tying))
    attach(network, {"ctc": nat})
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)
    weights = {name: weight.detach().numpy() for name, weight in network.named_parameters() if weight.ndim == 2}
    matrices = {name: quantize_weight(weight, axis=0) for name, weight in weights.items() if name.endswith(".weight")}
    embeddings = {name: quantize_weight(weight, axis=1) for name, weight in weights.items() if "embedding" in name}

    model = trace(network.eval().requires_grad_(False), graph)
    to_int8(model, matrices, embeddings, None)

    tensors = {name: value.const_value for name, value in model.graph.initializers.items()}
    large = {n for n, t in tensors.items() if t is not None and str(t.dtype) == "FLOAT" and len(t.shape) == 2}
    assert {name for name in large if "positions" not in name} <= {"nat.ctc.blank"}

"""The proof, on graphs of recurrent networks in every order and of every kind of cells: `make test-formats`."""

from typing import Any

import pytest
import torch

from dragoman.bundle.manifest import Architecture, Recurrent
from dragoman.export.graphs.trace import trace
from dragoman.export.graphs.weights_file import save
from dragoman.export.network.recurrent import network_of
from dragoman.export.proof.parity import prove

GRAPHS = ("encoder", "step")
FORMS: dict[str, dict[str, Any]] = {
    "one state, plain cells": {
        "decoder": "tanh",
        "decoder_layers": 3,
        "recurrent": Recurrent(
            12,
            10,
            9,
            18,
            attention="additive",
            before=1,
            is_transition=True,
            cell_reads=("context",),
            output_reads=("hidden", "word", "context"),
            first="zeros",
        ),
    },
    "no attention": {
        "decoder": "lstm",
        "recurrent": Recurrent(12, 10, 9, 18, attention="none", output_reads=(), input_feeding=False),
    },
    "bahdanau": {
        "decoder": "lstm",
        "recurrent": Recurrent(
            12,
            10,
            9,
            18,
            attention="additive",
            before=0,
            first="top",
            bridge=True,
            bridge_activation="tanh",
            cell_reads=("word", "context"),
            output_reads=("hidden", "context", "word"),
            output_matrix=False,
            input_feeding=False,
        ),
    },
}


@pytest.mark.parametrize("form", FORMS)
def test_graphs_compute_what_the_network_computes(tmp_path, form):
    """Every output is within 1e-4 at several sizes with padding, and so are steps beside the full pass."""
    words = {"source_vocabulary": 320, "target_vocabulary": 320, "tying": "none"}
    sizes = {"d_model": 20, "heads": 0, "ffn": 0, "encoder_layers": 2, "decoder_layers": 2}
    torch.manual_seed(0)
    network = network_of(Architecture(**{**sizes, **words, **FORMS[form]})).eval().requires_grad_(False)
    for weight in network.parameters():
        weight.normal_(0, 0.3)

    save({graph: trace(network, graph) for graph in GRAPHS}, tmp_path)

    assert max(line.max_difference for line in prove(network, tmp_path, GRAPHS, "fp32", 320)) < 1e-4

"""The proof, on graphs of networks that no importer's tests trace: orders of recurrent cells, Shaw's positions."""

from typing import Any

import numpy as np
import pytest
import torch

from dragoman.bundle.manifest import Architecture, Parity, Recurrent
from dragoman.export.graphs.trace import trace
from dragoman.export.graphs.weights_file import save
from dragoman.export.network.recurrent import network_of
from dragoman.export.proof.parity import ParityError, check, difference, prove

GRAPHS = ("encoder", "step")
FAMILIES: dict[str, dict[str, Any]] = {
    "gru": {"decoder": "gru", "recurrent": Recurrent(12, 10, 9, 18, attention="dot", input_feeding=False)},
    "heads between cells": {
        "decoder": "gru",
        "recurrent": Recurrent(
            12,
            10,
            9,
            18,
            attention="heads",
            attention_heads=3,
            before=1,
            output_reads=(),
            first="mean",
            bridge=True,
            row_width=16,
            input_feeding=False,
        ),
    },
    "shaw": {
        "heads": 4,
        "ffn": 24,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "positions": "shaw",
        "relative_distance": 5,
        "norm_kind": "affine",
    },
}


@pytest.mark.parametrize("family", FAMILIES)
def test_graphs_compute_what_the_network_computes(tmp_path, family):
    """Every output is within 1e-4 at several sizes with padding, and so are steps beside the full pass."""
    words = {"source_vocabulary": 320, "target_vocabulary": 320, "tying": "none"}
    sizes = {"d_model": 20, "heads": 0, "ffn": 0, "encoder_layers": 2, "decoder_layers": 2}
    torch.manual_seed(0)
    network = network_of(Architecture(**{**sizes, **words, **FAMILIES[family]})).eval().requires_grad_(False)
    for weight in network.parameters():
        weight.normal_(0, 0.3)

    save({graph: trace(network, graph) for graph in GRAPHS}, tmp_path)

    assert max(line.max_difference for line in prove(network, tmp_path, GRAPHS, "fp32", 320)) < 1e-4


def test_every_line_that_fails_is_told():
    """Those that hold are not; a number that is none fails."""
    lines = [
        Parity("onnx and torch", "step/topk_logp", 0.5, 1e-3),
        Parity("onnx and torch", "step/attention", 1e-6, 1e-3),
        Parity("steps and full pass", "log-probabilities", float("nan"), 1e-3),
    ]

    with pytest.raises(ParityError) as error:
        check(lines)

    assert "step/topk_logp differs by 0.5, allowed 0.001; steps and full pass" in str(error.value)
    assert "attention" not in str(error.value)
    assert check(lines[1:2]) == (lines[1],)


def test_a_difference_is_absolute_in_float32_and_relative_elsewhere():
    """There, of the outputs as a whole: rounding moves each number a little."""
    a, b = np.array([3.0, 4.0], np.float32), np.array([3.0, 4.5], np.float32)

    assert difference(a, b, "fp32") == 0.5
    assert difference(a, b, "int8") == pytest.approx(0.1)

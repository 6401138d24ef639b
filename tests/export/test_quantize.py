"""The int8 passes, on a graph with one matrix and one tied embedding, against plain NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import torch
from onnxscript import optimizer
from torch import nn
from torch.nn import functional as F

from dragoman.export.parity import session
from dragoman.export.quantize import MS, Int8Weight, quantize_embedding, quantize_matrices, quantize_weight


class Toy(nn.Module):
    """Embedding, a matrix with bias, and the embedding again as output: whole, and cut to some words."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.table = nn.Parameter(torch.randn(64, 16))
        self.weight = nn.Parameter(torch.randn(16, 16))
        self.bias = nn.Parameter(torch.randn(16))

    def forward(self, ids: torch.Tensor, some: torch.Tensor) -> list[torch.Tensor]:
        h = F.embedding(ids, self.table) @ self.weight + self.bias
        return [h, h @ self.table.T, (F.embedding(some, self.table) @ h.flatten(0, 1).T).T]


def exported(tmp_path: Path, activation_scale: float | None, *, per_row: bool):
    toy = Toy().eval()
    automatic = torch.export.Dim.AUTO
    program = torch.onnx.export(
        toy,
        (torch.zeros(2, 3, dtype=torch.long), torch.zeros(5, dtype=torch.long)),
        dynamic_shapes=({0: automatic, 1: automatic}, {0: automatic}),
        dynamo=True,
        opset_version=20,
        optimize=False,
        verbose=False,
    )
    weight, table = toy.weight.detach().numpy(), toy.table.detach().numpy()
    matrix = quantize_weight(weight, axis=0)
    embedding = quantize_weight(table, axis=1)
    if not per_row:
        scale = np.array([np.abs(table).max() / 127], np.float32)
        embedding = Int8Weight(np.rint(table / scale).astype(np.int8), scale, None)
    matrix = Int8Weight(matrix.values, matrix.scale, activation_scale)
    model = optimizer.optimize(program.model, input_size_limit=32)
    quantize_matrices(model, {"weight": matrix})
    quantize_embedding(model, "table", embedding, activation_scale)
    model.graph.opset_imports[MS] = 1
    ir.save(model, tmp_path / "toy.onnx")
    return session(tmp_path / "toy.onnx"), matrix, embedding, toy


def reference(x: np.ndarray, w: np.ndarray, scale: np.ndarray, activation_scale: float | None) -> np.ndarray:
    """x @ (w * scale) with x rounded to integers, in float64."""
    step = np.maximum(np.abs(x).max(-1, keepdims=True), 1e-12) / 127 if activation_scale is None else activation_scale
    q = np.clip(np.rint((x / step).astype(np.float32)), -128, 127)
    return (q @ w.astype(np.float64)) * step * scale


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("per_row", [False, True])
@pytest.mark.parametrize("activation_scale", [None, 0.05])
def test_int8_graph_computes_rounded_products(tmp_path, activation_scale, per_row):
    """Lookup, matrix, whole output and some words of it are what integers give in NumPy, and near the floats."""
    run, matrix, embedding, toy = exported(tmp_path, activation_scale, per_row=per_row)
    ids, some = np.arange(6).reshape(2, 3), np.array([7, 0, 63, 20])

    h, whole, part = run.run(None, dict(zip([i.name for i in run.get_inputs()], (ids, some), strict=True)))

    table = embedding.values * embedding.scale.reshape(-1, 1)
    expected = reference(table[ids], matrix.values, matrix.scale, activation_scale) + toy.bias.detach().numpy()
    np.testing.assert_allclose(h, expected, atol=1e-4)
    logits = reference(h, embedding.values.T, embedding.scale, activation_scale)
    np.testing.assert_allclose(whole, logits, atol=2e-3)
    np.testing.assert_allclose(part, logits.reshape(6, -1)[:, some], atol=2e-3)
    floats = toy(torch.from_numpy(ids), torch.from_numpy(some))[0].detach().numpy()
    assert np.abs(h - floats).max() < 0.02 * np.abs(floats).max() + (0.1 if activation_scale else 0)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("activation_scale", [None, 0.05])
def test_a_row_does_not_depend_on_the_others(tmp_path, activation_scale):
    """A small row beside large ones comes out bit for bit as it does alone."""
    run, *_ = exported(tmp_path, activation_scale, per_row=False)
    names = [i.name for i in run.get_inputs()]
    some = np.arange(8)

    together = run.run(None, dict(zip(names, (np.arange(40).reshape(8, 5), some), strict=True)))
    alone = run.run(None, dict(zip(names, (np.arange(15, 20).reshape(1, 5), some), strict=True)))

    for a, b in zip(together, alone, strict=True):
        assert np.array_equal(a.reshape(40, -1)[15:20], b.reshape(5, -1))


def test_a_column_of_zeros_is_kept():
    """Quantising zeros gives zeros and a scale that is not zero."""
    made = quantize_weight(np.zeros((4, 3), np.float32), axis=0)

    assert not made.values.any()
    assert (made.scale > 0).all()

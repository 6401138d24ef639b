"""The int8 passes, on graphs with one matrix and one tied embedding, against plain NumPy."""

import functools
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from onnx_ir.passes.common import RemoveUnusedNodesPass
from onnxscript import optimizer
from torch import nn
from torch.nn import functional as F

from dragoman.bundle.graphs import WORDS
from dragoman.export.graphs.running import session
from dragoman.export.passes.int8_weights import Int8Weight, quantize_weight
from dragoman.export.passes.quantize import (
    MS,
    quantize_candidates,
    quantize_embedding,
    quantize_matrices,
    quantize_words,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"
)  # the exporter's own


class Toy(nn.Module):
    """Embedding, a matrix with bias, and the embedding again as output."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.table = nn.Parameter(torch.randn(64, 16))
        self.weight = nn.Parameter(torch.randn(16, 16))
        self.bias = nn.Parameter(torch.randn(16))

    def forward(self, ids: torch.Tensor) -> list[torch.Tensor]:
        h = F.embedding(ids, self.table) @ self.weight + self.bias
        return [h, h @ self.table.T]


class Rectified(Toy):
    """A matrix behind a ReLU."""

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [torch.relu(x) @ self.weight + self.bias]


class LookUp(Toy):
    """Some words of the embedding."""

    def forward(self, candidates: torch.Tensor) -> list[torch.Tensor]:
        return [F.embedding(candidates, self.table)]


class Product(Toy):
    """The output over words that come from outside."""

    def forward(self, hidden: torch.Tensor, words: torch.Tensor) -> list[torch.Tensor]:
        return [(words @ hidden.T).T]


INPUTS: dict[type[Toy], tuple[torch.Tensor, ...]] = {
    Toy: (torch.zeros(7, dtype=torch.long),),
    Rectified: (torch.zeros(5, 16),),
    LookUp: (torch.zeros(5, dtype=torch.long),),
    Product: (torch.zeros(3, 16), torch.zeros(5, 16)),
}


@functools.cache
def traced_once(kind: type[Toy]) -> onnx.ModelProto:
    automatic, inputs = torch.export.Dim.AUTO, INPUTS[kind]
    axes = tuple({n: automatic for n in range(t.ndim) if t.shape[n] != 16} for t in inputs)
    program = torch.onnx.export(
        kind().eval(), inputs, dynamic_shapes=axes, dynamo=True, opset_version=20, optimize=False, verbose=False
    )
    return ir.to_proto(optimizer.optimize(program.model, input_size_limit=32))


def traced(kind: type[Toy]) -> ir.Model:
    """A graph that the passes may change."""
    model = ir.from_proto(traced_once(kind))
    model.graph.opset_imports[MS] = 1
    return model


def weights(activation_scale: float | None, *, per_row: bool) -> tuple[Int8Weight, Int8Weight]:
    toy = Toy()
    table = toy.table.detach().numpy()
    matrix = quantize_weight(toy.weight.detach().numpy(), axis=0)
    embedding = quantize_weight(table, axis=1)
    if not per_row:
        scale = np.array([np.abs(table).max() / 127], np.float32)
        embedding = Int8Weight(np.rint(table / scale).astype(np.int8), scale, None)
    return Int8Weight(matrix.values, matrix.scale, activation_scale), embedding


def loaded(model: ir.Model, directory: Path, name: str):
    ir.save(model, directory / f"{name}.onnx")
    return session(directory, name)


def toy_session(tmp_path: Path, activation_scale: float | None, *, per_row: bool):
    matrix, embedding = weights(activation_scale, per_row=per_row)
    model = traced(Toy)
    quantize_matrices(model, {"weight": matrix})
    quantize_embedding(model, "table", embedding, activation_scale)
    return loaded(model, tmp_path, "toy"), matrix, embedding


def reference(x: np.ndarray, w: np.ndarray, scale: np.ndarray, activation_scale: float | None) -> np.ndarray:
    """x @ (w * scale) with x rounded to integers, in float64."""
    step = np.maximum(np.abs(x).max(-1, keepdims=True), 1e-12) / 127 if activation_scale is None else activation_scale
    q = np.clip(np.rint((x / step).astype(np.float32)), -128, 127)
    return (q @ w.astype(np.float64)) * step * scale


@pytest.mark.parametrize("per_row", [False, True])
@pytest.mark.parametrize("activation_scale", [None, 0.05])
def test_int8_graph_computes_rounded_products(tmp_path, activation_scale, per_row):
    """Lookup, matrix and output are what integers give in NumPy, and near the floats."""
    run, matrix, embedding = toy_session(tmp_path, activation_scale, per_row=per_row)
    ids, toy = np.arange(6), Toy()

    h, whole = run.run(None, {"ids": ids})

    table = embedding.values * embedding.scale.reshape(-1, 1)
    expected = reference(table[ids], matrix.values, matrix.scale, activation_scale) + toy.bias.detach().numpy()
    np.testing.assert_allclose(h, expected, atol=1e-4)
    logits = reference(h, embedding.values.T, embedding.scale, activation_scale)
    np.testing.assert_allclose(whole, logits, atol=2e-3)
    floats = toy(torch.from_numpy(ids))[0].detach().numpy()
    assert np.abs(h - floats).max() < 0.02 * np.abs(floats).max() + (0.1 if activation_scale else 0)


def test_what_is_made_of_the_table_is_a_byte_wide(tmp_path):
    """Wider integers of a whole vocabulary would take a hundred megabytes while the graph is loaded."""
    toy_session(tmp_path, None, per_row=True)
    nodes = onnx.load(tmp_path / "toy.onnx", load_external_data=False).graph.node
    made = {output: node for node in nodes for output in node.output}
    product = next(node for node in reversed(nodes) if node.op_type.startswith("MatMulInteger"))

    chain, name = list[str](), product.input[1]
    while name in made:
        chain.append(made[name].op_type)
        name = made[name].input[0]

    assert chain == ["Cast", "BitwiseXor", "Transpose"]


@pytest.mark.parametrize("per_row", [False, True])
@pytest.mark.parametrize("activation_scale", [None, 0.05])
def test_words_from_one_graph_are_multiplied_in_another(tmp_path, activation_scale, per_row):
    """Stored words go from graph to graph as integers, with their scales where each has its own."""
    _, embedding = weights(activation_scale, per_row=per_row)
    finder = traced(LookUp)
    finder.graph.outputs[0].name = WORDS
    quantize_candidates(finder, "table", embedding)
    product = traced(Product)
    quantize_words(product, embedding, activation_scale)
    hidden = np.random.default_rng(1).normal(size=(7, 16)).astype(np.float32)
    candidates = np.array([7, 0, 63, 20, 7])

    found = loaded(finder, tmp_path, "finder")
    stored = dict(zip([o.name for o in found.get_outputs()], found.run(None, {"candidates": candidates}), strict=True))
    (logits,) = loaded(product, tmp_path, "product").run(None, {"hidden": hidden, **stored})

    assert stored[WORDS].dtype == np.uint8
    assert len(stored) == 1 + per_row
    expected = reference(hidden, embedding.values.T, embedding.scale, activation_scale)[:, candidates]
    np.testing.assert_allclose(logits, expected, atol=2e-3)


@pytest.mark.parametrize("activation_scale", [None, 0.05])
def test_a_row_does_not_depend_on_the_others(tmp_path, activation_scale):
    """A small row beside large ones comes out bit for bit as it does alone."""
    run, *_ = toy_session(tmp_path, activation_scale, per_row=False)

    together = run.run(None, {"ids": np.arange(40)})
    alone = run.run(None, {"ids": np.arange(15, 20)})

    for a, b in zip(together, alone, strict=True):
        assert np.array_equal(a[15:20], b)


@pytest.mark.parametrize("activation_scale", [None, 0.02])
def test_a_relu_is_the_lowest_integer(tmp_path, activation_scale):
    """Behind a ReLU the integers begin at zero and have 255 steps; a row of negative numbers gives the bias."""
    matrix, _ = weights(activation_scale, per_row=False)
    model = traced(Rectified)
    quantize_matrices(model, {"weight": matrix})
    RemoveUnusedNodesPass()(model)
    x = np.random.default_rng(2).normal(size=(9, 16)).astype(np.float32)
    x[4] = -np.abs(x[4])

    (found,) = loaded(model, tmp_path, "rectified").run(None, {"x": x})

    assert not any(node.op_type in ("Relu", "Abs") for node in model.graph)
    real = np.maximum(x, 0)
    step = np.maximum(real.max(-1, keepdims=True), 1e-12) / 255 if activation_scale is None else activation_scale
    q = np.minimum(np.rint(real / step), 255)
    bias = Rectified().bias.detach().numpy()
    np.testing.assert_allclose(found, q @ matrix.values.astype(np.float64) * step * matrix.scale + bias, atol=1e-4)
    np.testing.assert_allclose(found[4], bias, atol=1e-6)

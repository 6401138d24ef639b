"""The fp16 pass: what becomes float16 and what stays float32."""

import onnx_ir as ir
import pytest
import torch

from dragoman.bundle.manifest import Architecture
from dragoman.export.core.errors import ExportError
from dragoman.export.graphs.trace import trace
from dragoman.export.graphs.weights_file import save
from dragoman.export.network.network import Network
from dragoman.export.passes.half import to_half
from dragoman.export.proof.parity import prove

GRAPHS = ("encoder", "step")
FULL, HALF = ir.DataType.FLOAT, ir.DataType.FLOAT16


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(5)
    arch = Architecture(32, 4, 64, 1, 1, 320, 320, tying="none")
    made = Network(arch).eval().requires_grad_(False)
    for name, weight in made.named_parameters():
        weight.normal_(1.0 if "norm.weight" in name else 0.0, 0.2)
    return made


@pytest.fixture(scope="module")
def traced(network) -> dict[str, ir.Model]:
    return {graph: trace(network, graph) for graph in GRAPHS}


@pytest.fixture(scope="module")
def halved(traced) -> dict[str, ir.Model]:
    models = {graph: model.clone() for graph, model in traced.items()}
    for model in models.values():
        to_half(model)
    return models


def dtypes(values) -> set[ir.DataType | None]:
    return {value.dtype for value in values if value is not None and value.dtype in (FULL, HALF)}


def test_products_are_float16_and_what_must_not_round_is_not(halved):
    """Every matrix product works in float16, and so do keys and values from graph to graph; norms, softmax, the search
    of the best words and a graph's other ends do not."""
    for model in halved.values():
        kinds = {op: [n for n in model.graph if n.op_type == op] for op in ("MatMul", "Softmax", "TopK")}
        assert all(dtypes((*n.inputs, *n.outputs)) == {HALF} for n in kinds["MatMul"])
        norms = [n for n in model.graph if n.op_type == "LayerNormalization"]
        assert all(dtypes((*n.inputs, *n.outputs)) == {FULL} for n in (*norms, *kinds["Softmax"], *kinds["TopK"]))
        assert norms
        logits = [use for n in kinds["TopK"] for use in n.inputs[0].producer().inputs]
        assert dtypes(logits) <= {FULL}, "the output layer's bias is added in float32"
        ends = (*model.graph.inputs, *model.graph.outputs)
        kept = [value for value in ends if value.name.startswith(("self_", "new_", "cross_"))]
        assert dtypes(kept) == {HALF}
        assert dtypes(set(ends) - set(kept)) == {FULL}


def test_what_a_copy_was_made_of_stays_as_it_is(traced, halved):
    """Halving a graph leaves the one that it was cloned from in float32."""
    for name, model in traced.items():
        assert halved[name] is not model
        values = [*model.graph.inputs, *(value for node in model.graph for value in node.outputs)]
        assert dtypes(values) == {FULL}


def test_weights_are_stored_once_and_in_half_the_room(halved):
    """Matrices and embeddings are float16, without a float32 copy; of norms there is little."""
    for model in halved.values():
        stored = [value.const_value for value in model.graph.initializers.values()]
        large = [tensor for tensor in stored if tensor is not None and len(tensor.shape) > 1]
        assert large
        assert {tensor.dtype for tensor in large} <= {HALF, ir.DataType.INT64}


def test_outputs_are_those_of_the_network(network, halved, tmp_path):
    """On a processor, which computes float16 by way of float32, every output is within a thousandth."""
    save(halved, tmp_path)

    lines = prove(network, tmp_path, GRAPHS, "fp16", 320)

    assert max(line.max_difference for line in lines) < 1e-3


def test_weights_that_float16_cannot_hold_are_refused(traced):
    """Their name is said, and the way out; a bias that stands for never is no such weight."""
    model = traced["step"].clone()
    weight = model.graph.initializers["decoder.layers.0.ffn.up.weight"]
    weight.const_value = ir.tensor(weight.const_value.numpy() * 1e6, name=weight.name)
    bias = model.graph.initializers["output_bias"]
    bias.const_value = ir.tensor(bias.const_value.numpy() - 1e9, name=bias.name)

    with pytest.raises(ExportError, match=r"ffn.up.weight has numbers above 65,504.*export as fp32"):
        to_half(model)

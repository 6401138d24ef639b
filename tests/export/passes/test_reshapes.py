"""Shapes as constants."""

import numpy as np
import onnx_ir as ir
import pytest

from dragoman.export.passes.reshapes import constant_reshapes


def a_reshape(old: list[int | str], new: list[int | str]) -> tuple[ir.Model, ir.Node]:
    """A graph with one reshape whose shape is computed."""
    x = ir.Value(name="x", shape=ir.Shape(old), type=ir.TensorType(ir.DataType.FLOAT))
    shape = ir.Value(name="shape", shape=ir.Shape([len(new)]), type=ir.TensorType(ir.DataType.INT64))
    computed = ir.node("Identity", [shape])
    node = ir.node("Reshape", [x, computed.outputs[0]], attributes={"allowzero": 1})
    (y,) = node.outputs
    y.name, y.type, y.shape = "y", x.type, ir.Shape(new)
    graph = ir.Graph([x, shape], [y], nodes=[computed, node], name="g", opset_imports={"": 20})
    return ir.Model(graph, ir_version=10), node


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (["n", 32], ["n", 4, 8], [0, 4, 8]),
        (["G", "q", 32], ["m", 32], [-1, 32]),
        (["G", 4, "S"], ["G", "S", 4], [0, -1, 4]),
        (["n"], [3, "k"], [3, -1]),
    ],
)
def test_a_shape_with_one_unknown_axis_becomes_a_constant(old, new, expected):
    """Zero stands for the old axis in its place, -1 for the rest; what computed the shape is gone."""
    model, node = a_reshape(old, new)

    constant_reshapes(model)

    constant = node.inputs[1].const_value
    assert constant is not None
    np.testing.assert_array_equal(constant.numpy(), expected)
    assert "allowzero" not in node.attributes
    assert [each.op_type for each in model.graph] == ["Reshape"]


def test_two_unknown_axes_stay_computed():
    """No constant could say both."""
    model, node = a_reshape(["n", 32], ["a", "b", 4])

    constant_reshapes(model)

    assert node.inputs[1].producer().op_type == "Identity"

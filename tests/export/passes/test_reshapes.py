"""Shapes as constants, and axes of size 1."""

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest

from dragoman.export.passes.reshapes import constant_reshapes, with_size_one


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


def computed(nodes: list[tuple[str, list[str], list[int | str], dict]], inputs: dict[str, list[int | str]]) -> ir.Model:
    """A graph of nodes with one output each, named like its shape's place in the list; the last one is the graph's."""
    values = {
        name: ir.Value(name=name, shape=ir.Shape(shape), type=ir.TensorType(ir.DataType.FLOAT))
        for name, shape in inputs.items()
    }
    graph = ir.Graph([*values.values()], [], nodes=[], name="g", opset_imports={"": 20})
    for number, (op, names, shape, attributes) in enumerate(nodes):
        given = [values[name] if isinstance(name, str) else numbers(graph, name) for name in names]
        node = ir.node(op, given, attributes=attributes)
        (value,) = node.outputs
        value.name, value.shape, value.type = f"y{number}", ir.Shape(shape), ir.TensorType(ir.DataType.FLOAT)
        values[f"y{number}"] = value
        graph.append(node)
    graph.outputs[:] = [values[f"y{len(nodes) - 1}"]]
    return ir.Model(graph, ir_version=10)


def numbers(graph: ir.Graph, given: list[int]) -> ir.Value:
    """Numbers that a node takes as its second input."""
    name = "numbers." + ".".join(map(str, given))
    tensor = ir.tensor(np.array(given, np.int64), name=name)
    shape, kind = ir.Shape([len(given)]), ir.TensorType(tensor.dtype)
    if name not in graph.initializers:
        graph.register_initializer(ir.Value(name=name, const_value=tensor, shape=shape, type=kind))
    return graph.initializers[name]


HEADS = [
    ("Reshape", ["x", [0, 1, 4, 8]], ["G", "q", 4, 8], {}),
    ("Transpose", ["y0"], ["G", 4, "q", 8], {"perm": [0, 2, 1, 3]}),
    ("Relu", ["y1"], ["G", 4, "q", 8], {}),
    ("Transpose", ["y2"], ["G", "q", 4, 8], {"perm": [0, 2, 1, 3]}),
    ("Reshape", ["y3", [-1, 32]], ["G*q", 32], {}),
]
LISTS = [
    ("Reshape", ["x", [-1, 1, 32]], ["G", "q", 32], {}),
    ("Unsqueeze", ["m", [1]], ["G", 1, 32], {}),
    ("Add", ["y0", "y1"], ["G", "q", 32], {}),
    ("Reshape", ["y2", [-1, 32]], ["G*q", 32], {}),
    ("Relu", ["y3"], ["G*q", 32], {}),
]
TRUE_MOVE = [
    ("Reshape", ["x", [-1, 1, 4, 8]], ["G", "q", 4, 8], {}),
    ("Transpose", ["y0"], ["G", "q", 8, 4], {"perm": [0, 1, 3, 2]}),
    ("Relu", ["y1"], ["G", "q", 8, 4], {}),
]


@pytest.mark.parametrize(
    ("nodes", "left"),
    [(HEADS, ["Reshape", "Relu", "Reshape"]), (LISTS, ["Add", "Relu"]), (TRUE_MOVE, ["Reshape", "Transpose", "Relu"])],
)
def test_what_only_moves_or_splits_an_axis_of_size_one_goes(nodes, left):
    """Heads that were moved behind the axis and back, and a sum of what was given it for the sum alone; no true move
    of numbers. The numbers are the same to the last bit.
    """
    model = computed(nodes, {"x": ["G*q", 32], "m": ["G", 32]})
    model.graph.inputs[:] = [value for value in model.graph.inputs if value.uses()]
    feed = {name: np.random.default_rng(3).normal(size=(5, 32)).astype(np.float32) for name in "xm"}
    feed = {value.name: feed[value.name] for value in model.graph.inputs}
    before = run(model, feed)

    with_size_one(model, "q")

    np.testing.assert_array_equal(run(model, feed), before)
    assert [node.op_type for node in model.graph] == left


def run(model: ir.Model, feed: dict[str, np.ndarray]) -> np.ndarray:
    """The graph's one output."""
    session = onnxruntime.InferenceSession(ir.to_proto(model).SerializeToString())
    return session.run(None, feed)[0]

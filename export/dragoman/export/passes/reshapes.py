"""The passes over what only changes shapes: computed shapes become constants, and what changes nothing goes.

Axes are known by name: the same name is the same size wherever it stands in a graph.
"""

import re

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

_RESHAPING = ("Reshape", "Squeeze", "Unsqueeze")
_Axes = tuple[int | str, ...]


def constant_reshapes(model: ir.Model) -> None:
    """Write a new shape as a constant where every axis is a number, one of the old axes in its place, or the rest."""
    for node in model.graph:
        if node.op_type != "Reshape" or node.inputs[1].is_initializer():  # type: ignore[union-attr]
            continue
        old, new = _axes(node.inputs[0]), _axes(node.outputs[0])
        if old is None or new is None:
            continue
        axes = _constant(old, new)
        if axes is not None:
            node.replace_input_with(1, _shape(model.graph, axes))
            node.attributes.pop("allowzero", None)  # a zero stands for the old axis
    RemoveUnusedNodesPass()(model)


def with_size_one(model: ir.Model, name: str) -> None:
    """An axis has the size 1 from now on: what only moved or split it goes, in place."""
    for value in (*model.graph.inputs, *(value for node in model.graph for value in node.outputs)):
        if value.shape is not None:
            value.shape = ir.Shape([_without(axis, name) for axis in value.shape])
    for node in [*model.graph]:
        if node.op_type == "Transpose" and _only_moves_ones(node):
            _reshape(node, node.inputs[0])
    for node in [*model.graph]:
        if node.op_type == "Add":
            _add_before_reshaping(node)
        elif node.op_type in _RESHAPING and (made := node.inputs[0].producer()) and made.op_type in _RESHAPING:
            _reshape(node, made.inputs[0])
    constant_reshapes(model)
    for node in [*model.graph]:
        source, made_value = node.inputs[0] if node.inputs else None, node.outputs[0]
        is_needless = node.op_type in _RESHAPING and _axes(source) == _axes(made_value) is not None
        if is_needless and source is not None and not made_value.is_graph_output():
            made_value.replace_all_uses_with(source)
    RemoveUnusedNodesPass()(model)


def _axes(value: ir.Value | None) -> _Axes | None:
    if value is None or value.shape is None:
        return None
    return tuple(axis if isinstance(axis, int) else str(axis.value) for axis in value.shape)


def _constant(old: _Axes, new: _Axes) -> tuple[int, ...] | None:
    """A new shape in numbers, if it has no more than one unknown axis."""
    axes = tuple(a if isinstance(a, int) else 0 if n < len(old) and old[n] == a else -1 for n, a in enumerate(new))
    return axes if axes.count(-1) <= 1 else None


def _shape(graph: ir.Graph, axes: tuple[int, ...]) -> ir.Value:
    name = "const.shape." + ".".join(map(str, axes))
    if name not in graph.initializers:
        tensor = ir.tensor(np.array(axes, np.int64), name=name)
        shape, kind = ir.Shape([len(axes)]), ir.TensorType(tensor.dtype)
        graph.register_initializer(ir.Value(name=name, const_value=tensor, shape=shape, type=kind))
    return graph.initializers[name]


def _without(axis: int | ir.SymbolicDim, name: str) -> int | str:
    """An axis, where one of its factors is 1."""
    if isinstance(axis, int):
        return axis
    rest = re.sub(rf"\*{name}\b|\b{name}\*", "", str(axis.value))
    return 1 if rest == name else re.sub(rf"\b{name}\b", "1", rest)


def _only_moves_ones(node: ir.Node) -> bool:
    """Whether a transposition leaves all numbers where they are."""
    axes, order = _axes(node.inputs[0]), node.attributes["perm"].as_ints()
    kept = [axis for axis in order if axes is not None and axes[axis] != 1]
    return axes is not None and kept == sorted(kept)


def _reshape(node: ir.Node, source: ir.Value | None) -> bool:
    """Have a node's output made from another value of the same numbers, if a constant says its shape."""
    old, new, graph = _axes(source), _axes(node.outputs[0]), node.graph
    axes = _constant(old, new) if old is not None and new is not None else None
    if axes is None or not isinstance(graph, ir.Graph):
        return False
    (value,) = node.outputs
    made = ir.node("Reshape", [source, _shape(graph, axes)], num_outputs=1)
    graph.insert_before(node, made)
    _take_over(value, made.outputs[0])
    return True


def _take_over(value: ir.Value, by: ir.Value) -> None:
    """Another value in place of one, under its name."""
    by.name, by.shape, by.type = value.name, value.shape, value.type
    value.replace_all_uses_with(by, replace_graph_outputs=True)
    value.name = f"{value.name}.before"


def _add_before_reshaping(node: ir.Node) -> None:
    """A sum of two that were reshaped alike is the sum of the two, reshaped."""
    made = [value.producer() for value in node.inputs if value is not None]
    if not all(each is not None and each.op_type in _RESHAPING for each in made):
        return
    sources = [each.inputs[0] for each in made if each is not None]
    shapes, graph = {*map(_axes, sources)}, node.graph
    if len({*map(_axes, node.inputs), _axes(node.outputs[0])}) > 1 or len(shapes) > 1 or None in shapes:
        return
    assert isinstance(graph, ir.Graph)
    total = ir.node("Add", sources)
    graph.insert_before(node, total)
    value, source = total.outputs[0], sources[0]
    assert source is not None
    value.shape, value.type, value.name = source.shape, node.outputs[0].type, f"{node.outputs[0].name}.flat"
    _reshape(node, value)

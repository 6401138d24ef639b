"""Graphs without weights, by which a server writes to what it keeps on a device: pools of nodes, and sources' memory.

What each does is said in `dragoman.bundle.graphs`. All write in place: the server binds the output `written(name)` onto
the buffer that is the input `name`, and the runtime then writes the rows that change and nothing else. Tensors have the
names of the step graph's inputs; `POOL_KEEP` and both moves take them as rows [P, w], whatever their axes.
"""

from collections.abc import Callable

import onnx_ir as ir

from dragoman.bundle.graphs import (
    AT,
    CROSS,
    DEVICE_MEMORY_FIT,
    DEVICE_POOL_FIT,
    KEPT,
    MEMORY_FIT,
    MEMORY_MOVE,
    POOL_FIT,
    POOL_KEEP,
    POOL_MOVE,
    SELF,
    STATE,
    TO,
    incoming,
    pads,
    written,
)
from dragoman.bundle.manifest import Architecture, Graph, Tensor
from dragoman.export.graphs.trace import OPSET

DTYPES = {"float32": ir.DataType.FLOAT, "float16": ir.DataType.FLOAT16}
Axes = tuple[int | str, ...]
Writer = Callable[["_Builder", Tensor], ir.Node]


def store_graphs(arch: Architecture, step: Graph) -> dict[str, ir.Model]:
    """The graphs for this step graph; none for `lstm`, `gru` and models that copy, which no device runs."""
    if arch.recurrent is not None or arch.copies:
        return {}
    inputs = step.inputs
    nodes = [tensor for tensor in inputs if tensor.name.startswith(SELF)]
    states = [tensor for tensor in inputs if tensor.name.startswith(STATE)]
    cross = [tensor for tensor in inputs if tensor.name.startswith(CROSS)]
    models = {
        POOL_KEEP: _graph(POOL_KEEP, nodes, _keep) if nodes else _graph(POOL_KEEP, states, _inherit),
        POOL_MOVE: _graph(POOL_MOVE, nodes or states, _move),
        MEMORY_MOVE: _graph(MEMORY_MOVE, cross, _move),
        MEMORY_FIT: _graph(MEMORY_FIT, cross, _fit),
    }
    return {**models, POOL_FIT: _graph(POOL_FIT, nodes, _fit)} if nodes else models


def device_store_graphs(step: Graph) -> dict[str, ir.Model]:
    """Those that fit what a device's step keeps. Rows are picked before any is written: they may lie in one place."""
    nodes = [tensor for tensor in step.inputs if tensor.name.startswith(SELF)]
    cross = [tensor for tensor in step.inputs if tensor.name.startswith(CROSS)]
    graphs = ((DEVICE_POOL_FIT, nodes), (DEVICE_MEMORY_FIT, cross))
    return {name: _graph(name, tensors, _fit) for name, tensors in graphs}


def _graph(name: str, tensors: list[Tensor], writer: Writer) -> ir.Model:
    builder = _Builder()
    for tensor in tensors:
        node = writer(builder, tensor)
        (output,) = node.outputs
        output.name, output.dtype = written(tensor.name), DTYPES[tensor.dtype]
        builder.outputs.append(output)
    inputs, nodes, constants = list(builder.inputs.values()), builder.nodes, list(builder.constants.values())
    graph = ir.Graph(inputs, builder.outputs, nodes=nodes, initializers=constants, name=name, opset_imports={"": OPSET})
    return ir.Model(graph, ir_version=10, producer_name="dragoman")


class _Builder:
    """A graph that grows."""

    def __init__(self) -> None:
        self.inputs: dict[str, ir.Value] = {}
        self.constants: dict[str, ir.Value] = {}
        self.nodes: list[ir.Node] = []
        self.outputs: list[ir.Value] = []

    def input(self, name: str, dtype: ir.DataType, axes: Axes) -> ir.Value:
        """Declared once, however many read it."""
        value = ir.Value(name=name, shape=ir.Shape(axes), type=ir.TensorType(dtype))
        return self.inputs.setdefault(name, value)

    def index(self, name: str, axes: Axes) -> ir.Value:
        return self.input(name, ir.DataType.INT64, axes)

    def number(self, number: int) -> ir.Value:
        """A constant of one number."""
        name = f"const.{number}"
        tensor = ir.tensor([number], dtype=ir.DataType.INT64, name=name)
        value = ir.Value(name=name, const_value=tensor, shape=ir.Shape([1]), type=ir.TensorType(ir.DataType.INT64))
        return self.constants.setdefault(name, value)

    def node(self, op: str, inputs: list[ir.Value], axes: Axes, **attributes: int) -> ir.Node:
        node = ir.node(op, inputs, attributes=attributes)
        node.outputs[0].shape = ir.Shape(axes)
        self.nodes.append(node)
        return node

    def step(self, op: str, inputs: list[ir.Value], axes: Axes, **attributes: int) -> ir.Value:
        """A node in the middle, whose output has its first input's type."""
        value: ir.Value = self.node(op, inputs, axes, **attributes).outputs[0]
        value.type = inputs[0].type
        return value


def _keep(to: _Builder, tensor: Tensor) -> ir.Node:
    axes, dtype = ("P", tensor.shape[-1]), DTYPES[tensor.dtype]
    into = to.input(tensor.name, dtype, axes)
    new = to.input(incoming(tensor.name), dtype, ("n", tensor.shape[-1]))
    return to.node("ScatterND", [into, to.index(TO, ("n", 1)), new], axes)


def _inherit(to: _Builder, tensor: Tensor) -> ir.Node:
    axes, dtype = ("n", tensor.shape[-1]), DTYPES[tensor.dtype]
    new = to.input(incoming(tensor.name), dtype, axes)
    return to.node("Gather", [new, to.index(AT, ("n",))], axes, axis=0)


def _move(to: _Builder, tensor: Tensor) -> ir.Node:
    # One width for each tensor: those of keys and values need not be the same.
    axes, dtype = ("P", f"w.{tensor.name}"), DTYPES[tensor.dtype]
    into = to.input(tensor.name, dtype, axes)
    source = to.input(incoming(tensor.name), dtype, ("F", axes[1]))
    rows = to.step("Gather", [source, to.index(AT, ("r",))], ("r", axes[1]), axis=0)
    return to.node("ScatterND", [into, to.index(TO, ("r", 1)), rows], axes)


def _fit(to: _Builder, tensor: Tensor) -> ir.Node:
    # The first axis is the source's; the one that is fitted is of slots or positions.
    row, dtype = tensor.shape[1:], DTYPES[tensor.dtype]
    axis = 1 + next(n for n, size in enumerate(row) if isinstance(size, str))
    given, kept = (tuple(size if isinstance(size, int) else name for size in row) for name in ("given", "kept"))
    into = to.input(tensor.name, dtype, ("P", *row))
    source = to.input(incoming(tensor.name), dtype, ("F", *given))
    picked = to.step("Gather", [source, to.index(AT, ("r",))], ("r", *given), axis=0)
    ends = [to.number(0), to.index(KEPT, (1,)), to.number(axis)]
    cut = to.step("Slice", [picked, *ends], ("r", *kept))
    padded = to.step("Pad", [cut, to.index(pads(axis), (2 * len(tensor.shape),))], ("r", *row))
    return to.node("ScatterND", [into, to.index(TO, ("r", 1)), padded], ("P", *row))

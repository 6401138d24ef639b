"""Graphs without weights, by which a server writes to what it keeps on a device: pools of nodes, and sources' memory.

All write in place: the server binds an output `NAME.written` onto the buffer that is the input `NAME`, and the runtime
then writes the rows that change and nothing else. Names of the tensors are those of the step graph.

  pool.keep    new nodes' keys and values into their slots, all tensors taken as rows [P, e]; or, of a recurrent
               decoder, each hypothesis' state from the new ones
  pool.move    sources' rows [P, w] from others: who leaves is replaced, who joins begins with zeros
  pool.fit     the same, where slots become more or fewer
  memory.move  of cross-attention keys and values
  memory.fit   encoded sources into their places, padded with zeros, or positions becoming more or fewer
"""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from dragoman.bundle.manifest import Architecture, Graph, Tensor
from dragoman.export.graphs.graphs import OPSET

DTYPES = {"float32": ir.DataType.FLOAT, "float16": ir.DataType.FLOAT16}
Axes = tuple[int | str, ...]
Writer = Callable[["_Builder", Tensor], ir.Node]


def store_graphs(arch: Architecture, step: Graph) -> dict[str, ir.Model]:
    """The graphs for this step graph; none for decoders that a device does not run.

    Those are `lstm` and `gru`, and models that copy.
    """
    if arch.recurrent is not None or arch.copies:
        return {}
    inputs = step.inputs
    nodes = [tensor for tensor in inputs if tensor.name.startswith("self_")]
    states = [tensor for tensor in inputs if tensor.name.startswith("state.")]
    cross = [tensor for tensor in inputs if tensor.name.startswith("cross_")]
    made = {
        "pool.keep": _graph("pool.keep", nodes, _keep) if nodes else _graph("pool.keep", states, _inherit),
        "pool.move": _graph("pool.move", nodes or states, _move),
        "memory.move": _graph("memory.move", cross, _move),
        "memory.fit": _graph("memory.fit", cross, _fit),
    }
    return {**made, "pool.fit": _graph("pool.fit", nodes, _fit)} if nodes else made


def _graph(name: str, tensors: list[Tensor], writer: Writer) -> ir.Model:
    builder = _Builder()
    for tensor in tensors:
        node = writer(builder, tensor)
        (output,) = node.outputs
        output.name, output.dtype = f"{tensor.name}.written", DTYPES[tensor.dtype]
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
    new = to.input(f"from.{tensor.name}", dtype, ("n", tensor.shape[-1]))
    return to.node("ScatterND", [into, to.index("to", ("n", 1)), new], axes)


def _inherit(to: _Builder, tensor: Tensor) -> ir.Node:
    axes, dtype = ("n", tensor.shape[-1]), DTYPES[tensor.dtype]
    new = to.input(f"from.{tensor.name}", dtype, axes)
    return to.node("Gather", [new, to.index("at", ("n",))], axes, axis=0)


def _move(to: _Builder, tensor: Tensor) -> ir.Node:
    # One width for each tensor: those of keys and values need not be the same.
    axes, dtype = ("P", f"w.{tensor.name}"), DTYPES[tensor.dtype]
    into = to.input(tensor.name, dtype, axes)
    source = to.input(f"from.{tensor.name}", dtype, ("F", axes[1]))
    rows = to.step("Gather", [source, to.index("at", ("r",))], ("r", axes[1]), axis=0)
    return to.node("ScatterND", [into, to.index("to", ("r", 1)), rows], axes)


def _fit(to: _Builder, tensor: Tensor) -> ir.Node:
    # The first axis is the source's; the one that is fitted is of slots or positions.
    own, dtype = tensor.shape[1:], DTYPES[tensor.dtype]
    axis = 1 + next(n for n, size in enumerate(own) if isinstance(size, str))
    given, kept = (tuple(size if isinstance(size, int) else name for size in own) for name in ("given", "kept"))
    into = to.input(tensor.name, dtype, ("P", *own))
    source = to.input(f"from.{tensor.name}", dtype, ("F", *given))
    picked = to.step("Gather", [source, to.index("at", ("r",))], ("r", *given), axis=0)
    ends = [to.number(0), to.index("kept", (1,)), to.number(axis)]
    cut = to.step("Slice", [picked, *ends], ("r", *kept))
    padded = to.step("Pad", [cut, to.index(f"pads.{axis}", (8,))], ("r", *own))
    return to.node("ScatterND", [into, to.index("to", ("r", 1)), padded], ("P", *own))

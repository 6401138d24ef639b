"""Graphs without weights, by which a server rearranges what it keeps on a device: nodes, and sources' memory.

What each does is said in `dragoman.bundle.graphs`. They write in place: the server binds the output `written(name)`
onto the buffer that is the input `name`, and the runtime then writes the rows that change and nothing else. Tensors
have the names of the step graph's inputs.
"""

import onnx_ir as ir

from dragoman.bundle.graphs import (
    AT,
    CROSS,
    DEVICE_HIDDEN_FIT,
    DEVICE_HIDDEN_JOIN,
    DEVICE_MEMORY_FIT,
    DEVICE_POOL_FIT,
    KEPT,
    PADS,
    SELF,
    TO,
    incoming,
    written,
)
from dragoman.bundle.manifest import Graph, Tensor
from dragoman.export.graphs.trace import OPSET

DTYPES = {"float32": ir.DataType.FLOAT, "float16": ir.DataType.FLOAT16}
INTS = ir.DataType.INT64


def store_graphs(step: Graph, hidden: Tensor | None = None) -> dict[str, ir.Model]:
    """Those that fit what a device's step keeps, and the `hidden` rows [G, S, d] that CTC decoders read, where there
    are any. Rows are picked before any is written: they may lie in one place.
    """
    kinds = {DEVICE_POOL_FIT: SELF, DEVICE_MEMORY_FIT: CROSS}
    made = {
        name: _fitting(name, [tensor for tensor in step.inputs if tensor.name.startswith(kind)])
        for name, kind in kinds.items()
    }
    if hidden is not None:
        made |= {DEVICE_HIDDEN_FIT: _fitting(DEVICE_HIDDEN_FIT, [hidden]), DEVICE_HIDDEN_JOIN: _joining(hidden)}
    return made


def _joining(tensor: Tensor) -> ir.Model:
    """Rows [n, d] written to the places `TO` [n, 2]."""
    dtype, width = DTYPES[tensor.dtype], tensor.shape[2]
    into = _value(tensor.name, dtype, "G", "S", width)
    inputs = [_value(incoming(tensor.name), dtype, "n", width), _value(TO, INTS, "n", 2), into]
    node = ir.node("ScatterND", [into, inputs[1], inputs[0]])
    (output,) = node.outputs
    output.name, output.type, output.shape = written(tensor.name), into.type, into.shape
    graph = ir.Graph(inputs, [output], nodes=[node], name=DEVICE_HIDDEN_JOIN, opset_imports={"": OPSET})
    return ir.Model(graph, ir_version=10, producer_name="dragoman")


def _fitting(name: str, tensors: list[Tensor]) -> ir.Model:
    at, to, kept = _value(AT, INTS, "r"), _value(TO, INTS, "r", 1), _value(KEPT, INTS, 1)
    pads = _value(PADS, INTS, 6)
    start, axis = (_constant(number) for number in (0, 1))
    inputs, nodes, outputs = [at, to, kept, pads], [], []
    for tensor in tensors:
        dtype, width = DTYPES[tensor.dtype], tensor.shape[2]
        into = _value(tensor.name, dtype, "P", "T", width)
        source = _value(incoming(tensor.name), dtype, "F", "given", width)
        picked = ir.node("Gather", [source, at], attributes={"axis": 0})
        cut = ir.node("Slice", [picked.outputs[0], start, kept, axis])
        padded = ir.node("Pad", [cut.outputs[0], pads])
        result = ir.node("ScatterND", [into, to, padded.outputs[0]])
        (output,) = result.outputs
        output.name, output.type, output.shape = written(tensor.name), into.type, into.shape
        inputs += [into, source]
        nodes += [picked, cut, padded, result]
        outputs.append(output)
    graph = ir.Graph(inputs, outputs, nodes=nodes, initializers=[start, axis], name=name, opset_imports={"": OPSET})
    return ir.Model(graph, ir_version=10, producer_name="dragoman")


def _value(name: str, dtype: ir.DataType, *axes: int | str) -> ir.Value:
    return ir.Value(name=name, shape=ir.Shape(axes), type=ir.TensorType(dtype))


def _constant(number: int) -> ir.Value:
    name = f"const.{number}"
    tensor = ir.tensor([number], dtype=INTS, name=name)
    return ir.Value(name=name, const_value=tensor, shape=ir.Shape([1]), type=ir.TensorType(INTS))

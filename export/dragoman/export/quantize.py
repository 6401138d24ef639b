"""The int8 passes: matrices become integers, and what multiplies them becomes `MatMulIntegerToFloat`.

Activations are unsigned, weights signed and symmetric: the pairing that processors have instructions for. An
activation's scale is either the source's own calibrated one or one for each row, found as it runs. Both make a row's
result a function of that row alone, so that a translation cannot depend on what shares its batch.

A row scale costs about eight small nodes a matrix. ONNX Runtime multiplies the bias by it as well, so with a row scale
the bias stays outside; with a fixed scale it goes in.

The output layer comes in two shapes. Over the whole vocabulary the matrix is the right operand, packed once at load.
Over a shortlist it changes with the batch, and as right operand would be packed again at each step; there the gathered
words are the *left* operand and the few hidden vectors the right one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

MS = "com.microsoft"
ZERO = 128
"""The unsigned representation of zero."""
WORDS, WORD_SCALE = "words", "word_scale"
"""Names of what the candidates graph hands to the step over a shortlist."""
TINY = 1e-12
"""A row of zeros must not be divided by zero."""


@dataclass(frozen=True)
class Int8Weight:
    """A matrix [in, out] or an embedding [V, d] as integers."""

    values: npt.NDArray[np.int8]
    scale: npt.NDArray[np.float32]
    """One number, or one for each output column (matrix) or word (embedding)."""
    activation_scale: float | None
    """Fixed scale of what it is multiplied with; None: found for each row as it runs."""


def quantize_weight(weight: npt.NDArray[np.float32], *, axis: int) -> Int8Weight:
    """Symmetric int8, one scale for each column (axis 0 is reduced) or each word (axis 1)."""
    scale = np.maximum(np.abs(weight).max(axis=axis, keepdims=True), TINY) / np.float32(127)
    values = np.rint(weight / scale).astype(np.int8)
    return Int8Weight(values, scale.reshape(-1).astype(np.float32), None)


class _Builder:
    """Adds nodes in front of one node, and constants to its graph."""

    def __init__(self, graph: ir.Graph, quantized: dict[tuple[str, float | None], tuple[ir.Value, ir.Value]]) -> None:
        self.graph, self.seen, self.quantized = graph, dict[str, ir.Value](graph.initializers), quantized

    def constant(self, name: str, array: npt.NDArray[np.generic]) -> ir.Value:
        if name not in self.seen:
            tensor = ir.tensor(array, name=name)
            value = ir.Value(
                name=name, const_value=tensor, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype)
            )
            self.graph.register_initializer(value)
            self.seen[name] = value
        return self.seen[name]

    def scalar(self, value: float, dtype: type[np.generic] = np.float32) -> ir.Value:
        return self.constant(f"const.{dtype.__name__}.{value!r}", np.array(value, dtype))

    def add(self, at: ir.Node, op: str, *inputs: ir.Value | None, domain: str = "", **attributes: object) -> ir.Value:
        node = ir.node(op, inputs, attributes=attributes or None, domain=domain)  # type: ignore[arg-type]
        self.graph.insert_before(at, node)
        value: ir.Value = node.outputs[0]
        return value

    def activations(self, at: ir.Node, x: ir.Value, scale: float | None) -> tuple[ir.Value, ir.Value]:
        """x [..., d] as unsigned integers and their scale: a number, or [rows, 1] with x flattened to [rows, d]."""
        key = (str(x.name), scale)
        if key not in self.quantized:
            if scale is not None:
                step = self.scalar(scale)
                q = self.add(at, "QuantizeLinear", x, step, self.scalar(ZERO, np.uint8))
            else:
                flat = self.add(at, "Flatten", x, axis=-1)
                q, step = self.rows(at, flat, ir.DataType.UINT8)
            self.quantized[key] = q, step
        return self.quantized[key]

    def rows(self, at: ir.Node, flat: ir.Value, to: ir.DataType) -> tuple[ir.Value, ir.Value]:
        """[rows, d] as integers and one scale a row."""
        peak = self.add(at, "ReduceMax", self.add(at, "Abs", flat), self.constant("const.last", np.array([-1])))
        step = self.add(at, "Mul", self.add(at, "Max", peak, self.scalar(TINY)), self.scalar(1 / 127))
        q = self.add(at, "Round", self.add(at, "Div", flat, step))
        if to == ir.DataType.UINT8:
            q = self.add(at, "Add", q, self.scalar(float(ZERO)))
        return self.add(at, "Cast", q, to=to), step


def _sole_bias(y: ir.Value) -> tuple[ir.Node, ir.Value] | None:
    """The addition of a constant vector that is the only reader of y."""
    uses = list(y.uses())
    if len(uses) != 1 or uses[0].node.op_type != "Add" or y.is_graph_output():
        return None
    node = uses[0].node
    other = node.inputs[1 - uses[0].idx]
    return (node, other) if other is not None and other.is_initializer() else None


def _replace(node: ir.Node, value: ir.Value) -> None:
    value.name = value.name or node.outputs[0].name
    node.outputs[0].replace_all_uses_with(value, replace_graph_outputs=True)
    node.graph.remove(node, safe=True)  # type: ignore[union-attr]


def quantize_matrices(model: ir.Model, weights: dict[str, Int8Weight]) -> None:
    """Every MatMul whose right operand is one of `weights` (matrices [in, out])."""
    build = _Builder(model.graph, {})
    for node in list(model.graph):
        right = node.inputs[1] if node.op_type == "MatMul" else None
        if right is None or right.name not in weights:
            continue
        weight, x = weights[right.name], node.inputs[0]
        q, step = build.activations(node, x, weight.activation_scale)  # type: ignore[arg-type]
        w = build.constant(f"{right.name}.int8", weight.values)
        scale = build.constant(
            f"{right.name}.scale", weight.scale if weight.scale.size > 1 else weight.scale.reshape(())
        )
        multiply(build, node, q, (w, weight.values.shape[1]), step, scale, fixed=weight.activation_scale is not None)


def multiply(
    build: _Builder,
    node: ir.Node,
    q: ir.Value,
    w: tuple[ir.Value, int],
    step: ir.Value,
    scale: ir.Value,
    *,
    fixed: bool,
) -> None:
    """Put the integer product, with its bias, in place of `node`. `w` is the matrix and how many columns it has."""
    matrix, columns = w
    zero = build.scalar(ZERO, np.uint8)
    bias = _sole_bias(node.outputs[0])
    if fixed and bias is not None:
        last, vector = bias
        y = build.add(last, "MatMulIntegerToFloat", q, matrix, step, scale, zero, None, vector, domain=MS)
        _replace(last, y)
        node.graph.remove(node, safe=True)  # type: ignore[union-attr]
    else:
        y = build.add(node, "MatMulIntegerToFloat", q, matrix, step, scale, zero, domain=MS)
        if not fixed:  # the rows were flattened; give them back the shape of the product
            shape = build.add(node, "Shape", node.inputs[0])
            head = build.add(
                node,
                "Slice",
                shape,
                build.constant("const.0", np.array([0])),
                build.constant("const.last", np.array([-1])),
            )
            width = build.constant(f"const.width.{columns}", np.array([columns]))
            y = build.add(node, "Reshape", y, build.add(node, "Concat", head, width, axis=0))
        _replace(node, y)


def quantize_embedding(model: ir.Model, name: str, weight: Int8Weight, output_scale: float | None) -> None:
    """The table `name` [V, d] where it is looked up, and where it is the output layer over the whole vocabulary."""
    graph = model.graph
    table = graph.initializers.get(name)
    if table is None:
        return
    build = _Builder(graph, {})
    stored = build.constant(f"{name}.uint8", (weight.values.astype(np.int16) + ZERO).astype(np.uint8))
    scale = build.constant(f"{name}.scale", weight.scale if weight.scale.size > 1 else weight.scale.reshape(()))
    for use in list(table.uses()):
        node = use.node
        if node.op_type == "Transpose":
            for reader in list(node.outputs[0].uses()):
                _whole_output(build, reader.node, stored, len(weight.values), scale, output_scale)
            graph.remove(node, safe=True)
        else:
            assert node.op_type == "Gather", f"{name} is read by {node.op_type}, which this pass does not know"
            words = build.add(node, "Gather", stored, node.inputs[1], axis=0)
            step = build.add(node, "Gather", scale, node.inputs[1], axis=0) if weight.scale.size > 1 else scale
            _replace(node, _lookup(build, node, words, step))


def quantize_candidates(model: ir.Model, name: str, weight: Int8Weight) -> None:
    """The graph that looks up candidates gives words as they are stored, and their scales where each has its own."""
    graph = model.graph
    build = _Builder(graph, {})
    (use,) = graph.initializers[name].uses()
    node = use.node
    stored = build.constant(f"{name}.uint8", (weight.values.astype(np.int16) + ZERO).astype(np.uint8))
    words = build.add(node, "Gather", stored, node.inputs[1], axis=0)
    words.dtype = ir.DataType.UINT8
    words.shape, words.name = node.outputs[0].shape, node.outputs[0].name
    _replace(node, words)
    if weight.scale.size > 1:
        scale = build.constant(f"{name}.scale", weight.scale)
        gather = ir.node("Gather", (scale, graph.inputs[0]), attributes={"axis": 0})
        graph.append(gather)
        step = gather.outputs[0]
        step.name, step.dtype, step.shape = WORD_SCALE, ir.DataType.FLOAT, ir.Shape(["C"])
        graph.outputs.append(step)


def quantize_words(model: ir.Model, weight: Int8Weight, output_scale: float | None) -> None:
    """words [C, d] @ hidden.T [d, n], words being an input: unsigned words on the left, signed hidden vectors right."""
    graph = model.graph
    build = _Builder(graph, {})
    words = next(value for value in graph.inputs if value.name == WORDS)
    (node,) = [use.node for use in words.uses() if use.node.op_type == "MatMul"]
    turned = node.inputs[1].producer()  # type: ignore[union-attr]
    assert turned is not None
    assert turned.op_type == "Transpose", "the shortlist's product reads transposed hidden vectors"
    hidden = turned.inputs[0]
    if output_scale is not None:
        small = build.scalar(output_scale)
        q = build.add(node, "QuantizeLinear", hidden, small, build.scalar(0, np.int8))
    else:
        q, rows = build.rows(node, hidden, ir.DataType.INT8)  # type: ignore[arg-type]
        small = build.add(node, "Squeeze", rows, build.constant("const.last", np.array([-1])))
    right = build.add(node, "Transpose", q, perm=[1, 0])
    if weight.scale.size > 1:
        scales = ir.Value(name=WORD_SCALE, shape=ir.Shape(["C"]), type=ir.TensorType(ir.DataType.FLOAT))
        graph.inputs.append(scales)
        step = build.add(node, "Unsqueeze", scales, build.constant("const.last", np.array([-1])))
    else:
        step = build.scalar(float(weight.scale.reshape(())))
    words.dtype = ir.DataType.UINT8
    y = build.add(node, "MatMulIntegerToFloat", words, right, step, small, build.scalar(ZERO, np.uint8), domain=MS)
    _replace(node, y)
    turned.graph.remove(turned, safe=True)  # type: ignore[union-attr]


def _lookup(build: _Builder, node: ir.Node, words: ir.Value, step: ir.Value) -> ir.Value:
    """Gathered words [..., d] as floats."""
    real = build.add(node, "Cast", words, to=ir.DataType.FLOAT)
    real = build.add(node, "Sub", real, build.scalar(float(ZERO)))
    if step.is_initializer():
        return build.add(node, "Mul", real, step)
    return build.add(
        node, "Mul", real, build.add(node, "Unsqueeze", step, build.constant("const.last", np.array([-1])))
    )


def _whole_output(
    build: _Builder, node: ir.Node, stored: ir.Value, words: int, scale: ir.Value, output_scale: float | None
) -> None:
    """x @ table.T: the signed, transposed matrix is made from the stored one when the graph is loaded."""
    wide = build.add(node, "Cast", build.add(node, "Transpose", stored, perm=[1, 0]), to=ir.DataType.INT32)
    w = build.add(node, "Cast", build.add(node, "Sub", wide, build.scalar(ZERO, np.int32)), to=ir.DataType.INT8)
    q, step = build.activations(node, node.inputs[0], output_scale)  # type: ignore[arg-type]
    multiply(build, node, q, (w, words), step, scale, fixed=output_scale is not None)

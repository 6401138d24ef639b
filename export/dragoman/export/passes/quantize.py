"""The int8 passes: matrices become integers, and what multiplies them becomes `MatMulIntegerToFloat`.

Activations are unsigned, weights signed and symmetric: the pairing that processors have instructions for. An
activation's scale is either a fixed one, calibrated, or one for each row, computed as the graph runs. Both make a row's
result a function of that row alone, so that a translation cannot depend on what shares its batch.

A row scale costs five small nodes a matrix. ONNX Runtime multiplies the bias by it as well, so with a row scale the
bias stays outside; with a fixed scale it goes in. A ReLU in front of a matrix costs nothing: unsigned integers that
begin at zero cut off what is negative, and have twice the resolution for the rest.

The output layer comes in two shapes. Over the whole vocabulary the matrix is the right operand, packed once at load.
Over a shortlist it changes with the batch, and as right operand would be packed again at each step; there the gathered
words are the *left* operand and the few hidden vectors the right one.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from dragoman.bundle.graphs import WORD_SCALE, WORDS
from dragoman.export.passes.int8_weights import TINY, Int8Weight

MS = "com.microsoft"
ZERO = 128
"""The unsigned representation of zero."""


def output_embedding(embeddings: dict[str, Int8Weight]) -> tuple[str, Int8Weight]:
    """The table that gives logits, and its name: the last of three that tying leaves."""
    name = next(n for n in ("output_embedding", "target_embedding", "source_embedding") if n in embeddings)
    return name, embeddings[name]


def to_int8(
    model: ir.Model, matrices: dict[str, Int8Weight], embeddings: dict[str, Int8Weight], output_scale: float | None
) -> None:
    """Turn a float32 graph into an int8 one, in place."""
    output, weight = output_embedding(embeddings)
    if any(value.name == WORDS for value in model.graph.outputs):
        quantize_candidates(model, output, weight)
    if any(value.name == WORDS for value in model.graph.inputs):
        quantize_words(model, weight, output_scale)
    quantize_matrices(model, matrices)
    for name, table in embeddings.items():
        quantize_embedding(model, name, table, output_scale)
    model.graph.opset_imports[MS] = 1
    RemoveUnusedNodesPass()(model)
    left = [name for name in (*matrices, *embeddings) if name in model.graph.initializers]
    left += [str(n.name) for n in model.graph if n.op_type in ("MatMul", "Gemm") and n.inputs[1].is_initializer()]  # type: ignore[union-attr]
    assert not left, f"still float32 after quantising: {', '.join(left)}"


@dataclass(frozen=True)
class Activations:
    """Rows as integers."""

    values: ir.Value
    scale: ir.Value
    """A number, or [n, 1]."""
    zero: ir.Value


class _Builder:
    """Adds nodes in front of one node, and constants to its graph."""

    def __init__(self, graph: ir.Graph) -> None:
        self.graph, self.seen = graph, dict[str, ir.Value](graph.initializers)
        self.quantized: dict[tuple[str, float | None], Activations] = {}
        self.points: dict[str, ir.Value] = {}

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

    def activations(self, at: ir.Node, x: ir.Value, scale: float | None) -> Activations:
        """Rows [n, d] as unsigned integers. Behind a ReLU they are taken from before it, with zero as the lowest."""
        producer = x.producer()
        rectified = producer is not None and producer.op_type == "Relu"
        key = (str(x.name), scale)
        if key not in self.quantized:
            real = producer.inputs[0] if rectified and producer is not None else x
            assert real is not None
            zero = 0 if rectified else ZERO
            if scale is None:
                self.quantized[key] = self.rows(at, real, zero, np.uint8)
            else:
                step, point = self.scalar(scale), self.scalar(zero, np.uint8)
                self.quantized[key] = Activations(self.add(at, "QuantizeLinear", real, step, point), step, point)
        return self.quantized[key]

    def rows(self, at: ir.Node, x: ir.Value, zero: int, dtype: type[np.generic]) -> Activations:
        """Rows [n, d] as integers, one scale a row. Where zero is the lowest integer, negative numbers become zero."""
        is_rectified = dtype is np.uint8 and zero == 0
        last = self.constant("const.last", np.array([-1]))
        size = x if is_rectified else self.add(at, "Abs", x)
        peak = self.add(at, "ReduceMax", size, last, keepdims=0)
        if is_rectified:  # of signed numbers, a row of zeros has scale zero, which makes zeros of whatever integers
            peak = self.add(at, "Max", peak, self.scalar(TINY))
        step = self.add(at, "Mul", peak, self.scalar(1 / (255 if is_rectified else 127)))
        key = f"{zero}.{dtype.__name__}.{x.shape[0] if x.shape else x.name}"
        if key not in self.points:  # the kernel wants a zero point for each row, which all with as many rows share
            point = ir.tensor(np.array([zero], dtype))
            self.points[key] = self.add(at, "ConstantOfShape", self.add(at, "Shape", step), value=point)
        q = self.add(at, "QuantizeLinear", x, step, self.points[key], axis=0)
        return Activations(q, self.add(at, "Unsqueeze", step, last), self.scalar(zero, dtype))


def _sole_bias(y: ir.Value) -> tuple[ir.Node, ir.Value] | None:
    """The addition of a constant vector, and that vector, where it is the only reader of y."""
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
    """Make every MatMul an integer product whose right operand is one of `weights` (matrices [in, out])."""
    build = _Builder(model.graph)
    for node in list(model.graph):
        right = node.inputs[1] if node.op_type == "MatMul" else None
        if right is None or right.name not in weights:
            continue
        weight, x = weights[right.name], node.inputs[0]
        rows = build.activations(node, x, weight.activation_scale)  # type: ignore[arg-type]
        w = build.constant(f"{right.name}.int8", weight.values)
        scale = build.constant(
            f"{right.name}.scale", weight.scale if weight.scale.size > 1 else weight.scale.reshape(())
        )
        multiply(build, node, rows, w, scale, fixed=weight.activation_scale is not None)


def multiply(build: _Builder, node: ir.Node, rows: Activations, w: ir.Value, scale: ir.Value, *, fixed: bool) -> None:
    """Put the integer product, with its bias where that goes in, in the place of `node`."""
    bias = _sole_bias(node.outputs[0])
    if fixed and bias is not None:
        last, vector = bias
        inputs = (rows.values, w, rows.scale, scale, rows.zero, None, vector)
        _replace(last, build.add(last, "MatMulIntegerToFloat", *inputs, domain=MS))
        node.graph.remove(node, safe=True)  # type: ignore[union-attr]
    else:
        _replace(node, build.add(node, "MatMulIntegerToFloat", rows.values, w, rows.scale, scale, rows.zero, domain=MS))


def quantize_embedding(model: ir.Model, name: str, weight: Int8Weight, output_scale: float | None) -> None:
    """Store the table `name` [V, d] as integers, for lookups and for the output layer over the whole vocabulary."""
    graph = model.graph
    table = graph.initializers.get(name)
    if table is None:
        return
    build = _Builder(graph)
    stored = build.constant(f"{name}.uint8", (weight.values.astype(np.int16) + ZERO).astype(np.uint8))
    scale = build.constant(f"{name}.scale", weight.scale if weight.scale.size > 1 else weight.scale.reshape(()))
    for use in list(table.uses()):
        node = use.node
        if node.op_type == "Transpose":
            for reader in list(node.outputs[0].uses()):
                _whole_output(build, reader.node, stored, scale, output_scale)
            graph.remove(node, safe=True)
        else:
            assert node.op_type == "Gather", f"{name} is read by {node.op_type}, which this pass does not know"
            words = build.add(node, "Gather", stored, node.inputs[1], axis=0)
            step = build.add(node, "Gather", scale, node.inputs[1], axis=0) if weight.scale.size > 1 else scale
            _replace(node, _lookup(build, node, words, step))


def quantize_candidates(model: ir.Model, name: str, weight: Int8Weight) -> None:
    """Have the candidates graph give words as they are stored, and their scales where each has its own."""
    graph = model.graph
    build = _Builder(graph)
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
    """Make words [C, d] @ hidden.T [d, n] an integer product, words being an input: unsigned left, signed right."""
    graph = model.graph
    build = _Builder(graph)
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
        rows = build.rows(node, hidden, 0, np.int8)  # type: ignore[arg-type]
        q, small = rows.values, build.add(node, "Squeeze", rows.scale, build.constant("const.last", np.array([-1])))
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
    if step.is_initializer():
        return build.add(node, "DequantizeLinear", words, step, build.scalar(ZERO, np.uint8))
    real = build.add(node, "Cast", words, to=ir.DataType.FLOAT)
    real = build.add(node, "Sub", real, build.scalar(float(ZERO)))
    return build.add(
        node, "Mul", real, build.add(node, "Unsqueeze", step, build.constant("const.last", np.array([-1])))
    )


def _whole_output(
    build: _Builder, node: ir.Node, stored: ir.Value, scale: ir.Value, output_scale: float | None
) -> None:
    """x @ table.T: the signed, transposed matrix is made from the stored one when the graph is loaded."""
    turned = build.add(node, "Transpose", stored, perm=[1, 0])
    # Less 128, without wider integers in between, which would take a hundred megabytes while the graph is loaded.
    flipped = build.add(node, "BitwiseXor", turned, build.scalar(ZERO, np.uint8))
    w = build.add(node, "Cast", flipped, to=ir.DataType.INT8)
    rows = build.activations(node, node.inputs[0], output_scale)  # type: ignore[arg-type]
    multiply(build, node, rows, w, scale, fixed=output_scale is not None)

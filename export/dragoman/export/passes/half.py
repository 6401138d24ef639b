"""The fp16 pass: weights and most of the work become float16, for GPUs.

Keys and values of words and sources, and the encoder's rows, stay in float16 from graph to graph. A graph's other
inputs and outputs stay float32, and so does what float16 cannot hold or must not round: norms, softmax and what leads
to it from a mask, LSTM and GRU nodes, and everything after the output layer's product. Each value is cast at most once
each way: a node that works in float16 reads the float16 form of its inputs, whoever made them.
"""

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from dragoman.bundle.graphs import ALLOWED, CROSS, HIDDEN, MASK, NEW, SELF, SRC_MASK, TOPK_LOGP
from dragoman.export.core.errors import ExportError

ELEMENTWISE = frozenset({"Add", "Sub", "Mul", "Relu", "Sigmoid", "Tanh", "Gelu"})
LAYOUT = frozenset({"Reshape", "Transpose", "Split", "Slice", "Concat", "Unsqueeze", "Squeeze", "Expand", "Gather"})
"""Nodes whose outputs have the precision of their inputs."""
MASKS = frozenset({MASK, SRC_MASK, ALLOWED})
KEYS_AND_VALUES = (SELF, f"{NEW}k.", f"{NEW}v.", CROSS, HIDDEN)
"""Names of inputs and outputs that hold them, or what they are made of, begin so."""
NORM = frozenset({"Pow", "ReduceMean", "Sqrt", "Reciprocal"})
"""Nodes of a norm that is not a single node."""
HALF, FULL = ir.DataType.FLOAT16, ir.DataType.FLOAT
LARGEST = float(np.finfo(np.float16).max)


def to_half(model: ir.Model) -> None:
    """Turn a float32 graph into a float16 one, in place."""
    _Halving(model.graph).run()
    RemoveUnusedNodesPass()(model)


class _Halving:
    """One graph while it is halved, with the forms that each of its float values has so far."""

    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph
        self.halves: dict[ir.Value, ir.Value] = {}
        self.fulls: dict[ir.Value, ir.Value] = {}  # of values that are float16 themselves
        for value in graph.inputs:
            if _holds_keys_or_values(value):
                self._halve(value)
        self.wide = {value for value in graph.inputs if value.name in MASKS}
        """Values that must stay float32, as far as elementwise nodes carry them."""
        products = [node for node in graph if node.op_type == "MatMul"]
        has_words = any(value.name == TOPK_LOGP for value in graph.outputs)
        self.output_layer = products[-1] if has_words else None  # nothing is multiplied after it
        self.late: set[ir.Value] = set()
        """Values that depend on the output layer's product."""

    def run(self) -> None:
        for node in list(self.graph):
            floats = [value for value in node.outputs if value.dtype == FULL]
            read = [value for value in node.inputs if value is not None]
            if any(value in self.late for value in read) or node is self.output_layer:
                self.late.update(node.outputs)
            if any(value in self.wide for value in read) and node.op_type in ELEMENTWISE | LAYOUT:
                self.wide.update(node.outputs)
            if node.op_type in NORM:
                self.wide.update(node.outputs)
            is_half = bool(floats) and self._works_in_half(node)
            for index, value in enumerate(node.inputs):
                if value is not None and value.dtype in (FULL, HALF):
                    node.replace_input_with(index, self._half(node, value) if is_half else self._full(node, value))
            if is_half and node is self.output_layer:
                self._widen(node)
            elif is_half:
                for value in floats:
                    self._halve(value)
        self._outputs()

    def _works_in_half(self, node: ir.Node) -> bool:
        read = [value for value in node.inputs if value is not None and value.dtype in (FULL, HALF)]
        if node.op_type == "MatMul":
            return not any(value in self.late for value in read)
        if any(value in self.late or value in self.wide or _is_large(value) for value in read):
            return False
        if node.op_type in LAYOUT:
            return bool(read) and all(value in self.halves or value.is_initializer() for value in read)
        return node.op_type in ELEMENTWISE

    def _halve(self, value: ir.Value) -> None:
        """Make the value itself float16, with a type of its own, as copies of a graph share theirs."""
        value.type, self.halves[value] = ir.TensorType(HALF), value

    def _half(self, at: ir.Node, value: ir.Value) -> ir.Value:
        if value not in self.halves:
            self.halves[value] = self._constant(value) if value.is_initializer() else self._cast(at, value, HALF)
        return self.halves[value]

    def _full(self, at: ir.Node, value: ir.Value) -> ir.Value:
        if value.dtype == FULL:
            return value
        if value not in self.fulls:
            self.fulls[value] = self._cast(at, value, FULL)
        return self.fulls[value]

    def _cast(self, at: ir.Node, value: ir.Value, dtype: ir.DataType) -> ir.Value:
        node = ir.node("Cast", [value], attributes={"to": dtype})
        self.graph.insert_before(at, node)
        made: ir.Value = node.outputs[0]
        made.dtype, made.shape = dtype, value.shape
        return made

    def _constant(self, value: ir.Value) -> ir.Value:
        assert value.const_value is not None
        array = value.const_value.numpy()
        if float(np.abs(array).max(initial=0)) > LARGEST:
            raise ExportError(
                f"{value.name} has numbers above {LARGEST:,.0f}, which float16 cannot hold: export as fp32"
            )
        name = f"{value.name}.half"
        tensor = ir.tensor(array.astype(np.float16), name=name)
        made = ir.Value(name=name, const_value=tensor, shape=value.shape, type=ir.TensorType(HALF))
        self.graph.register_initializer(made)
        return made

    def _widen(self, node: ir.Node) -> None:
        """Give the output layer's product as float32 to all that reads it."""
        (value,) = node.outputs
        cast = ir.node("Cast", [value], attributes={"to": FULL})
        self.graph.insert_after(node, cast)
        made = cast.outputs[0]
        made.dtype, made.shape = FULL, value.shape
        value.replace_all_uses_with(made)
        cast.replace_input_with(0, value)
        value.type = ir.TensorType(HALF)
        self.late.add(made)

    def _outputs(self) -> None:
        for index, value in enumerate(self.graph.outputs):
            wanted = HALF if _holds_keys_or_values(value) else FULL
            if value.dtype in (FULL, HALF) and value.dtype != wanted:
                node = ir.node("Cast", [value], attributes={"to": wanted})
                self.graph.append(node)
                made = node.outputs[0]
                made.name, made.dtype, made.shape = value.name, wanted, value.shape
                value.name = f"{value.name}.uncast"
                self.graph.outputs[index] = made


def _holds_keys_or_values(value: ir.Value) -> bool:
    """Whether a graph's input or output holds keys or values."""
    return str(value.name).startswith(KEYS_AND_VALUES)


def _is_large(value: ir.Value) -> bool:
    """Whether a value is a constant that stands for minus infinity, as the bias of a word that is never emitted."""
    return value.const_value is not None and float(np.abs(value.const_value.numpy()).max(initial=0)) > LARGEST

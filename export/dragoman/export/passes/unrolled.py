"""The stride for devices: the traced step several times in one graph, each time behind the best word of the last.

There is no loop, which would wait for the host in each round: what is launched for all steps is captured as one. All
steps write into the same buffers, one behind another, as the server binds their outputs of a tensor onto one.
"""

from collections.abc import Sequence

import onnx_ir as ir

from dragoman.bundle.graphs import DEPTH, IDS, MASK, SLOTS, TOPK_ID, TOPK_LOGP, written, written_by
from dragoman.bundle.manifest import Tensor

SENT = {DEPTH: 1, MASK: 2, SLOTS: 0}
"""What is sent for all steps at once, and the axis that parts it by steps."""
BEST = (TOPK_LOGP, TOPK_ID)


def unrolled(step: ir.Model, inputs: Sequence[Tensor], steps: int) -> ir.Model:
    """A graph of so many steps of one node a source: with these inputs, of which the first step reads `IDS`."""
    made = _Unrolled(step.graph, inputs)
    for number in range(steps):
        made.add(step.clone().graph, number, steps)
    return made.model(step)


class _Unrolled:
    """A graph of steps while it is made."""

    def __init__(self, step: ir.Graph, inputs: Sequence[Tensor]) -> None:
        types = {str(value.name): value.type for value in step.inputs}
        self.inputs = {
            tensor.name: ir.Value(name=tensor.name, type=types[tensor.name], shape=ir.Shape(tensor.shape))
            for tensor in inputs
        }
        self.weights: dict[str, ir.Value] = {}
        self.nodes: list[ir.Node] = []
        self.now = dict(self.inputs)
        """What the next step reads by the names of its inputs."""
        self.best: dict[str, list[ir.Value]] = {name: [] for name in BEST}
        self.written: list[ir.Value] = []

    def add(self, part: ir.Graph, number: int, steps: int) -> None:
        """One step more, of `steps` in all."""
        if not number:
            self.parted = {
                name: self._node("Split", [self.inputs[name]], f"{name}.split", steps, axis=axis, num_outputs=steps)
                for name, axis in SENT.items()
            }
        self.now |= {name: values[number] for name, values in self.parted.items()}
        for name, value in dict(part.initializers).items():
            if name in self.weights:
                value.replace_all_uses_with(self.weights[name])
            else:
                self.weights[name] = part.initializers.pop(name)
        for value in part.inputs:
            value.replace_all_uses_with(self.now[str(value.name)])
        outputs = {str(value.name): value for value in part.outputs}
        part.outputs.clear()
        nodes = [*part]
        part.remove(nodes)
        self.nodes += nodes
        for node in nodes:
            node.name = f"{node.name}.{number}"
            for value in node.outputs:
                value.name = f"{value.name}.{number}"
        for name in BEST:
            self.best[name].append(outputs[name])
        for name in self.inputs:
            if written(name) in outputs:
                self.now[name] = value = outputs[written(name)]
                value.name = written_by(number, name)
                self.written.append(value)
        if number + 1 < steps:
            start, end, axis = (self._number(n) for n in (0, 1, 1))
            (self.now[IDS],) = self._node("Slice", [outputs[TOPK_ID], start, end, axis], f"{IDS}.{number + 1}", 1)

    def model(self, step: ir.Model) -> ir.Model:
        """All of it: the best words of all steps behind one another, and what each has written."""
        said = []
        for name in BEST:
            (value,) = self._node("Concat", self.best[name], name, 1, axis=0)
            value.name, value.type = name, self.best[name][0].type
            value.shape = self.best[name][0].shape
            said.append(value)
        graph = ir.Graph(
            [*self.inputs.values()],
            [*said, *self.written],
            nodes=self.nodes,
            initializers=[*self.weights.values()],
            name=step.graph.name,
            opset_imports=step.graph.opset_imports,
        )
        return ir.Model(graph, ir_version=step.ir_version, producer_name=step.producer_name)

    def _node(self, op: str, given: Sequence[ir.Value], name: str, count: int, **attributes: int) -> Sequence[ir.Value]:
        node = ir.node(op, given, attributes=attributes, num_outputs=count, name=name)
        for index, value in enumerate(node.outputs):
            value.name = f"{name}.{index}"
        self.nodes.append(node)
        return node.outputs

    def _number(self, number: int) -> ir.Value:
        name = f"const.unrolled.{number}"
        if name not in self.weights:
            tensor = ir.tensor([number], dtype=ir.DataType.INT64, name=name)
            self.weights[name] = ir.Value(
                name=name, const_value=tensor, shape=ir.Shape([1]), type=ir.TensorType(tensor.dtype)
            )
        return self.weights[name]

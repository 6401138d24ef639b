"""The pass that turns computed shapes into constants, where a reshape's axes are known but for one."""

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass


def constant_reshapes(model: ir.Model) -> None:
    """Write a new shape as a constant where every axis is a number, one of the old axes in its place, or the rest."""
    for node in model.graph:
        if node.op_type != "Reshape" or node.inputs[1].is_initializer():  # type: ignore[union-attr]
            continue
        old, new = node.inputs[0].shape, node.outputs[0].shape  # type: ignore[union-attr]
        if old is None or new is None:
            continue
        axes = [a if isinstance(a, int) else 0 if n < len(old) and old[n] == a else -1 for n, a in enumerate(new)]
        if axes.count(-1) <= 1:
            name = "const.shape." + ".".join(map(str, axes))
            shape = model.graph.initializers.get(name)
            if shape is None:
                tensor = ir.tensor(np.array(axes, np.int64), name=name)
                shape = ir.Value(
                    name=name, const_value=tensor, shape=ir.Shape([len(axes)]), type=ir.TensorType(tensor.dtype)
                )
                model.graph.register_initializer(shape)
            node.replace_input_with(1, shape)
            node.attributes.pop("allowzero", None)  # a zero stands for the old axis
    RemoveUnusedNodesPass()(model)

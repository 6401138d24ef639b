"""All graphs' weights in one file."""

import numpy as np
import onnx_ir as ir

from dragoman.export.graphs.running import session
from dragoman.export.graphs.weights_file import ALIGNMENT, WEIGHTS_FILE, save

LARGE = np.arange(2000, dtype=np.float32)


def a_graph(name: str, weights: dict[str, np.ndarray]) -> ir.Model:
    """A graph that adds all its weights, the largest first, to an input."""
    total = x = ir.Value(name="x", shape=ir.Shape([]), type=ir.TensorType(ir.DataType.FLOAT))
    nodes, constants = [], []
    for key, array in weights.items():
        tensor = ir.tensor(array, name=key)
        constants.append(ir.Value(name=key, const_value=tensor, shape=ir.Shape(array.shape), type=x.type))
        nodes.append(ir.node("Add", [total, constants[-1]]))
        (total,) = nodes[-1].outputs
    total.name, total.type, total.shape = "y", x.type, ir.Shape(next(iter(weights.values())).shape)
    graph = ir.Graph([x], [total], nodes=nodes, initializers=constants, name=name, opset_imports={"": 20})
    return ir.Model(graph, ir_version=10)


def test_equal_weights_of_several_graphs_lie_there_once(tmp_path):
    """Whatever they are called; each begins at a multiple of the alignment, and small constants stay in the graph."""
    other = LARGE[::-1].copy()
    first = a_graph("first", {"a": LARGE, "b": other, "small": np.ones(1, np.float32)})

    save({"first": first, "second": a_graph("second", {"c": LARGE})}, tmp_path)

    content = (tmp_path / WEIGHTS_FILE).read_bytes()
    assert content[: LARGE.nbytes] == LARGE.tobytes()
    assert content[2 * ALIGNMENT :] == other.tobytes()
    assert len(content) == 2 * ALIGNMENT + other.nbytes
    x = {"x": np.array(2, np.float32)}
    np.testing.assert_array_equal(session(tmp_path, "first").run(None, x)[0], 2 + LARGE + other + 1)
    np.testing.assert_array_equal(session(tmp_path, "second").run(None, x)[0], 2 + LARGE)

"""Numbers in graphs, found without the package that reads all of ONNX, beside that package."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from dragoman.server.runtime.initializers import broken_tensors, floats

ROOT = Path(__file__).parents[3]
NAN, INF = float("nan"), float("inf")


def model(*tensors: TensorProto, nodes: list[onnx.NodeProto] | None = None) -> bytes:
    graph = helper.make_graph(nodes or [], "graph", [], [], list(tensors))
    return bytes(helper.make_model(graph).SerializeToString())


def raw(name: str, values: object, dtype: type = np.float32) -> TensorProto:
    return numpy_helper.from_array(np.array(values, dtype), name)


def listed(name: str, values: list[float], kind: int = TensorProto.FLOAT) -> TensorProto:
    return helper.make_tensor(name, kind, [len(values)], values)


@pytest.mark.parametrize(
    ("tensor", "is_broken"),
    [
        (raw("w", [1, 2, NAN]), True),
        (raw("w", [[1, -INF], [2, 3]]), True),
        (raw("w", [1, 2, 3]), False),
        (raw("w", [1, NAN], np.float16), True),
        (raw("w", [1, NAN], np.float64), True),
        (raw("w", [2**31 - 1, -1], np.int32), False),
        (raw("w", [0x7FC00000] * 2, np.int64), False),
        (raw("mask", -INF), False),
        (raw("scale", NAN), True),
        (raw("w", []), False),
        (listed("w", [1.0, NAN]), True),
        (listed("w", [1.0, 2.0]), False),
        (listed("w", [1.0, NAN], TensorProto.DOUBLE), True),
    ],
)
def test_what_is_no_number_is_found(tmp_path: Path, tensor: TensorProto, is_broken: bool) -> None:
    """In every form in which a graph has tensors; integers are none of it, nor is one limit that is infinite."""
    assert broken_tensors(model(raw("sound", [1.0]), tensor), tmp_path) == [tensor.name] * is_broken


def test_what_is_no_number_is_found_within_nodes(tmp_path: Path) -> None:
    """In constants, and in the graphs of loops and branches."""
    inner = helper.make_graph([], "inner", [], [], [raw("deep", [NAN, 1])])
    constant = helper.make_node("Constant", [], ["c"], value=raw("constant", [1, NAN]))
    nodes = [constant, helper.make_node("If", ["b"], ["o"], then_branch=inner, else_branch=inner)]

    assert broken_tensors(model(nodes=nodes), tmp_path) == ["constant", "deep", "deep"]


def test_weights_beside_the_graph_are_looked_at(tmp_path: Path) -> None:
    """At their place in the file, and no further."""
    values = np.arange(12, dtype=np.float32)
    values[9] = NAN
    (tmp_path / "weights.bin").write_bytes(values.tobytes())
    tensors = []
    for name, first, number in (("before", 0, 9), ("with", 8, 2), ("behind", 10, 2)):
        tensor = raw(name, values[first : first + number])
        onnx.external_data_helper.set_external_data(tensor, "weights.bin", first * 4, number * 4)
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensors.append(tensor)

    assert broken_tensors(model(*tensors), tmp_path) == ["with"]


def test_all_numbers_of_a_real_model_are_found() -> None:
    """Those that the package finds."""
    folder = ROOT / "models/en-pt"
    for path in sorted(folder.glob("*.onnx")):
        graph = onnx.load(path).graph
        known = [tensor for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT]
        found = dict(floats(path.read_bytes(), folder))

        assert found.keys() >= {tensor.name for tensor in known}
        for tensor in known:
            assert np.array_equal(found[tensor.name], numpy_helper.to_array(tensor).ravel())

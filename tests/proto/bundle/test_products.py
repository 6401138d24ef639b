"""Integer products with unsigned sides, beside products of integers that no processor cuts off."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from dragoman.bundle import onnx_runtime
from dragoman.bundle.onnx_runtime import onnxruntime, open_graph
from dragoman.bundle.products import PRODUCT, with_unsigned_sides

MODELS = Path(__file__).parents[3] / "models"
RANDOM = np.random.default_rng(7)
LEFT = RANDOM.integers(0, 256, (5, 64)).astype(np.uint8)
RIGHT = RANDOM.integers(-127, 128, (64, 7)).astype(np.int8)
VECTORS = RANDOM.integers(-127, 128, (7, 64)).astype(np.float32)
SCALES = (2.0 ** RANDOM.integers(-3, 3, 7)).astype(np.float32)
BIAS = RANDOM.integers(-9, 9, 7).astype(np.float32)


def product(inputs: Sequence[str]) -> onnx.NodeProto:
    return helper.make_node("MatMulIntegerToFloat", inputs, ["y"], domain="com.microsoft")


def model(*nodes: onnx.NodeProto) -> bytes:
    """A graph from a left side, vectors and a condition to y, with all that products need."""
    given = [
        ("left", TensorProto.UINT8, ["n", 64]),
        ("vectors", TensorProto.FLOAT, ["m", 64]),
        ("times", TensorProto.INT64, []),
    ]
    constants = {"right": RIGHT, "one": np.float32(1), "scales": SCALES, "bias": BIAS, "true": np.array(True)}
    constants |= {"zero": np.uint8(0), "middle": np.uint8(128), "signed": np.int8(0)}
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(*each) for each in given],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString())


def computed() -> list[onnx.NodeProto]:
    """A right side that is made as the graph runs."""
    return [
        helper.make_node("QuantizeLinear", ["vectors", "one", "signed"], ["q"]),
        helper.make_node("Transpose", ["q"], ["made"], perm=[1, 0]),
    ]


def loop(*nodes: onnx.NodeProto) -> onnx.NodeProto:
    """What gives the y of its last round."""
    number = helper.make_tensor_value_info("i", TensorProto.INT64, [])
    going = [helper.make_tensor_value_info(name, TensorProto.BOOL, []) for name in ("going", "still")]
    last = helper.make_tensor_value_info("last", TensorProto.FLOAT, None)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    body = [helper.make_node("Identity", ["going"], ["still"]), *nodes]
    graph = helper.make_graph(body, "body", [number, going[0], last], [going[1], y])
    return helper.make_node("Loop", ["times", "true", "bias"], ["y"], body=graph)


def ran(written: bytes) -> npt.NDArray[np.float32]:
    session = onnxruntime.InferenceSession(written, providers=["CPUExecutionProvider"])
    found: npt.NDArray[np.float32] = session.run(None, {"left": LEFT, "vectors": VECTORS, "times": np.array(2)})[0]
    return found


def exact(right: npt.NDArray[np.generic], zero: int = 128) -> npt.NDArray[np.float32]:
    return ((LEFT.astype(np.int64) - zero) @ right.astype(np.int64)).astype(np.float32)


WEIGHTS = product(["left", "right", "one", "scales", "middle"])
GIVEN = product(["left", "made", "one", "one", "middle"])


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ([WEIGHTS], exact(RIGHT) * SCALES),
        ([product(["left", "right", "one", "scales", "zero"])], exact(RIGHT, 0) * SCALES),
        ([product(["left", "right", "one", "scales", "middle", "", "bias"])], exact(RIGHT) * SCALES + BIAS),
        ([*computed(), GIVEN], exact(VECTORS.T)),
        ([loop(WEIGHTS)], exact(RIGHT) * SCALES),
        ([loop(*computed(), GIVEN)], exact(VECTORS.T)),
        ([*computed(), loop(GIVEN)], exact(VECTORS.T)),
    ],
)
def test_products_are_exact(nodes: list[onnx.NodeProto], expected: npt.NDArray[np.float32]) -> None:
    """Of constants and of what is computed, behind a ReLU, with a bias, and within loops, for numbers of any size."""
    np.testing.assert_array_equal(ran(with_unsigned_sides(model(*nodes))), expected)


def test_graphs_are_opened_exact_on_this_processor(tmp_path: Path) -> None:
    """Whatever it does by itself."""
    session = open_graph(model(WEIGHTS), tmp_path, onnxruntime.SessionOptions())

    [found] = session.run(None, {"left": LEFT, "vectors": VECTORS, "times": np.array(0)})

    np.testing.assert_array_equal(found, exact(RIGHT) * SCALES)


@pytest.mark.parametrize("is_cut_off", [True, False])
def test_a_graph_is_changed_where_products_are_cut_off_alone(
    is_cut_off: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A processor that has the instructions is left to use them."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    monkeypatch.setattr(onnx_runtime, "cuts_off_products", lambda: is_cut_off)

    open_graph(model(WEIGHTS), tmp_path, options)

    graph = onnx.load(options.optimized_model_filepath).graph
    [node] = graph.node
    [right] = [each for each in graph.initializer if each.name == node.input[1]]
    assert right.data_type == (TensorProto.UINT8 if is_cut_off else TensorProto.INT8)


def test_a_processor_is_asked_for_a_product() -> None:
    """Of two matrices that are given: what it is asked with is what ONNX's own package writes."""
    a, b, y = (
        helper.make_tensor_value_info(name, kind, None)
        for name, kind in (("a", TensorProto.UINT8), ("b", TensorProto.INT8), ("y", TensorProto.INT32))
    )
    graph = helper.make_graph([helper.make_node("MatMulInteger", ["a", "b"], ["y"])], "", [a, b], [y])
    opsets = [helper.make_opsetid("", 13)]

    assert helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString() == PRODUCT


def everything(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """All nodes of a graph, those of graphs within them too, without these."""
    for node in graph.node:
        kept = onnx.NodeProto()
        kept.CopyFrom(node)
        for attribute, copy in zip(node.attribute, kept.attribute, strict=True):
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from everything(attribute.g)
                copy.ClearField("g")
        yield kept


@pytest.mark.parametrize("path", sorted(MODELS.glob("*/*.onnx")), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_nothing_else_of_a_graph_is_changed(path: Path) -> None:
    """Of graphs as they are exported: nodes in their order, constants, and what goes in and comes out."""
    written = path.read_bytes()
    before, after = onnx.ModelProto.FromString(written), onnx.ModelProto.FromString(with_unsigned_sides(written))

    added = {name for node in everything(after.graph) for name in node.output if name.endswith((".cast", ".unsigned"))}
    kept = [node for node in everything(after.graph) if not added.issuperset(node.output)]
    for node in kept:
        if node.op_type == "MatMulIntegerToFloat":
            assert node.input[1] in added
            assert node.input[5] == "unsigned.zero"
            node.input[1] = node.input[1].removesuffix(".unsigned")
            del node.input[5 if len(node.input) == 6 else len(node.input) :]
            if len(node.input) > 5:
                node.input[5] = ""
    constants = [each for each in after.graph.initializer if each.name != "unsigned.zero"]
    assert kept == list(everything(before.graph))
    assert constants == list(before.graph.initializer)
    assert (after.graph.input, after.graph.output) == (before.graph.input, before.graph.output)
    assert (after.opset_import, after.ir_version) == (before.opset_import, before.ir_version)

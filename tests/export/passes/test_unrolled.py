"""A step graph several times in one: a step of arithmetic that a real one's names, whose slots are written in place."""

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest

from dragoman.bundle.graphs import DEPTH, IDS, MASK, SELF, SLOTS, TOP, TOPK_ID, TOPK_LOGP, written, written_by
from dragoman.bundle.manifest import Tensor
from dragoman.export.passes.unrolled import unrolled

WORDS, POOL = 11, f"{SELF}k.0"
FLOAT, INT = ir.DataType.FLOAT, ir.DataType.INT64


def value(name: str, dtype: ir.DataType, *axes) -> ir.Value:
    return ir.Value(name=name, shape=ir.Shape(axes), type=ir.TensorType(dtype))


def weight(name: str, array) -> ir.Value:
    tensor = ir.tensor(array, name=name)
    return ir.Value(name=name, const_value=tensor, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype))


def a_step() -> ir.Model:
    """What a word says depends on all that its slots hold and its mask opens, and on where it stands."""
    ids, depth, mask = value(IDS, INT, "G", "q"), value(DEPTH, INT, "G", "q"), value(MASK, FLOAT, "G", 1, "q", "T")
    slots, pool, top = value(SLOTS, INT, "n", 2), value(POOL, FLOAT, "G", "T", 1), value(TOP, INT, "k")
    table = weight("table", np.random.default_rng(0).normal(size=(97, WORDS)).astype(np.float32))
    zero = weight("zero", np.zeros(1, np.float32))
    numbers = {n: weight(f"n.{n}", np.array([n], np.int64)) for n in (-1, 1, 3, 97)}
    nodes: list[ir.Node] = []

    def add(op: str, *given: ir.Value, count: int = 1, **attributes) -> ir.Value:
        node = ir.node(op, given, attributes=attributes, num_outputs=count, name=f"node.{len(nodes)}")
        nodes.append(node)
        for n, made in enumerate(node.outputs):
            made.name = f"value.{len(nodes)}.{n}"
        return node.outputs[0] if count == 1 else node.outputs

    worth = add("Mul", add("Add", ids, numbers[1]), add("Add", depth, numbers[3]))
    new = add("Cast", add("Unsqueeze", add("Reshape", worth, numbers[-1]), numbers[-1]), to=FLOAT)
    kept = add("ScatterND", pool, slots, new)
    is_open = add("Cast", add("Equal", mask, zero), to=FLOAT)
    seen = add("MatMul", add("Squeeze", is_open, numbers[1]), kept)
    state = add("Mod", add("Cast", add("Reshape", seen, numbers[-1]), to=INT), numbers[97])
    best, index = add("TopK", add("Gather", table, state), add("Shape", top), count=2)
    for name, made in ((TOPK_LOGP, best), (TOPK_ID, index), (written(POOL), kept)):
        made.name = name
    kept.shape, kept.type = pool.shape, pool.type
    best.shape, best.type, index.type = ir.Shape(["n", "k"]), ir.TensorType(FLOAT), ir.TensorType(INT)
    index.shape = best.shape
    graph = ir.Graph(
        [ids, depth, mask, slots, pool, top],
        [best, index, kept],
        nodes=nodes,
        initializers=[table, zero, *numbers.values()],
        name="step",
        opset_imports={"": 20},
    )
    return ir.Model(graph, ir_version=10)


def session(model: ir.Model) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(ir.to_proto(model).SerializeToString())


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_each_step_reads_the_best_word_of_the_one_before(steps):
    """Best words and all that is written, of three sources of other lengths each, are those of single steps."""
    slots, lengths = 9, np.array([0, 3, 5])
    sent = (
        Tensor(IDS, "int64", ("G", 1)),
        Tensor(DEPTH, "int64", ("G", steps)),
        Tensor(MASK, "float32", ("G", 1, steps, "T")),
        Tensor(SLOTS, "int64", ("n", 2)),
        Tensor(POOL, "float32", ("G", "T", 1)),
        Tensor(TOP, "int64", ("k",)),
    )
    plain, stride = session(a_step()), session(unrolled(a_step(), sent, steps))
    rng = np.random.default_rng(1)
    pool = rng.integers(0, 50, (3, slots, 1)).astype(np.float32)
    ids, top = rng.integers(0, WORDS, (3, 1)), np.zeros(2, np.int64)
    at = lengths[:, None] + np.arange(steps)
    mask = np.where(np.arange(slots) <= at[..., None], 0, -9).astype(np.float32)[:, None]
    places = np.stack([np.broadcast_to(np.arange(3)[:, None], at.shape), at], 2)
    feed = {DEPTH: at, MASK: mask, SLOTS: places.swapaxes(0, 1).reshape(-1, 2), POOL: pool, IDS: ids, TOP: top}

    said = dict(zip([one.name for one in stride.get_outputs()], stride.run(None, feed), strict=True))

    for n in range(steps):
        given = {
            DEPTH: at[:, n : n + 1],
            MASK: mask[:, :, n : n + 1],
            SLOTS: places[:, n],
            POOL: pool,
            IDS: ids,
            TOP: top,
        }
        logp, words, pool = plain.run([TOPK_LOGP, TOPK_ID, written(POOL)], given)
        ids = words[:, :1]
        np.testing.assert_array_equal(said[TOPK_LOGP].reshape(steps, 3, 2)[n], logp)
        np.testing.assert_array_equal(said[TOPK_ID].reshape(steps, 3, 2)[n], words)
        np.testing.assert_array_equal(said[written_by(n, POOL)], pool)


def test_weights_are_there_once():
    """Each step's copy of the graph reads those of the first."""
    sent = tuple(
        Tensor(
            v.name,
            "float32" if v.dtype == FLOAT else "int64",
            tuple(a if isinstance(a, int) else str(a.value) for a in v.shape),
        )
        for v in a_step().graph.inputs
    )

    made = unrolled(a_step(), sent, 3)

    names = [node.name for node in made.graph]
    assert len(names) == len({*names}) == 3 * len([*a_step().graph]) + 3 + 2 + 2
    assert {name for name in made.graph.initializers if "unrolled" not in name} == a_step().graph.initializers.keys()

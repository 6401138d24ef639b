"""What it would take to keep sources' keys and values in half precision on a processor: a cast at every step.

One layer's attention to a source (12 heads of 64), as a step has it, in one thread: milliseconds of processor time, the
least of seven, and how far the answers are apart.
"""

import time
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from dragoman.bundle.onnx_runtime import onnxruntime

HEADS, WIDTH = 12, 64
LENGTHS, BEAMS = (512, 4096, 16_384), (1, 4)
POSITIONS, TURNS = 8192, 7
"""So many positions are read at least between two looks at the clock."""


def attention(kept: int) -> Any:
    """A session that reads keys and values of this type."""
    read = {name: helper.make_node("Cast", [name], [f"{name}.read"], to=TensorProto.FLOAT) for name in ("k", "v")}
    keys, values = ("k", "v") if kept == TensorProto.FLOAT else ("k.read", "v.read")
    nodes = [
        *([] if kept == TensorProto.FLOAT else read.values()),
        helper.make_node("MatMul", ["q", keys], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["weights"], axis=-1),
        helper.make_node("MatMul", ["weights", values], ["y"]),
    ]
    inputs = [
        helper.make_tensor_value_info("q", TensorProto.FLOAT, ["G", HEADS, "n", WIDTH]),
        helper.make_tensor_value_info("k", kept, ["G", HEADS, WIDTH, "S"]),
        helper.make_tensor_value_info("v", kept, ["G", HEADS, "S", WIDTH]),
    ]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["G", HEADS, "n", WIDTH])
    graph = helper.make_graph(nodes, "read", inputs, [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def main() -> None:
    """Print a table."""
    rng = np.random.default_rng(0)
    whole, half = attention(TensorProto.FLOAT), attention(TensorProto.FLOAT16)
    print("| positions | hypotheses | float32 | float16 | difference |\n|---|---|---|---|---|")
    for length in LENGTHS:
        keys = (rng.normal(size=(1, HEADS, WIDTH, length)) / 8).astype(np.float32)
        values = rng.normal(size=(1, HEADS, length, WIDTH)).astype(np.float32)
        for beam in BEAMS:
            queries = rng.normal(size=(1, HEADS, beam, WIDTH)).astype(np.float32)
            feeds = [{"q": queries, "k": keys.astype(kept), "v": values.astype(kept)} for kept in ("f4", "f2")]
            times: list[list[float]] = [[], []]
            found: list[Any] = [None, None]
            for turn in range(2 * TURNS):
                which, runs = turn % 2, max(1, POSITIONS // length)
                started = time.process_time()
                for _ in range(runs):
                    [found[which]] = (whole, half)[which].run(None, feeds[which])
                times[which].append(1000 * (time.process_time() - started) / runs)
            apart = float(np.abs(found[0] - found[1]).max())
            print(
                f"| {length:,} | {beam} | {min(times[0]):.2f} ms | {min(times[1]):.2f} ms | {apart:.0e} |", flush=True
            )


if __name__ == "__main__":
    main()

"""The memory that graphs on the processor share."""

import threading
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

from dragoman.server.runtime import arena
from dragoman.server.telemetry.resources import give_back, resident_bytes

LARGE = 64 << 20


def graph(op: str, shape: list[Any]) -> bytes:
    """A graph of a node from x to y."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xy")
    made = helper.make_graph([helper.make_node(op, ["x"], ["y"])], "g", [x], [y])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def session(content: bytes) -> onnxruntime.InferenceSession:
    """A session that takes its memory from the arena."""
    arena.make()
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry(*arena.SHARED)
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def test_the_smallest_graph_is_what_onnx_writes_for_it() -> None:
    """One identity of one number, and nothing more."""
    assert graph("Identity", [1]) == arena._IDENTITY


def test_what_a_run_took_is_kept_until_it_is_asked_for() -> None:
    """The arena has it after the run, and the system after it is given back."""
    large = session(graph("Neg", ["n"]))
    arena.give_back()
    give_back()
    before = resident_bytes()

    assert float(large.run(None, {"x": np.ones(LARGE // 4, np.float32)})[0].sum()) == -LARGE / 4
    kept = resident_bytes() - before
    arena.give_back()
    give_back()

    assert kept > LARGE / 2
    assert resident_bytes() - before < LARGE / 4


def test_memory_is_given_back_while_others_run() -> None:
    """What they are computing is untouched."""
    large, wrong = session(graph("Neg", ["n"])), list[float]()

    def run(value: float) -> None:
        for size in range(1000, 200_000, 5_000):
            result = large.run(None, {"x": np.full(size, value, np.float32)})[0]
            wrong.extend(result[result != -value].tolist())

    threads = [threading.Thread(target=run, args=(float(value),)) for value in (1, 2)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        arena.give_back()
    for thread in threads:
        thread.join()

    assert not wrong

"""Runs with everything about them made once, on the provider for processors."""

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from dragoman.server.core.ports import DeviceWork
from dragoman.server.runtime import fixed_runs as module
from dragoman.server.runtime.buffers import Resident
from dragoman.server.runtime.device import Device
from dragoman.server.runtime.fixed_runs import FixedRuns

FLOAT = TensorProto.FLOAT


@pytest.fixture
def device() -> Device:
    """One graph: y = x + kept, and kept is written to, too."""
    names = {"x": ["n"], "kept": [3]}
    inputs = [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in names.items()]
    outputs = [helper.make_tensor_value_info(name, FLOAT, [3]) for name in ("y", "written")]
    nodes = [helper.make_node("Add", ["x", "kept"], ["y"]), helper.make_node("Neg", ["x"], ["written"])]
    model = helper.make_model(
        helper.make_graph(nodes, "g", inputs, outputs), opset_imports=[helper.make_opsetid("", 20)], ir_version=10
    )
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return Device("cpu", 0, {"graph": session}, ())


def run_of(runs, device, kept: np.ndarray, rows: int = 3):
    resident = Resident(kept, kept.ctypes.data, kept.shape, kept.dtype)
    form = (rows,), np.dtype(np.float32)
    given = {"bound": {"kept": resident}, "fetched": {"y": ((3,), np.dtype(np.float32))}}
    return runs.of(device, "graph", {"x": form}, into={}, kept={"written": ((3,), np.dtype(np.float32))}, **given)


def test_a_fixed_run_sends_what_its_views_hold_and_gives_what_the_graph_says(device):
    """Each run anew, and what was fetched before stays as it was."""
    runs, counts, kept = FixedRuns(), DeviceWork(), np.array([1, 2, 3], np.float32)
    run = run_of(runs, device, kept)
    found = []
    for value in (0, 10, 20):
        run.views["x"][:] = value
        found.append(run.run(counts)["y"])

    assert [one.tolist() for one in found] == [[1, 2, 3], [11, 12, 13], [21, 22, 23]]
    assert run.kept["written"].shape == (3,)


def test_the_same_sizes_and_addresses_are_the_same_plan(device):
    """Other memory or another size is another one."""
    runs, kept, other = FixedRuns(), np.zeros(3, np.float32), np.zeros(3, np.float32)

    assert run_of(runs, device, kept) is run_of(runs, device, kept)
    assert run_of(runs, device, kept) is not run_of(runs, device, other)
    assert run_of(runs, device, kept) is not run_of(runs, device, kept, rows=1)
    assert len(runs) == 3


def test_a_second_run_is_captured_and_later_ones_are_replays(device):
    """Runs, captures, copies and bytes are counted; as many captures as there may be at most."""
    runs, counts = FixedRuns(), DeviceWork()
    kept, another = np.zeros(3, np.float32), np.zeros(3, np.float32)
    run = run_of(runs, device, kept)
    for _ in range(5):
        run.run(counts)

    assert counts.runs == {("graph", False): 2, ("graph", True): 3}
    assert counts.captures == 1
    assert counts.copies == {"in": 5, "out": 5}
    assert counts.bytes == {"in": 5 * 256, "out": 5 * 256}

    counts.captures = module.MOST_CAPTURES
    other = run_of(runs, device, another)
    for _ in range(3):
        other.run(counts)
    assert not other.is_captured


def test_the_run_that_was_not_used_for_longest_goes(device, monkeypatch):
    """Where there are too many."""
    monkeypatch.setattr(module, "MOST_RUNS", 2)
    runs, memory = FixedRuns(), [np.zeros(3, np.float32) for _ in range(3)]
    first, second = (run_of(runs, device, one) for one in memory[:2])
    run_of(runs, device, memory[0])
    run_of(runs, device, memory[2])

    assert run_of(runs, device, memory[0]) is first
    assert run_of(runs, device, memory[1]) is not second

"""Runs with everything about them made once, and single ones, on the provider for processors."""

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from dragoman.server.core.ports import DeviceWork
from dragoman.server.runtime import device as module
from dragoman.server.runtime.buffers import Resident
from dragoman.server.runtime.device import Device, FixedRun, fetched_once

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
    return Device("cpu", 0, {"graph": session}, DeviceWork())


def resident(array: np.ndarray) -> Resident:
    return Resident(array, array.ctypes.data, array.shape, array.dtype)


def run_of(device: Device, kept: np.ndarray, rows: int = 3) -> FixedRun:
    three = (3,), np.dtype(np.float32)
    given = {"x": ((rows,), np.dtype(np.float32))}
    return device.fixed("graph", given, bound={"kept": resident(kept)}, fetched={"y": three}, kept={"written": three})


def test_a_fixed_run_sends_what_its_views_hold_and_gives_what_the_graph_says(device):
    """Each run anew, and what was fetched before stays as it was."""
    run = run_of(device, np.array([1, 2, 3], np.float32))
    found = []
    for value in (0, 10, 20):
        run.views["x"][:] = value
        found.append(run.run()["y"])

    assert [one.tolist() for one in found] == [[1, 2, 3], [11, 12, 13], [21, 22, 23]]
    assert run.kept["written"].shape == (3,)


def test_what_nobody_awaits_is_brought_back_when_it_is_asked_for(device):
    """Once, and as the run gave it; a copy that nobody asks for is not made."""
    run = run_of(device, np.array([1, 2, 3], np.float32))
    run.views["x"][:] = 10

    assert run.run(is_awaited=False) == {}
    said = fetched_once(run)
    assert device.work.copies == {"in": 1, "out": 0}
    assert run.said() is said
    assert said()["y"].tolist() == [11, 12, 13]
    run.views["x"][:] = 20
    run.run(is_awaited=False)
    assert said()["y"].tolist() == [11, 12, 13]
    assert device.work.copies == {"in": 2, "out": 1}
    del said
    assert run.said() is None


def test_the_same_sizes_and_addresses_are_the_same_run(device):
    """Other memory or another size is another one."""
    kept, other = np.zeros(3, np.float32), np.zeros(3, np.float32)

    assert run_of(device, kept) is run_of(device, kept)
    assert run_of(device, kept) is not run_of(device, other)
    assert run_of(device, kept) is not run_of(device, kept, rows=1)


def test_what_was_launched_is_captured_when_there_is_time_and_repeated_from_then_on(device):
    """Runs, captures, copies and bytes are counted; a run that never ran, or is captured, is not captured."""
    kept, work = np.array([1, 2, 3], np.float32), device.work
    run = run_of(device, kept)
    assert not device.prepare()
    run.views["x"][:] = 10
    for _ in range(2):
        run.run()

    assert device.prepare()
    assert not device.prepare()
    found = [run.run()["y"].tolist() for _ in range(3)]

    assert found == [[11, 12, 13]] * 3
    assert work.runs == {("graph", False): 2, ("graph", True): 3}
    assert work.captures == 1
    assert work.copies == {"in": 5, "out": 5}
    assert work.bytes == {"in": 5 * 256, "out": 5 * 256}


def test_a_run_that_comes_again_and_again_is_captured_though_there_is_no_time(device, monkeypatch):
    """After so many launches; as many captures as there may be at most."""
    monkeypatch.setattr(module, "PATIENCE", 2)
    memory = [np.zeros(3, np.float32) for _ in range(2)]
    runs = [run_of(device, one) for one in memory]
    for _ in range(5):
        runs[0].run()

    assert device.work.runs == {("graph", False): 3, ("graph", True): 2}
    device.work.captures = module.MOST_CAPTURES
    for _ in range(5):
        runs[1].run()
    assert not runs[1].is_captured
    assert not device.prepare()


def test_a_run_whose_memory_is_gone_is_not_captured(device):
    """Somebody else may have it by now, until the run is asked for again."""
    kept = np.zeros(3, np.float32)
    run = run_of(device, kept)
    run.run()
    del kept

    assert not device.prepare()
    assert not run.is_captured


def test_the_run_that_was_not_used_for_longest_goes(device, monkeypatch):
    """Where there are too many."""
    monkeypatch.setattr(module, "MOST_RUNS", 2)
    memory = [np.zeros(3, np.float32) for _ in range(3)]
    first, second = (run_of(device, one) for one in memory[:2])
    run_of(device, memory[0])
    run_of(device, memory[2])

    assert run_of(device, memory[0]) is first
    assert run_of(device, memory[1]) is not second


def test_a_single_run_writes_where_it_is_told(device):
    """Arrays and what lies on the device are given alike; nothing of it is made for later."""
    kept, y, written = np.array([1, 2, 3], np.float32), np.zeros(3, np.float32), np.zeros(3, np.float32)

    device.write(
        "graph",
        {"x": np.array([5, 6, 7], np.float32), "kept": resident(kept)},
        {"y": resident(y), "written": resident(written)},
    )

    assert y.tolist() == [6, 8, 10]
    assert written.tolist() == [-5, -6, -7]
    assert device.work.runs == {}

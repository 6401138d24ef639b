"""Buffers that a lane keeps for reuse, and when a run is captured: without any device."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest

from dragoman.server.runtime import buffers
from dragoman.server.runtime.buffers import Loan, Spares
from dragoman.server.runtime.device import Device

SMALL, LARGE = ((4,), np.dtype(np.float32)), ((100,), np.dtype(np.float32))


def test_a_buffer_that_nobody_uses_is_had_again():
    """When the last reference to it goes, it waits for the next tensor of its form, and of no other."""
    spares, memory = Spares(), At(8)
    owned = Loan(memory, SMALL, spares)
    assert spares.take(SMALL) is None

    del owned
    gc.collect()

    assert spares.take(LARGE) is None
    assert spares.take(SMALL) is memory
    assert spares.take(SMALL) is None


def test_spare_buffers_are_bounded(monkeypatch):
    """Beyond so many bytes the oldest go, whatever their form; what is left can still be had."""
    monkeypatch.setattr(buffers, "SPARE_BYTES", 450)
    spares, large = Spares(), At(1)
    for address in (2, 3, 4):
        spares.put(SMALL, At(address))
    spares.put(LARGE, large)
    spares.put(SMALL, At(5))
    spares.put(SMALL, At(6))
    assert spares.take(((7,), np.dtype(np.int64))) is None

    kept = [spares.take(SMALL) for _ in range(4)]

    assert spares.take(LARGE) is large
    assert [one and one.address for one in kept] == [4, 5, 6, None]


def test_who_comes_again_finds_the_same_addresses():
    """In whatever order buffers come back, also from other threads, the lowest address is had first."""
    spares = Spares()
    for order in ((5, 3, 4), (4, 5, 3)):
        lent = [Loan(At(address), SMALL, spares) for address in order]
        while lent:
            returner = threading.Thread(target=lent.pop)
            returner.start()
            returner.join()

        assert [spares.take(SMALL).address for _ in range(3)] == [3, 4, 5]


@pytest.mark.parametrize(("graph", "ids"), [("step", ["-1", "new", "new"]), ("encoder", ["-1", "-1", "-1"])])
def test_the_second_run_of_a_size_is_captured(graph, ids):
    """The first is plain, the second gets an id of its own, which later ones repeat; other graphs never have one."""
    session = Recorder()
    device = Device("cpu", 0, {graph: session}, {"step"})

    for _ in range(3):
        assert device.run(graph, {"x": np.arange(3)}, fetch=["y"])["y"].tolist() == [0, 2, 4]
    device.run(graph, {"x": np.arange(4)}, fetch=["y"])

    assert ["-1" if one == "-1" else "new" for one in session.ids[:3]] == ids
    assert session.ids[1] == session.ids[2]
    assert session.ids[3] == "-1"


class At:
    """A buffer at an address."""

    def __init__(self, address):
        self.address = address

    def data_ptr(self):
        return self.address


class Recorder:
    """A session that doubles what it is given, and notes the ids of its runs."""

    def __init__(self):
        self.ids: list[str] = []

    def io_binding(self):
        return Binding()

    def run_with_iobinding(self, binding, options):
        self.ids.append(options.get_run_config_entry("gpu_graph_id"))
        doubled = 2 * binding.input()
        if binding.output is None:
            binding.output = binding.made(doubled)
        else:
            binding.output.update_inplace(doubled)


class Binding:
    """One input and one output."""

    def __init__(self):
        self.output = None

    def bind_cpu_input(self, name, array):
        self.input = lambda: array

    def bind_ortvalue_input(self, name, value):
        self.input = value.numpy

    def bind_output(self, name):
        from onnxruntime import OrtValue

        self.made = OrtValue.ortvalue_from_numpy

    def bind_ortvalue_output(self, name, value):
        self.output = value

    def get_outputs(self):
        return [self.output]

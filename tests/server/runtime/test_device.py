"""When a run is captured: without any device."""

import numpy as np
import pytest

from dragoman.server.runtime.device import Device


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

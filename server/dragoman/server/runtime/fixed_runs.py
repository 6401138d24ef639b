"""Runs that a device repeats, with everything about them made once.

A fixed run is a graph, the shapes of what it is sent and gives, and the addresses of what stays on the device. What is
sent lies in one staged buffer, copied in at once; what comes back lies in another, copied out at once. The first time
it is launched as usual, the second time captured as a CUDA graph, which is repeated from then on: a copy, a launch, a
copy.
Runtimes other than CUDA's ignore the capture and run the graph.

They belong to a lane, as bindings must; the one that was not used for longest goes where there are too many.
"""

import itertools
import math
import threading
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np

from dragoman.server.core.ports import DeviceWork
from dragoman.server.runtime.buffers import Array, Form, Resident
from dragoman.server.runtime.device import ON_DEVICE, PLAIN, Device, run_options

MOST_RUNS = 128
"""As many as a lane has."""
MOST_CAPTURES = 1024
"""ONNX Runtime keeps captured launches until the session ends, also those of a run that is gone."""
ALIGNED = 256
"""Each tensor of a buffer begins at a multiple of this."""

_captures = itertools.count(1)


def _laid_out(forms: Mapping[str, Form]) -> tuple[dict[str, int], int]:
    """Where each tensor of a buffer begins, and how long it is."""
    offsets, end = {}, 0
    for name, (shape, dtype) in forms.items():
        offsets[name] = end
        end += -(-math.prod(shape) * np.dtype(dtype).itemsize // ALIGNED) * ALIGNED
    return offsets, end


def _views(buffer: Array, forms: Mapping[str, Form], offsets: Mapping[str, int]) -> dict[str, Array]:
    """The tensors of a buffer of bytes."""
    sizes = {name: math.prod(shape) * np.dtype(dtype).itemsize for name, (shape, dtype) in forms.items()}
    return {
        name: buffer[offsets[name] : offsets[name] + sizes[name]].view(dtype).reshape(shape)
        for name, (shape, dtype) in forms.items()
    }


class FixedRun:
    """A run that can be repeated."""

    def __init__(
        self,
        device: Device,
        graph: str,
        sent: Mapping[str, Form],
        bound: Mapping[str, Resident],
        into: Mapping[str, Resident],
        fetched: Mapping[str, Form],
        kept: Mapping[str, Form],
    ) -> None:
        from onnxruntime import OrtValue

        def buffer(size: int) -> Any:
            return OrtValue.ortvalue_from_numpy(np.zeros(max(1, size), np.uint8), device.kind, device.index)

        self.graph, self._session, self._fetched = graph, device.sessions[graph], fetched
        self._is_host = device.kind == "cpu"
        offsets, size = _laid_out(sent)
        self._host: Array = np.zeros(size, np.uint8)
        self.views = _views(self._host, sent, offsets)
        """What it is sent: write here."""
        self._staged, self._binding = buffer(size), self._session.io_binding()
        at = self._staged.data_ptr()
        for name, (shape, dtype) in sent.items():
            self._bind(device, "input", name, Resident(None, at + offsets[name], shape, np.dtype(dtype)))
        self._offsets, self._out_size = _laid_out(fetched)
        self._out = buffer(self._out_size)
        kept_offsets, size = _laid_out(kept)
        self._kept = buffer(size)
        self.kept = {
            name: Resident(self._kept, self._kept.data_ptr() + kept_offsets[name], shape, np.dtype(dtype))
            for name, (shape, dtype) in kept.items()
        }
        """What stays on the device until the next time."""
        for name, tensor in bound.items():
            self._bind(device, "input", name, tensor)
        for name, (shape, dtype) in fetched.items():
            place = self._out.data_ptr() + self._offsets[name]
            self._bind(device, "output", name, Resident(None, place, shape, np.dtype(dtype)))
        for name, tensor in (*into.items(), *self.kept.items()):
            self._bind(device, "output", name, tensor)
        self._options = run_options(PLAIN)
        self.is_captured = self.is_prepared = False
        self._runs = 0

    def __repr__(self) -> str:
        return f"<FixedRun {self.graph}, {self._runs} runs{', captured' if self.is_captured else ''}>"

    def _bind(self, device: Device, way: str, name: str, tensor: Resident) -> None:
        bind = getattr(self._binding, f"bind_{way}")
        bind(name, device.kind, device.index, tensor.dtype.type, tensor.shape, tensor.pointer)

    def run(self, counts: DeviceWork) -> dict[str, Array]:
        """Send what was written to `views`, and bring back what it gives."""
        with ON_DEVICE:
            replayed = self.is_captured
            if self._runs == 1 and counts.captures < MOST_CAPTURES:
                self._options, self.is_captured = run_options(str(next(_captures))), True
                counts.captures += 1
            self._runs += 1
            if len(self._host):
                self._staged.update_inplace(self._host)
            self._session.run_with_iobinding(self._binding, self._options)
            counts.note(self.graph, replayed=replayed, sent=len(self._host), fetched=self._out_size)
            if not self._fetched:
                return {}
            out = self._out.numpy()
            if self._is_host:  # a view of what the next run overwrites
                out = out.copy()
        return _views(out, self._fetched, self._offsets)


class FixedRuns(threading.local):
    """Those of a thread."""

    def __init__(self) -> None:
        self._plans: OrderedDict[Hashable, FixedRun] = OrderedDict()

    def __len__(self) -> int:
        return len(self._plans)

    def of(
        self,
        device: Device,
        graph: str,
        sent: Mapping[str, Form],
        *,
        bound: Mapping[str, Resident],
        into: Mapping[str, Resident],
        fetched: Mapping[str, Form],
        kept: Mapping[str, Form],
    ) -> FixedRun:
        """The one of these sizes and addresses, made where there is none."""
        places = tuple((tensor.pointer, tensor.shape) for tensor in (*bound.values(), *into.values()))
        key = graph, tuple(shape for shape, _ in sent.values()), places, tuple(fetched), tuple(kept)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = FixedRun(device, graph, sent, bound, into, fetched, kept)
            if len(self._plans) > MOST_RUNS:
                self._plans.popitem(last=False)
        else:
            self._plans.move_to_end(key)
        return plan

"""Runs of graphs whose tensors stay where they are computed, in a device's memory.

Most are *fixed*: a graph, the shapes of what it is sent and gives, and the addresses of what stays on the device, with
everything about them made once. What is sent lies in one staged buffer, copied in at once; what comes back lies in
another, copied out at once. A fixed run is launched as usual until nobody waits for anything: then it is captured as a
CUDA graph, which is repeated from then on: a copy, a launch, a copy. A capture takes as long as several steps, so that
somebody waits for one only where a run has come so often that it is worth it. Runtimes other than CUDA's ignore the
capture and run the graph.

One run at a time is on a device, whichever lane it is of: nothing else may use CUDA while launches are captured, and
what captured runs compute in between lies in memory that they share. Lanes overlap their own work, on the host, with
another's run.
"""

import itertools
import math
import threading
import weakref
from collections.abc import Callable, Hashable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np

from dragoman.server.core.ports import DeviceWork
from dragoman.server.runtime.buffers import Array, Form, Resident
from dragoman.server.runtime.slabs import Slabs

MOST_RUNS = 128
"""Fixed runs of a lane; the one that was not used for longest goes where there are more."""
PATIENCE = 1024
"""Launches of a run after which it is captured though somebody waits: they have cost a lane more than the capture."""
MOST_CAPTURES = 1024
"""ONNX Runtime keeps captured launches until the session ends, also those of a run that is gone."""
ALIGNED = 256
"""Each tensor of a buffer begins at a multiple of this."""
PLAIN = "-1"
"""The graph id of a run that is not captured."""
NOTHING: Mapping[str, Any] = MappingProxyType({})

ON_DEVICE = threading.Lock()
_uses = itertools.count(1)
_captures = itertools.count(1)  # 0 is what a run without an id has; unique, because sessions and threads share them


Said: TypeAlias = Callable[[], dict[str, Array]]
"""What a run gave besides what it keeps: brought back when that is first asked for, or before the next run."""


class FixedRun:
    """A run that can be repeated."""

    def __init__(
        self,
        device: "Device",
        graph: str,
        sent: Mapping[str, Form],
        bound: Mapping[str, Resident],
        into: Mapping[str, Resident],
        fetched: Mapping[str, Form],
        kept: Mapping[str, Form],
    ) -> None:
        self.graph, self._session, self._work = graph, device.sessions[graph], device.work
        self._is_host = device.kind == "cpu"
        offsets, size = _laid_out(sent)
        offsets_of, self._out_size = _laid_out(fetched)
        self._host: Array = np.zeros(size, np.uint8)
        self._sent = size
        self.views = _views(self._host, sent, offsets)
        """What it is sent: write here."""
        kept_offsets, kept_size = _laid_out(kept)
        self._staged, self._out, left = (device.memory(max(1, n)) for n in (size, self._out_size, kept_size))
        self.kept = _residents(left, kept, kept_offsets)
        """What it leaves on the device."""
        self.said: Callable[[], Said | None] = lambda: None
        """What the last run gave, where that was not awaited and somebody may still ask for it."""
        self._binding = self._session.io_binding()
        inputs = {**_residents(self._staged, sent, offsets), **bound}
        outputs = {**_residents(self._out, fetched, offsets_of), **into, **self.kept}
        device.bind(self._binding, inputs, outputs)
        self._options = run_options(PLAIN)
        self.is_captured = self.is_prepared = False
        self._runs = self.used = 0
        self.owners: list[weakref.ref[Any]] = []
        """Those of the memory that it was told of; memory that is gone may be somebody else's."""
        self._parts = [
            (name, offsets_of[name], offsets_of[name] + _bytes_of(form), form) for name, form in fetched.items()
        ]

    def __repr__(self) -> str:
        return f"<FixedRun {self.graph}, {self._runs} runs{', captured' if self.is_captured else ''}>"

    def run(self, *, is_awaited: bool = True) -> dict[str, Array]:
        """Send what was written to `views`, and bring back what it gives, where that is awaited."""
        with ON_DEVICE:
            replayed = self.is_captured
            if self._runs == PATIENCE and self._may_be_captured:
                self._mark_captured()
            self._runs += 1
            self.used = next(_uses)
            if self._sent:
                self._staged.update_inplace(self._host)
            self._session.run_with_iobinding(self._binding, self._options)
            self._work.note(self.graph, replayed=replayed, sent=self._sent, fetched=self._out_size * is_awaited)
            return self._fetched() if is_awaited else {}

    def fetch(self) -> dict[str, Array]:
        """Bring back what the last run gave."""
        with ON_DEVICE:
            self._work.note_copy("out", self._out_size)
            return self._fetched()

    def _fetched(self) -> dict[str, Array]:
        if not self._parts:
            return {}
        out = self._out.numpy()
        if self._is_host:  # a view of what the next run overwrites
            out = out.copy()
        return {name: out[start:end].view(dtype).reshape(shape) for name, start, end, (shape, dtype) in self._parts}

    @property
    def _may_be_captured(self) -> bool:
        return not self.is_captured and self._work.captures < MOST_CAPTURES

    def _mark_captured(self) -> None:
        self._options, self.is_captured = run_options(str(next(_captures))), True
        self._work.captures += 1

    def capture(self) -> bool:
        """Capture it now, in the place of its next run; whether there was anything to do. Nobody may use the memory
        that it reads and writes: it does once more what it did last.
        """
        if not (self._runs and self._may_be_captured and all(owner() is not None for owner in self.owners)):
            return False
        with ON_DEVICE:
            self._mark_captured()
            self._session.run_with_iobinding(self._binding, self._options)
        return True


def fetched_once(run: FixedRun) -> Said:
    """What its last run gave and nobody awaited."""
    found: list[dict[str, Array]] = []

    def said() -> dict[str, Array]:
        if not found:
            found.append(run.fetch())
        return found[0]

    run.said = weakref.ref(said)
    return said


class Device(threading.local):
    """One device as a lane sees it, which is a thread: its sessions are all lanes', its runs and memory a lane's own,
    as bindings must be.
    """

    def __init__(self, kind: str, index: int, sessions: Mapping[str, Any], work: DeviceWork) -> None:
        self.kind, self.index, self.sessions, self.work = kind, index, sessions, work
        self.slabs = Slabs(self.memory, work)
        self.readers: weakref.WeakSet[Any] = weakref.WeakSet()
        """Stores that are still to `join` what the encoder left."""
        self._left: tuple[Any, int] = None, 0
        self._fixed: dict[Hashable, FixedRun] = {}

    def __repr__(self) -> str:
        return f"<Device {self.kind}:{self.index} {len(self._fixed)} fixed runs of this lane>"

    def memory(self, size: int) -> Any:
        """New memory of so many bytes."""
        from dragoman.bundle.onnx_runtime import onnxruntime

        with ON_DEVICE:
            return onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros(size, np.uint8), self.kind, self.index)

    def left_by_the_encoder(self, size: int) -> Any:
        """The memory for what the encoder makes of sources, of so many bytes at least: one for all of its runs, so that
        what reads it has one address.
        """
        if size > self._left[1]:
            self._left = self.memory(size), size
        return self._left[0]

    def bind(self, binding: Any, inputs: Mapping[str, Resident], outputs: Mapping[str, Resident]) -> None:
        """Have a run read and write these tensors as they lie."""
        for bind, tensors in ((binding.bind_input, inputs), (binding.bind_output, outputs)):
            for name, tensor in tensors.items():
                bind(name, self.kind, self.index, tensor.dtype.type, tensor.shape, tensor.pointer)

    def fixed(
        self,
        graph: str,
        sent: Mapping[str, Form],
        *,
        bound: Mapping[str, Resident] = NOTHING,
        into: Mapping[str, Resident] = NOTHING,
        fetched: Mapping[str, Form] = NOTHING,
        kept: Mapping[str, Form] = NOTHING,
    ) -> FixedRun:
        """The run of these sizes and addresses, made where there is none."""
        places = tuple((tensor.pointer, tensor.shape) for tensor in (*bound.values(), *into.values()))
        key = graph, tuple(shape for shape, _ in sent.values()), places, tuple(fetched), tuple(kept)
        run = self._fixed.get(key)
        owners = [weakref.ref(tensor.owner) for tensor in (*bound.values(), *into.values())]
        if run is None:
            while len(self._fixed) >= MOST_RUNS:
                del self._fixed[min(self._fixed, key=lambda one: self._fixed[one].used)]
            run = self._fixed[key] = FixedRun(self, graph, sent, bound, into, fetched, kept)
        run.used, run.owners = next(_uses), owners
        return run

    def prepare(self) -> bool:
        """Capture a run that was launched as usual so far; False where there is none. For when the lane is idle."""
        return any(run.capture() for run in self._fixed.values())

    def write(self, graph: str, given: Mapping[str, Array | Resident], into: Mapping[str, Resident]) -> None:
        """A single run, whose outputs are written to these tensors; arrays that it is given may say sizes."""
        session = self.sessions[graph]
        residents = {name: tensor for name, tensor in given.items() if isinstance(tensor, Resident)}
        with ON_DEVICE:
            binding = session.io_binding()
            self.bind(binding, residents, into)
            for name, array in given.items():
                if not isinstance(array, Resident):
                    binding.bind_cpu_input(name, np.ascontiguousarray(array))
            session.run_with_iobinding(binding, run_options(PLAIN))


def run_options(graph_id: str) -> Any:
    """Options of a run whose launches are captured, or repeated, under this number."""
    from dragoman.bundle.onnx_runtime import onnxruntime

    options = onnxruntime.RunOptions()
    options.add_run_config_entry("gpu_graph_id", graph_id)
    return options


def _bytes_of(form: Form) -> int:
    shape, dtype = form
    return math.prod(shape) * np.dtype(dtype).itemsize


def _laid_out(forms: Mapping[str, Form]) -> tuple[dict[str, int], int]:
    """Where each tensor of a buffer begins, and how long it is."""
    offsets, end = {}, 0
    for name, form in forms.items():
        offsets[name] = end
        end += -(-_bytes_of(form) // ALIGNED) * ALIGNED
    return offsets, end


def _views(buffer: Array, forms: Mapping[str, Form], offsets: Mapping[str, int]) -> dict[str, Array]:
    """The tensors of a buffer of bytes."""
    return {
        name: buffer[offsets[name] : offsets[name] + _bytes_of(form)].view(form[1]).reshape(form[0])
        for name, form in forms.items()
    }


def _residents(memory: Any, forms: Mapping[str, Form], offsets: Mapping[str, int]) -> dict[str, Resident]:
    """The tensors of a buffer on the device."""
    start = memory.data_ptr()
    return {n: Resident(memory, start + offsets[n], shape, np.dtype(dtype)) for n, (shape, dtype) in forms.items()}

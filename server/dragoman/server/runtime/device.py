"""Runs of graphs whose tensors stay where they are computed, and the graphs of launches that a GPU repeats.

A `Resident` is a tensor in a device's memory. `Device.run` binds residents as they lie, sends the small rest over, and
brings back what was asked for. A *bucket* is all that a CUDA graph freezes: a graph, the shapes of everything and the
addresses of residents. On its second use it gets buffers of its own for what comes and goes, and its launches are
captured; from then on a run is a copy, a launch and a copy back. Runtimes other than CUDA's ignore the capture and
run the graph, so that buckets are the same everywhere.

One run at a time is on a device, whichever lane it is of: nothing else may use CUDA while launches are captured, and
what captured runs compute in between lies in memory that they share. Lanes overlap their own work, on the host, with
another's run. A lane is a thread: buckets and spare buffers belong to the thread that made them, as bindings must.
"""

import itertools
import threading
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from dragoman.server.runtime.buffers import Array, Form, Loan, Resident, Spares

Kind = Literal["cpu", "cuda"]

MOST_BUCKETS = 128
"""Captured sizes of a lane and a graph. Further ones are not captured: each holds device memory that is only given back
at the end."""
MOST_SEEN = 4096
"""Combinations that have come once are remembered up to here."""
NO_INPUTS: Mapping[str, Any] = MappingProxyType({})
PLAIN = "-1"
"""The graph id of a run that is not captured."""

ON_DEVICE = threading.Lock()
_GRAPH_IDS = itertools.count(1)  # 0 is what a run without an id has; unique, because sessions and threads share them


@dataclass(frozen=True)
class _Run:
    """What a run takes and gives."""

    graph: str
    sent: Mapping[str, Array]
    bound: Mapping[str, Resident]
    into: Mapping[str, Resident]
    fetch: Sequence[str]
    keep: Sequence[str]

    @cached_property
    def key(self) -> Hashable:
        """All that a captured run freezes."""
        forms = tuple((name, array.shape, array.dtype.char) for name, array in self.sent.items())
        places = tuple((name, t.pointer, t.shape) for name, t in (*self.bound.items(), *self.into.items()))
        return self.graph, forms, places, tuple(self.fetch), tuple(self.keep)


@dataclass(frozen=True)
class _Bucket:
    """A captured run: bindings that never change."""

    binding: Any
    options: Any
    staged: dict[str, Any]
    last: dict[str, Array]
    """What was staged."""
    fetched: dict[str, Any]
    kept: dict[str, Resident]


class _ThreadState(threading.local):
    """What belongs to one thread."""

    def __init__(self) -> None:
        self.buckets: dict[str, dict[Hashable, _Bucket]] = {}
        self.seen: dict[Hashable, dict[str, Form]] = {}
        self.spares = Spares()


class Device:
    """Runs a bundle's graphs on one device. `captured` are those whose runs may be captured."""

    def __init__(self, kind: Kind, index: int, sessions: Mapping[str, Any], captured: Collection[str]) -> None:
        self.kind, self.index, self.sessions = kind, index, sessions
        self._captured = frozenset(captured)
        self._thread = _ThreadState()

    def __repr__(self) -> str:
        return f"<Device {self.kind}:{self.index} {sum(map(len, self._thread.buckets.values()))} buckets of this lane>"

    def zeros(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Resident:
        """A new tensor, or a spare one with whatever its last user left."""
        with ON_DEVICE:
            return self._buffer((shape, np.dtype(dtype)))

    def zero_bytes(self, size: int) -> Any:
        """New memory of so many bytes."""
        from onnxruntime import OrtValue

        with ON_DEVICE:
            return OrtValue.ortvalue_from_numpy(np.zeros(size, np.uint8), self.kind, self.index)

    def _buffer(self, form: Form) -> Resident:
        from onnxruntime import OrtValue

        value = self._thread.spares.take(form)
        if value is None:
            value = OrtValue.ortvalue_from_numpy(np.zeros(*form), self.kind, self.index)
        return Resident(Loan(value, form, self._thread.spares), value.data_ptr(), *form)

    def run(
        self,
        graph: str,
        given: Mapping[str, Array | Resident],
        *,
        into: Mapping[str, Resident] = NO_INPUTS,
        fetch: Sequence[str] = (),
        keep: Sequence[str] = (),
        dry_run: Mapping[str, Array] = NO_INPUTS,
    ) -> dict[str, Any]:
        """One run: the outputs in `fetch` come back, those in `keep` stay where they are until the lane's next such
        run, and those of `into` are written to these tensors.

        A capture runs a graph more than once. Where a second run would not do what the first did, `dry_run` holds
        inputs with which it does nothing.
        """
        sent = {name: np.ascontiguousarray(a) for name, a in given.items() if not isinstance(a, Resident)}
        bound = {name: tensor for name, tensor in given.items() if isinstance(tensor, Resident)}
        run = _Run(graph, sent, bound, into, fetch, keep)
        with ON_DEVICE:
            if graph not in self._captured:
                return self._plain(run)
            buckets = self._thread.buckets.setdefault(graph, {})
            bucket = buckets.get(run.key)
            if bucket is None:
                forms = self._thread.seen.get(run.key)
                if forms is None or len(buckets) >= MOST_BUCKETS:
                    return self._uncaptured(run, forms)
                del self._thread.seen[run.key]
                bucket = self._bucket(run, forms)
                if dry_run:
                    self._replay(graph, bucket, {**sent, **dry_run})
                self._replay(graph, bucket, sent)
                buckets[run.key] = bucket  # now that nothing of the capture has failed
            else:
                self._replay(graph, bucket, sent)
            # A processor's values are views of what the next run overwrites.
            return {name: np.array(value.numpy()) for name, value in bucket.fetched.items()} | bucket.kept

    def visit(self, graph: str, names: Sequence[str], feed: Mapping[str, Array]) -> list[Any]:
        """A run whose inputs and outputs are all the host's."""
        with ON_DEVICE:
            outputs: list[Any] = self.sessions[graph].run(names, feed)
        return outputs

    def _uncaptured(self, run: _Run, forms: Mapping[str, Form] | None) -> dict[str, Any]:
        """A run of a graph that others capture; `forms` are those of its outputs, where it came before.

        What ONNX Runtime allots itself may be where captured runs compute, and another lane's may be next: what is left
        on the device goes to buffers. Their forms are found by a run of its own; graphs that leave anything are pure.
        """
        if forms is None:
            outputs = self._plain(run)
            if len(self._thread.seen) >= MOST_SEEN:
                self._thread.seen.clear()
            forms = self._thread.seen[run.key] = {name: (value.shape, value.dtype) for name, value in outputs.items()}
            if not run.keep:
                return outputs
        kept = {name: self._buffer(forms[name]) for name in run.keep}
        return self._plain(replace(run, into={**run.into, **kept}, keep=())) | kept

    def _plain(self, run: _Run) -> dict[str, Any]:
        """A run that is not captured, whose other outputs get memory of their own."""
        binding = self._bound(run)
        for name, array in run.sent.items():
            binding.bind_cpu_input(name, array)
        for name in run.fetch:
            binding.bind_output(name)
        for name in run.keep:
            binding.bind_output(name, self.kind, self.index)
        self.sessions[run.graph].run_with_iobinding(binding, run_options(PLAIN))
        values = dict(zip((*run.into, *run.fetch, *run.keep), binding.get_outputs(), strict=True))
        fetched: dict[str, Any] = {name: np.array(values[name].numpy()) for name in run.fetch}
        return fetched | {name: _resident(values[name]) for name in run.keep}

    def _bound(self, run: _Run) -> Any:
        """A binding of the residents."""
        binding = self.sessions[run.graph].io_binding()
        for name, tensor in run.bound.items():
            binding.bind_input(name, self.kind, self.index, tensor.dtype.type, tensor.shape, tensor.pointer)
        for name, tensor in run.into.items():
            binding.bind_output(name, self.kind, self.index, tensor.dtype.type, tensor.shape, tensor.pointer)
        return binding

    def _bucket(self, run: _Run, forms: Mapping[str, Form]) -> _Bucket:
        """Bindings of a run that came before, with buffers for what it takes and gives."""
        from onnxruntime import OrtValue

        def buffer(form: Form) -> Any:
            return OrtValue.ortvalue_from_shape_and_type(*form, self.kind, self.index)

        binding = self._bound(run)
        staged = {name: buffer((array.shape, array.dtype)) for name, array in run.sent.items()}
        out = {name: buffer(forms[name]) for name in (*run.fetch, *run.keep)}
        for name, value in staged.items():
            binding.bind_ortvalue_input(name, value)
        for name, value in out.items():
            binding.bind_ortvalue_output(name, value)
        fetched, kept = {name: out[name] for name in run.fetch}, {name: _resident(out[name]) for name in run.keep}
        return _Bucket(binding, run_options(str(next(_GRAPH_IDS))), staged, {}, fetched, kept)

    def _replay(self, graph: str, bucket: _Bucket, sent: Mapping[str, Array]) -> None:
        for name, array in sent.items():
            # A copy to a GPU takes some ten microseconds however small it is, and masks of sources seldom change.
            if not np.array_equal(bucket.last.get(name, ()), array):
                bucket.staged[name].update_inplace(array)
                bucket.last[name] = array.copy()
        self.sessions[graph].run_with_iobinding(bucket.binding, bucket.options)


def run_options(graph_id: str) -> Any:
    """Options of a run whose launches are captured, or repeated, under this number."""
    from onnxruntime import RunOptions

    options = RunOptions()
    options.add_run_config_entry("gpu_graph_id", graph_id)
    return options


def _resident(value: Any) -> Resident:
    """A tensor that ONNX Runtime has made."""
    dtype = np.dtype(_TYPES[value.data_type()])
    return Resident(value, value.data_ptr(), tuple(value.shape()), dtype)


_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(int64)": np.int64}

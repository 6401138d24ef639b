"""Runs graphs on a device, where what the decoder keeps stays. Nothing is computed on the processor instead.

Bundles have a step for devices where their attention is one operator (`is_placed`); others run the portable graphs.
"""

import math
import threading
import weakref
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from dragoman.bundle.graphs import (
    CHOSEN,
    CROSS,
    DEPTH,
    DEVICE_ASKED,
    DEVICE_ENCODER,
    DEVICE_MEMORY_FIT,
    DEVICE_POOL_FIT,
    DEVICE_STEP,
    ENCODER,
    HIDDEN,
    IDS,
    LENGTHS,
    MASK,
    SELF,
    SLOTS,
    SRC_MASK,
    TOP,
    TOPK_LOGP,
    written,
)
from dragoman.bundle.manifest import Tensor
from dragoman.bundle.reader import Bundle
from dragoman.server.core.ports import DeviceWork
from dragoman.server.runtime.buffers import Array, Feed, Form, Resident
from dragoman.server.runtime.device import Device
from dragoman.server.runtime.device_rows import ENCODED, DeviceRows, row_level, rows_of, size_level
from dragoman.server.runtime.device_store import DeviceStore
from dragoman.server.runtime.fixed_runs import FixedRuns
from dragoman.server.runtime.hardware import CAPTURED, Hardware, runs_placed
from dragoman.server.runtime.placed_store import EncodedRun, PlacedStore, Slabs
from dragoman.server.runtime.runtime import encoder_outputs, run_error, step_outputs
from dragoman.server.runtime.sessions import load_sessions

MOST_CHOSEN = 4
"""Named words come in this many, or so many times four."""


class _LaneState(threading.local):
    """What belongs to one lane, which is a thread."""

    def __init__(self, device: Device, work: DeviceWork) -> None:
        self.slabs, self.runs = Slabs(device, work), 0
        self.stores: weakref.WeakSet[PlacedStore] = weakref.WeakSet()
        """Those whose newcomers may lie in what the encoder left last."""


class DeviceRuntime:
    """Sessions as on a processor; encoded sources, pools and states are `Resident`."""

    def __init__(self, bundle: Bundle, *, threads: int = 1, hardware: Hardware) -> None:
        self.manifest = bundle.manifest
        self.provider: str = hardware.provider
        self.is_placed = runs_placed(self.manifest, hardware)
        self._sessions = load_sessions(bundle, threads, hardware)
        self.graphs: Collection[str] = self._sessions.keys()
        """All of the bundle that run here: no strides."""
        self._outputs = {n: [t.name for t in graph.outputs] for n, graph in self.manifest.graphs.items()}
        self._said, self._kept = step_outputs(self.manifest)
        self.device = Device(hardware.provider, hardware.device, self._sessions, CAPTURED)
        self._work = DeviceWork()
        self._plans, self._lane = FixedRuns(), _LaneState(self.device, self._work)

    @property
    def work(self) -> DeviceWork | None:
        """What the device did, where it runs a step of its own."""
        return self._work if self.is_placed else None

    def __repr__(self) -> str:
        return f"<DeviceRuntime {self.manifest.name} {self.manifest.precision} {self.device!r}>"

    def encode(self, feed: Feed, *, cross: bool, hidden: bool) -> dict[str, Any]:
        """Rows of tensors that stay on the device, and hidden rows [n, d] as an array."""
        placed = self._encode_placed(feed) if cross and self.is_placed else {}
        names = encoder_outputs(self.manifest, cross=cross and not self.is_placed, hidden=hidden)
        if not names:
            return placed
        keep = [name for name in names if name != HIDDEN]
        outputs = self._on_device(ENCODER, feed, fetch=[HIDDEN] if hidden else [], keep=keep)
        rows = {name: [(outputs[name], g) for g in range(outputs[name].shape[0])] for name in keep}
        return outputs | rows | placed

    def _encode_placed(self, feed: Feed) -> dict[str, Any]:
        """Hidden rows of padded sources, which stay on the device until the lane's next run of these sizes."""
        for store in self._lane.stores:
            store.join()
        is_word = feed[SRC_MASK][:, 0, 0] == 0
        lengths = is_word.sum(1)
        count = len(lengths)
        most = self.manifest.architecture.max_positions
        shape = row_level(count), min(size_level(int(lengths.max())), most)
        width = int(self.manifest.graphs[DEVICE_ENCODER].outputs[0].shape[2])
        try:
            plan = self._plans.of(
                self.device,
                DEVICE_ENCODER,
                {IDS: (shape, np.dtype(np.int64)), LENGTHS: (shape[:1], np.dtype(np.int64))},
                bound={},
                into={},
                fetched={},
                kept={HIDDEN: ((*shape, width), np.dtype(self.manifest.graphs[DEVICE_ENCODER].outputs[0].dtype))},
            )
            plan.views[IDS][:count, : is_word.shape[1]][is_word[:, : shape[1]]] = feed[IDS]
            plan.views[LENGTHS][:count], plan.views[LENGTHS][count:] = lengths, 1
            plan.run(self._work)
        except Exception as error:
            raise run_error(DEVICE_ENCODER, error) from error
        self._lane.runs += 1
        run = EncodedRun(plan.kept[HIDDEN], lengths, self._lane.runs)
        return {ENCODED: [(run, g) for g in range(count)]}

    def run(self, graph: str, feed: Feed) -> dict[str, Any]:
        """A run whose inputs and outputs are all arrays."""
        names = self._outputs[graph]
        try:
            return dict(zip(names, self.device.visit(graph, names, feed), strict=True))
        except Exception as error:
            raise run_error(graph, error) from error

    def step(self, graph: str, feed: Feed, *, attention: bool) -> tuple[dict[str, Any], list[Any]]:
        """A step whose rows are filled up to what residents have: a few sizes are captured instead of all."""
        # Not in several runs, as `HostRuntime` has large steps (`run_limits`): there a run is bounded so that an arena
        # stays small, and each part of a step would be a size of its own to capture here. What a run takes besides its
        # weights is bounded by a lane's places and the widest beam: 256 x 16 nodes, whose logits are 0.5 GB for 32,000
        # words and 4.2 GB for 256,000, two or three of them at a time, of the one run that is on the device. Where a
        # device has less, `--max-batch` and `--max-beam-size` are the bounds to lower; until then a run that finds no
        # memory is a `MemoryError`, and its texts are refused as overloaded.
        if self.is_placed:
            try:
                return self._step_placed(DEVICE_ASKED if attention or CHOSEN in feed else DEVICE_STEP, feed), []
            except Exception as error:
                raise run_error(graph, error) from error
        names = self._said[attention]
        sources, nodes = feed[IDS].shape
        rows = next(value.shape[0] for value in feed.values() if isinstance(value, Resident))
        signature = self.manifest.graphs[graph]
        by_source = {tensor.name for tensor in signature.inputs if tensor.shape[0] == "G"}
        given = {name: _filled(value, rows) if name in by_source else value for name, value in feed.items()}
        outputs = self._on_device(graph, given, fetch=names, keep=self._kept)
        ends = {"G": sources, "n": sources * nodes}
        said = {t.name: outputs[t.name][: ends[str(t.shape[0])]] for t in signature.outputs if t.name in names}
        return said, [outputs[name] for name in self._kept]

    def _step_placed(self, graph: str, feed: Feed) -> dict[str, Any]:
        """One run of the device's own step: a copy in, a launch, a copy out."""
        rows: DeviceRows = feed[rows_of(DEVICE_POOL_FIT)]
        assert rows.equals(feed[rows_of(DEVICE_MEMORY_FIT)]), "both stores were told the same"
        pools = {name: value for name, value in feed.items() if name.startswith(SELF)}
        cross = {name: value for name, value in feed.items() if name.startswith(CROSS)}
        slots, count = next(iter(pools.values())).shape[1], min(v.shape[0] for v in (*pools.values(), *cross.values()))
        nodes = feed[IDS].shape[1]
        chosen = 0 if graph == DEVICE_STEP else max(1, feed[CHOSEN].shape[2] if CHOSEN in feed else 0)
        sizes = {"G": count, "q": nodes, "n": count * nodes, "T": slots, "k": len(feed[TOP])}
        sizes |= {"m": _rounded_chosen(chosen), "S": next(iter(cross.values())).shape[1]}
        plan = self._plan(graph, sizes, {name: value.front(count) for name, value in (pools | cross).items()})
        at, views = rows.index, plan.views
        for name in (IDS, DEPTH, LENGTHS):
            views[name][at] = feed[name]
        views[MASK][at] = feed[MASK]
        views[SLOTS].reshape(count, nodes, 2)[at, :, 1] = feed[SLOTS]
        if CHOSEN in feed:
            views[CHOSEN][at, :, : feed[CHOSEN].shape[2]] = feed[CHOSEN]
        said = plan.run(self._work)
        answer = {name: value.reshape(count, -1, *value.shape[1:])[at] for name, value in said.items()}
        self._note_broken(answer[TOPK_LOGP], feed)
        found = {name: value.reshape(-1, *value.shape[2:]) for name, value in answer.items()}
        if CHOSEN in feed:
            found = {name: v[:, : feed[CHOSEN].shape[2]] if name.startswith(CHOSEN) else v for name, v in found.items()}
        return found

    def _plan(self, graph: str, sizes: Mapping[str, int], bound: Mapping[str, Resident]) -> Any:
        """The fixed run of a step of these sizes."""

        def form(tensor: Tensor) -> Form:
            return tuple(n if isinstance(n, int) else sizes[n] for n in tensor.shape), np.dtype(tensor.dtype)

        signature = self.manifest.graphs[graph]
        into = {written(name): tensor for name, tensor in bound.items() if name.startswith(SELF)}
        plan = self._plans.of(
            self.device,
            graph,
            {tensor.name: form(tensor) for tensor in signature.inputs if tensor.name not in bound},
            bound=bound,
            into=into,
            fetched={tensor.name: form(tensor) for tensor in signature.outputs if tensor.name not in into},
            kept={},
        )
        if not plan.is_prepared:  # rows that are nobody's read and write their own places
            plan.views[SLOTS].reshape(sizes["G"], sizes["q"], 2)[..., 0] = np.arange(sizes["G"])[:, None]
            plan.views[SLOTS].reshape(sizes["G"], sizes["q"], 2)[..., 1] = np.arange(sizes["q"])
            plan.views[LENGTHS][:] = 1
            plan.is_prepared = True
        return plan

    def _note_broken(self, logp: Array, feed: Feed) -> None:
        """Rows with numbers that are not finite are nobody's from now on."""
        is_sound = np.isfinite(logp)
        if is_sound.all():
            return
        for g in np.flatnonzero(~is_sound.reshape(len(logp), -1).all(1)).tolist():
            for graph in (DEVICE_POOL_FIT, DEVICE_MEMORY_FIT):
                rows: DeviceRows = feed[rows_of(graph)]
                rows.dead.add(rows[g])

    def store(self, declared: Sequence[Tensor], sizes: Mapping[str, int], kind: Hashable = None) -> Any:
        """Tensors in the device's memory."""
        if not self.is_placed:
            return DeviceStore(self.device, declared, sizes)
        store = PlacedStore(self.device, self._plans, self._lane.slabs, self._work, declared, sizes, kind)
        self._lane.stores.add(store)
        return store

    def _on_device(self, graph: str, feed: Feed, *, fetch: Sequence[str], keep: Sequence[str]) -> dict[str, Any]:
        try:
            return self.device.run(graph, feed, fetch=fetch, keep=keep)
        except Exception as error:
            raise run_error(graph, error) from error


def _rounded_chosen(words: int) -> int:
    """How many named words a run has for so many."""
    return words and MOST_CHOSEN ** max(1, math.ceil(math.log(words, MOST_CHOSEN)))


def _filled(value: Any, rows: int) -> Any:
    """An array with zeros in further rows."""
    if isinstance(value, Resident) or len(value) == rows:
        return value
    whole = np.zeros((rows, *value.shape[1:]), value.dtype)
    whole[: len(value)] = value
    return whole

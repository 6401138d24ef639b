"""Runs bundles that have a step for devices: what the decoder keeps stays there, and the step writes it."""

import math
from collections.abc import Hashable, Mapping, Sequence
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
    HIDDEN,
    IDS,
    LENGTHS,
    MASK,
    SELF,
    SLOT_DEPTH,
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
from dragoman.server.runtime.device import Device, FixedRun
from dragoman.server.runtime.device_rows import ENCODED, DeviceRows, row_level, rows_of, size_level
from dragoman.server.runtime.device_store import DeviceStore
from dragoman.server.runtime.hardware import Hardware
from dragoman.server.runtime.host_runtime import HostRuntime
from dragoman.server.runtime.runtime import run_error
from dragoman.server.runtime.stores import Store

MOST_CHOSEN = 4
"""Named words come in this many, or so many times four."""


class DeviceRuntime(HostRuntime):
    """Sessions as on a processor; encoded sources and pools are `Resident`, and only canvases are arrays."""

    is_placed = True

    def __init__(self, bundle: Bundle, *, threads: int = 1, hardware: Hardware) -> None:
        super().__init__(bundle, threads=threads, hardware=hardware)
        self.work = DeviceWork()
        self.device = Device(hardware.provider, hardware.device, self._sessions, self.work)

    def encode(self, feed: Feed, *, cross: bool, hidden: bool) -> dict[str, Any]:
        """Sources of a run that stays on the device, and hidden rows [n, d] as an array."""
        sources = {}
        if cross:
            try:
                run = self._encoded(feed)
            except Exception as error:
                raise run_error(DEVICE_ENCODER, error) from error
            sources[ENCODED] = [(run, g) for g in range(len(feed[SRC_MASK]))]
        return sources | (super().encode(feed, cross=False, hidden=True) if hidden else {})

    def _encoded(self, feed: Feed) -> FixedRun:
        """Hidden rows of padded sources, which stay on the device until the lane's next run of these sizes."""
        is_word = feed[SRC_MASK][:, 0, 0] == 0
        lengths = is_word.sum(1)
        count = len(lengths)
        most = self.manifest.architecture.max_positions
        shape = row_level(count), min(size_level(int(lengths.max())), most)
        hidden = self.manifest.graphs[DEVICE_ENCODER].outputs[0]
        run = self.device.fixed(
            DEVICE_ENCODER,
            {IDS: (shape, np.dtype(np.int64)), LENGTHS: (shape[:1], np.dtype(np.int64))},
            kept={HIDDEN: ((*shape, int(hidden.shape[2])), np.dtype(hidden.dtype))},
        )
        for store in [*run.readers]:  # before what they read is written over
            store.join()
        run.views[IDS][:count, : is_word.shape[1]][is_word[:, : shape[1]]] = feed[IDS]
        run.views[LENGTHS][:count], run.views[LENGTHS][count:] = lengths, 1
        run.run()
        return run

    def step(self, graph: str, feed: Feed, *, attention: bool) -> tuple[dict[str, Any], list[Any]]:
        """One run of the device's own step: a copy in, a launch, a copy out. Nothing is left to be kept."""
        # Not in several runs, as `HostRuntime` has large steps (`run_limits`): there a run is bounded so that an arena
        # stays small, and each part of a step would be a size of its own to capture here. What a run takes besides its
        # weights is bounded by a lane's places and the widest beam: 256 x 16 nodes, whose logits are 0.5 GB for 32,000
        # words and 4.2 GB for 256,000, two or three of them at a time, of the one run that is on the device. Where a
        # device has less, `--max-batch` and `--max-beam-size` are the bounds to lower; until then a run that finds no
        # memory is a `MemoryError`, and its texts are refused as overloaded.
        try:
            return self._said_of(DEVICE_ASKED if attention or CHOSEN in feed else DEVICE_STEP, feed), []
        except Exception as error:
            raise run_error(graph, error) from error

    def _said_of(self, graph: str, feed: Feed) -> dict[str, Any]:
        rows: DeviceRows = feed[rows_of(DEVICE_POOL_FIT)]
        assert rows.equals(feed[rows_of(DEVICE_MEMORY_FIT)]), "both stores were told the same"
        pools = {name: value for name, value in feed.items() if name.startswith(SELF)}
        cross = {name: value for name, value in feed.items() if name.startswith(CROSS)}
        slots, count = next(iter(pools.values())).shape[1], min(v.shape[0] for v in (*pools.values(), *cross.values()))
        nodes = feed[IDS].shape[1]
        chosen = 0 if graph == DEVICE_STEP else max(1, feed[CHOSEN].shape[2] if CHOSEN in feed else 0)
        sizes = {"G": count, "q": nodes, "n": count * nodes, "T": slots, "k": len(feed[TOP])}
        sizes |= {"m": _rounded_chosen(chosen), "S": next(iter(cross.values())).shape[1]}
        run = self._step_of(graph, sizes, {name: value.front(count) for name, value in (pools | cross).items()})
        at, views = rows.index, run.views
        for name in (IDS, DEPTH, MASK, SLOT_DEPTH, LENGTHS):
            if name in feed:
                views[name][at] = feed[name]
        views[SLOTS].reshape(count, nodes, 2)[at, :, 1] = feed[SLOTS]
        if CHOSEN in feed:
            views[CHOSEN][at, :, : feed[CHOSEN].shape[2]] = feed[CHOSEN]
        said = run.run()
        answer = {name: value.reshape(count, -1, *value.shape[1:])[at] for name, value in said.items()}
        self._note_broken(answer[TOPK_LOGP], feed)
        found = {name: value.reshape(-1, *value.shape[2:]) for name, value in answer.items()}
        if CHOSEN in feed:
            found = {name: v[:, : feed[CHOSEN].shape[2]] if name.startswith(CHOSEN) else v for name, v in found.items()}
        return found

    def _step_of(self, graph: str, sizes: Mapping[str, int], bound: Mapping[str, Resident]) -> FixedRun:
        """The fixed run of a step of these sizes."""

        def form(tensor: Tensor) -> Form:
            return tuple(n if isinstance(n, int) else sizes[n] for n in tensor.shape), np.dtype(tensor.dtype)

        signature = self.manifest.graphs[graph]
        into = {written(name): tensor for name, tensor in bound.items() if name.startswith(SELF)}
        run = self.device.fixed(
            graph,
            {tensor.name: form(tensor) for tensor in signature.inputs if tensor.name not in bound},
            bound=bound,
            into=into,
            fetched={tensor.name: form(tensor) for tensor in signature.outputs if tensor.name not in into},
        )
        if not run.is_prepared:  # rows that are nobody's read and write their own places
            run.views[SLOTS].reshape(sizes["G"], sizes["q"], 2)[..., 0] = np.arange(sizes["G"])[:, None]
            run.views[SLOTS].reshape(sizes["G"], sizes["q"], 2)[..., 1] = np.arange(sizes["q"])
            run.views[LENGTHS][:] = 1
            run.is_prepared = True
        return run

    def _note_broken(self, logp: Array, feed: Feed) -> None:
        """Rows with numbers that are not finite are nobody's from now on."""
        is_sound = np.isfinite(logp)
        if is_sound.all():
            return
        for g in np.flatnonzero(~is_sound.reshape(len(logp), -1).all(1)).tolist():
            for graph in (DEVICE_POOL_FIT, DEVICE_MEMORY_FIT):
                rows: DeviceRows = feed[rows_of(graph)]
                rows.dead.add(rows[g])

    def store(self, declared: Sequence[Tensor], sizes: Mapping[str, int], kind: Hashable = None) -> Store:
        """Tensors in the device's memory."""
        return DeviceStore(self.device, declared, sizes, kind)


def _rounded_chosen(words: int) -> int:
    """How many named words a run has for so many."""
    return words and MOST_CHOSEN ** max(1, math.ceil(math.log(words, MOST_CHOSEN)))

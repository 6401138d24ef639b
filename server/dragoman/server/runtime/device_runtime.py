"""Runs bundles that have a step for devices: what the decoder keeps stays there, and the step writes it."""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from dragoman.bundle.graphs import (
    ATTENTION,
    CANVAS_MASK,
    CHOSEN,
    CHOSEN_LOGP,
    DEPTH,
    DEVICE_ASKED,
    DEVICE_ENCODER,
    DEVICE_HIDDEN_FIT,
    DEVICE_MEMORY_FIT,
    DEVICE_POOL_FIT,
    DEVICE_STEP,
    DEVICE_STRIDE,
    DEVICE_STRIDE_STEPS,
    HIDDEN,
    IDS,
    LENGTHS,
    MASK,
    PLACES,
    ROWS,
    SELF,
    SHOWN,
    SLOT_DEPTH,
    SLOTS,
    SRC_MASK,
    STRIDE,
    TOP,
    TOPK_ID,
    TOPK_LOGP,
    WHOSE,
    decoder_name,
    written,
    written_by,
)
from dragoman.bundle.manifest import Manifest, Tensor
from dragoman.server.core.ports import DeviceWork
from dragoman.server.runtime.buffers import Array, Feed, Form, Resident
from dragoman.server.runtime.device import Device, FixedRun, fetched_once
from dragoman.server.runtime.device_rows import (
    ENCODED,
    SAID,
    DeviceRows,
    best_level,
    front_of,
    joined_level,
    row_level,
    size_level,
    source_level,
)
from dragoman.server.runtime.device_store import DeviceStore
from dragoman.server.runtime.hardware import Hardware
from dragoman.server.runtime.host_runtime import HostRuntime
from dragoman.server.runtime.padding import CLOSED, MASKED
from dragoman.server.runtime.runtime import pass_graph, run_error
from dragoman.server.runtime.stores import Store

LEAST_ROWS = 64
"""Places of canvases that a pass is asked for, or four times as many, and so on."""
MOST_CHOSEN = 4
"""Named words come in this many, or so many times four."""


StepPlan: TypeAlias = tuple[FixedRun, int, Sequence[tuple[str, Array]]]
"""What steps of one size over the same memory have made once: a run, its rows, and where what it is sent is written, by
name and by row.
"""


class DeviceRuntime(HostRuntime):
    """Sessions as on a processor; encoded sources and pools are `Resident`."""

    is_placed = True

    def __init__(self, manifest: Manifest, sessions: Mapping[str, Any], hardware: Hardware) -> None:
        super().__init__(manifest, sessions, hardware)
        self.work = work = DeviceWork()
        self.device = Device(hardware.provider, hardware.device, sessions, work)

    def encode(self, feed: Feed, *, cross: bool, hidden: bool) -> dict[str, Any]:
        """Sources of a run that stays on the device, and hidden rows [n, d] as an array."""
        sources: dict[str, Any] = {}
        if cross:
            try:
                run = self._encoded(feed)
            except Exception as error:
                raise run_error(DEVICE_ENCODER, error) from error
            said, count = fetched_once(run), len(feed[SRC_MASK])
            sources |= {ENCODED: [(run, g) for g in range(count)], SAID: [(said, g) for g in range(count)]}
        return sources | (super().encode(feed, cross=False, hidden=True) if hidden else {})

    def run(self, graph: str, feed: Feed) -> dict[str, Any]:
        """Any graph's outputs by name; passes over hidden rows that lie on the device are as steps are there."""
        if front_of(DEVICE_HIDDEN_FIT) not in feed:
            return super().run(graph, feed)
        try:
            return self._passed(graph, feed)
        except Exception as error:
            raise run_error(graph, error) from error

    def _passed(self, graph: str, feed: Feed) -> dict[str, Any]:
        """One pass over canvases of the sources `WHOSE`, whose places are those of the store."""
        graph = pass_graph(self.manifest, decoder_name(graph))
        rows, tensors, _ = feed[front_of(DEVICE_HIDDEN_FIT)]
        hidden, lengths, asked = tensors[HIDDEN], feed[LENGTHS], feed[ROWS]
        size = hidden.shape[1]
        of = np.array([rows[g] for g in feed[WHOSE].tolist()])
        sizes = {"G": row_level(len(of)), "S": min(source_level(int(lengths.max())), size), "k": len(feed[TOP])}
        sizes |= {"r": max(LEAST_ROWS, size_level(len(asked)))}
        upsample = self.manifest.nat[decoder_name(graph)].upsample
        width, given = sizes["S"] * upsample, feed[PLACES].shape[1] * upsample if PLACES in feed else 0
        if CANVAS_MASK in feed:
            given = feed[IDS].shape[1]
            sizes["T"] = width = size_level(given)
        signature = self.manifest.graphs[graph]
        run = self.device.fixed(
            graph,
            {tensor.name: _form(tensor, sizes) for tensor in signature.inputs if tensor.name != HIDDEN},
            bound={HIDDEN: hidden.viewed(-1, hidden.shape[2])},
            fetched={tensor.name: _form(tensor, sizes) for tensor in signature.outputs},
        )
        count, places = len(of), np.arange(sizes["S"])
        run.views[PLACES][:count] = of[:, None] * size + places
        _mask(run.views[SRC_MASK], places < lengths[:, None])
        if IDS in run.views:
            shown = feed[IDS]
            run.views[IDS][:count, : shown.shape[1]] = shown[:, : run.views[IDS].shape[1]]
        if CANVAS_MASK in feed:
            _mask(run.views[CANVAS_MASK], feed[CANVAS_MASK][:, 0, 0] == 0)
        if SHOWN in run.views:
            masks = feed[IDS] - self.manifest.architecture.target_vocabulary
            run.views[SHOWN][:count, :given] = np.maximum(masks, 0) + np.arange(count)[:, None] * sizes["S"]
        source, place = np.divmod(asked, given)
        run.views[ROWS][: len(asked)] = source * width + place
        run.views[ROWS][len(asked) :] = 0
        said = {name: value[: len(asked)] for name, value in run.run().items()}
        logp = said[TOPK_LOGP]
        if not math.isfinite(logp.sum()):
            broken = np.unique(source[~np.isfinite(logp).all(1)])
            rows.dead.update(of[broken].tolist())
        return said

    def _encoded(self, feed: Feed) -> FixedRun:
        """Hidden rows of padded sources, which stay on the device until the lane's next run of these sizes."""
        is_word = feed[SRC_MASK][:, 0, 0] == 0
        lengths = is_word.sum(1)
        count = len(lengths)
        most = self.manifest.architecture.max_positions
        shape = row_level(count), min(source_level(int(lengths.max())), most)
        hidden, *told = self.manifest.graphs[DEVICE_ENCODER].outputs
        for store in [*self.device.readers]:  # before what they read is written over
            store.join()
        width, dtype = int(hidden.shape[2]), np.dtype(hidden.dtype)
        memory = self.device.left_by_the_encoder(joined_level(math.prod(shape)) * width * dtype.itemsize)
        rows = Resident(memory, memory.data_ptr(), (*shape, width), dtype)
        run = self.device.fixed(
            DEVICE_ENCODER,
            {IDS: (shape, np.dtype(np.int64)), LENGTHS: (shape[:1], np.dtype(np.int64))},
            into={HIDDEN: rows},
            fetched={tensor.name: _form(tensor, {"G": shape[0]}) for tensor in told},
        )
        run.kept[HIDDEN] = rows
        if (said := run.said()) is not None:
            said()
        run.views[IDS][:count, : is_word.shape[1]][is_word[:, : shape[1]]] = feed[IDS]
        run.views[LENGTHS][:count], run.views[LENGTHS][count:] = lengths, 1
        run.run(is_awaited=False)
        return run

    def step(self, graph: str, feed: Feed, *, attention: bool) -> tuple[dict[str, Any], list[Any]]:
        """One run of the device's own step or stride: a copy in, a launch, a copy out. Nothing is left to be kept."""
        # Not in several runs, as `HostRuntime` has large steps (`run_limits`): there a run is bounded so that an arena
        # stays small, and each part of a step would be a size of its own to capture here. What a run takes besides its
        # weights is bounded by a lane's places and the widest beam: 256 x 16 nodes, whose logits are 0.5 GB for 32,000
        # words and 4.2 GB for 256,000, two or three of them at a time, of the one run that is on the device. Where a
        # device has less, `--max-batch` and `--max-beam-size` are the bounds to lower; until then a run that finds no
        # memory is a `MemoryError`, and its texts are refused as overloaded.
        try:
            if graph == STRIDE:
                return self._said_of(DEVICE_STRIDE, feed), []
            return self._said_of(DEVICE_ASKED if attention or CHOSEN in feed else DEVICE_STEP, feed), []
        except Exception as error:
            raise run_error(graph, error) from error

    def _said_of(self, graph: str, feed: Feed) -> dict[str, Any]:
        rows, pool, plans = feed[front_of(DEVICE_POOL_FIT)]
        same_rows, memory, _ = feed[front_of(DEVICE_MEMORY_FIT)]
        assert rows.equals(same_rows), "both stores were told the same"
        chosen, place = feed.get(CHOSEN), next(iter(memory.values()))
        named = max(1, 0 if chosen is None else chosen.shape[2]) if graph == DEVICE_ASKED else 0
        nodes = feed[IDS].shape[1]
        if graph == DEVICE_STRIDE:
            nodes, last = DEVICE_STRIDE_STEPS, self.manifest.architecture.max_positions - 1
            feed = {**feed, DEPTH: np.minimum(feed[DEPTH] + np.arange(nodes), last)}
        wanted = len(feed[TOP])
        best = min(best_level(wanted), self.manifest.architecture.target_vocabulary)
        sizes = graph, nodes, best, _rounded_chosen(named)
        key = *sizes, place.pointer, place.shape
        plan = plans.get(key)
        if plan is None:
            plan = plans[key] = self._plan(*sizes, pool, memory)
        run, count, views = plan
        at = rows.index
        for name, view in views:
            view[at] = feed[name]
        if chosen is not None:
            run.views[CHOSEN][at, :, : chosen.shape[2]] = chosen
        said = run.run()
        if graph == DEVICE_STRIDE:  # by steps, and then by sources
            answer = {name: value.reshape(nodes, count, -1)[:, at].swapaxes(0, 1) for name, value in said.items()}
        else:
            answer = {name: value.reshape(count, nodes, -1)[at] for name, value in said.items()}
        if wanted < best:
            answer |= {name: answer[name][..., :wanted] for name in (TOPK_LOGP, TOPK_ID)}
        logp = answer[TOPK_LOGP]
        if not math.isfinite(logp.sum()):
            self._note_broken(logp, rows, same_rows)
        found = {name: value.reshape(-1, value.shape[-1]) for name, value in answer.items() if name != ATTENTION}
        if ATTENTION in answer:
            found[ATTENTION] = answer[ATTENTION]
        if chosen is not None:
            found[CHOSEN_LOGP] = found[CHOSEN_LOGP][:, : chosen.shape[2]]
        return found

    def _plan(
        self, graph: str, nodes: int, top: int, named: int, pool: Mapping[str, Resident], memory: Mapping[str, Resident]
    ) -> StepPlan:
        """The fixed run of a step of these sizes, and where what it is sent is written."""
        signature, tensors = self.manifest.graphs[graph], {**pool, **memory}
        count = min(tensor.shape[0] for tensor in tensors.values())
        bound = {
            tensor.name: tensors[tensor.name].front(count) for tensor in signature.inputs if tensor.name in tensors
        }
        sizes = {"G": count, "q": nodes, "n": count * nodes, "k": top, "m": named}
        sizes |= {"T": next(iter(pool.values())).shape[1], "S": next(iter(memory.values())).shape[1]}

        pools = {name: tensor for name, tensor in bound.items() if name.startswith(SELF)}
        if graph == DEVICE_STRIDE:
            into = {written_by(n, name): tensor for n in range(nodes) for name, tensor in pools.items()}
        else:
            into = {written(name): tensor for name, tensor in pools.items()}
        run = self.device.fixed(
            graph,
            {tensor.name: _form(tensor, sizes) for tensor in signature.inputs if tensor.name not in bound},
            bound=bound,
            into=into,
            fetched={tensor.name: _form(tensor, sizes) for tensor in signature.outputs if tensor.name not in into},
        )
        views, slots = run.views, run.views[SLOTS]
        if graph == DEVICE_STRIDE:
            slots = slots.reshape(nodes, count, 2).swapaxes(0, 1)
        else:
            slots = slots.reshape(count, nodes, 2)
        if not run.is_prepared:  # rows that are nobody's read and write their own places
            slots[..., 0] = np.arange(count)[:, None]
            slots[..., 1] = np.arange(nodes)
            views[LENGTHS][:] = 1
            run.is_prepared = True
        sent = [(name, views[name]) for name in (IDS, DEPTH, MASK, SLOT_DEPTH, LENGTHS) if name in views]
        return run, count, [*sent, (SLOTS, slots[..., 1])]

    def _note_broken(self, logp: Array, *stores: DeviceRows) -> None:
        """Rows with numbers that are not finite are nobody's from now on."""
        is_sound = np.isfinite(logp).reshape(len(logp), -1).all(1)
        for g in np.flatnonzero(~is_sound).tolist():
            for rows in stores:
                rows.dead.add(rows[g])

    def prepare(self) -> bool:
        """Capture a run of the lane that asks, where one is still launched as usual."""
        return self.device.prepare() or super().prepare()

    def store(self, declared: Sequence[Tensor], sizes: Mapping[str, int], kind: Hashable = None) -> Store:
        """Tensors in the device's memory."""
        return DeviceStore(self.device, declared, sizes, kind)


def _form(tensor: Tensor, sizes: Mapping[str, int]) -> Form:
    return tuple(n if isinstance(n, int) else sizes[n] for n in tensor.shape), np.dtype(tensor.dtype)


def _mask(view: Array, is_seen: Array) -> None:
    """Write to a mask [G, 1, 1, n] what is seen of its first rows; of all else it may be everything or nothing."""
    rows, size = is_seen.shape
    closed = MASKED if view.dtype == np.float32 else CLOSED
    view[:] = 0
    view[:rows] = closed
    view[:rows, 0, 0, :size] = np.where(is_seen[:, : view.shape[3]], 0, closed)


def _rounded_chosen(words: int) -> int:
    """How many named words a run has for so many."""
    return words and MOST_CHOSEN ** max(1, math.ceil(math.log(words, MOST_CHOSEN)))

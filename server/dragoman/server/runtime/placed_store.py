"""A store in a device's memory whose rows the device's own graphs write: the step its nodes, the join its sources.

Tensors [rows, T, d] lie at addresses that do not change: each has a slab, one allocation that serves the next group of
the same kind, too, and is replaced only where it is too small. Rows and slots come in few sizes, so that few runs have
to be captured; rows stay where they are while others leave (`DeviceRows`). One row more is for what nobody reads.
"""

import math
from collections import defaultdict, deque
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from dragoman.bundle import graphs
from dragoman.bundle.manifest import Tensor
from dragoman.server.core.ports import DeviceWork
from dragoman.server.runtime.buffers import Array, Feed, Resident
from dragoman.server.runtime.device import Device
from dragoman.server.runtime.device_rows import DeviceRows, row_level, rows_of, size_level
from dragoman.server.runtime.fixed_runs import FixedRuns

LEAST_ROWS, LEAST_SIZE = 64, 256
"""Memory is had for as many at once: what is captured while a group grows would know addresses that it then leaves."""
MOST_KINDS = 1024
MOST_FREE = 16
"""Sets that nobody uses: requests choose freely what makes a kind, and there is no end of them."""


FreeSet: TypeAlias = tuple[Hashable, int, dict[str, tuple[Any, int]]]
"""A kind, a number, and values and their bytes by the names of tensors."""


class SlabSet:
    """Memory of one store's tensors, which goes back to the lane once nobody has it."""

    def __init__(self, content: FreeSet, returned: deque[FreeSet]) -> None:
        self._content, self._returned = content, returned
        self.slabs = content[2]
        self.is_given_up = False
        """Numbers that are not finite lie in it: nobody has it again."""

    def __del__(self) -> None:
        if not self.is_given_up:
            self._returned.append(self._content)


class Slabs:
    """The memory of a lane's stores that nobody uses at the moment.

    A store has that of an earlier one of its kind, and of several sets always the first: captured runs know addresses.
    """

    def __init__(self, device: Device, work: DeviceWork) -> None:
        self._device, self._work = device, work
        self._free: list[FreeSet] = []
        self._made: dict[Hashable, int] = {}
        self._returned: deque[FreeSet] = deque()
        """Whoever used one last may be on any thread."""

    def take(self, kind: Hashable) -> SlabSet:
        """A set of this kind, an empty one where none is free."""
        while self._returned:
            self._free.append(self._returned.popleft())
        fitting = min((one for one in self._free if one[0] == kind), key=lambda one: one[1], default=None)
        if fitting is None:
            for _, _, slabs in self._free[: max(0, len(self._free) - MOST_FREE)]:
                self._work.held -= sum(size for _, size in slabs.values())
            del self._free[: max(0, len(self._free) - MOST_FREE)]
            if len(self._made) > MOST_KINDS:
                self._made.clear()
            number = self._made[kind] = self._made.get(kind, -1) + 1
            fitting = kind, number, {}
        else:
            self._free = [one for one in self._free if one is not fitting]
        return SlabSet(fitting, self._returned)

    def grow(self, taken: SlabSet, name: str, size: int) -> Any | None:
        """Have so many bytes for a tensor; what it had before, where that is too small: it is still to be copied."""
        before = taken.slabs.get(name)
        if before is not None and before[1] >= size:
            return None
        taken.slabs[name] = self._device.zero_bytes(size), size
        self._work.held += size - (before[1] if before else 0)
        return before


class EncodedRun(NamedTuple):
    """Hidden rows that a run of the encoder left on the device, until the lane's next one of the same sizes."""

    hidden: Resident
    """[F, S, d]"""
    lengths: Array
    number: int
    """No other run of the lane has it."""


class PlacedStore:
    """Tensors of one kind, rows and slots (or positions) of which grow."""

    def __init__(
        self,
        device: Device,
        plans: FixedRuns,
        slabs: Slabs,
        work: DeviceWork,
        declared: Sequence[Tensor],
        sizes: Mapping[str, int],
        kind: Hashable,
    ) -> None:
        self._device, self._plans, self._slabs_of_lane, self._work = device, plans, slabs, work
        self._declared = declared
        self._least = min(row_level(sizes["G"]), LEAST_ROWS) + 1, LEAST_SIZE
        axis = str(declared[0].shape[1])
        self._graph = graphs.DEVICE_POOL_FIT if axis == "T" else graphs.DEVICE_MEMORY_FIT
        self.rows = DeviceRows()
        self._room, self._size = 1, size_level(sizes[axis])
        self._joining: dict[int, tuple[EncodedRun, int]] = {}  # by the group's row
        self._set = slabs.take((self._graph, kind))
        self._tensors: dict[str, Resident] = {}
        self._fronts: dict[int, Feed] = {}
        self._fit(self._room, self._size)

    def __len__(self) -> int:
        return len(self.rows)

    def __del__(self) -> None:
        self._set.is_given_up = bool(self.rows.dead)

    @property
    def size(self) -> int:
        """Slots or positions of a row."""
        return self._size

    def room(self, size: int) -> int:
        """How many to have where so many are needed."""
        return size_level(size)

    def resize(self, size: int) -> None:
        """Have so many slots or positions."""
        self.join()
        self._fit(self._room, size)

    def admit(self) -> None:
        """One row more, with whatever its last source left: a step sees nothing of it that is not written first."""
        row = self.rows.admit()
        if row >= self._room:
            self.join()
            self._fit(row_level(row + 1), self._size)

    def remove(self, row: int) -> None:
        """The row leaves; the last one takes its place in the group, and stays where it is on the device."""
        last = len(self.rows) - 1
        moved = self._joining.pop(last, None)
        self.rows.remove(row)
        if row != last:
            self._joining.pop(row, None)
            if moved is not None:
                self._joining[row] = moved

    def place(self, row: int, source: tuple[EncodedRun, int]) -> None:
        """The row becomes what the encoder made of this source, before the next run."""
        self._joining[row] = source

    def feed(self) -> Feed:
        """The rows up to the last in use, in one of the few sizes, and which of them are whose."""
        self.join()
        origins, rows = self.rows.compacted()
        if origins:
            self._copy(self._tensors, origins, rows, self._size)
        end = min(row_level(self.rows.end), self._room)
        if end not in self._fronts:
            self._fronts[end] = {name: tensor.front(end) for name, tensor in self._tensors.items()}
        return {**self._fronts[end], rows_of(self._graph): self.rows}

    def join(self) -> None:
        """Make and write the keys and values of those that have joined, run by run."""
        runs: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
        made = {}
        for row, (run, g) in self._joining.items():
            made[run.number] = run
            runs[run.number].append((self.rows[row], g))
        self._joining.clear()
        for number, joining in runs.items():
            self._join(made[number], joining)

    def _join(self, run: EncodedRun, joining: Sequence[tuple[int, int]]) -> None:
        count, positions, width = run.hidden.shape
        hidden = run.hidden.viewed(count * positions, width)
        plan = self._plans.of(
            self._device,
            graphs.DEVICE_JOIN,
            {graphs.TO: ((count * positions, 2), np.dtype(np.int64))},
            bound={graphs.HIDDEN: hidden, **self._whole()},
            into={graphs.written(name): tensor for name, tensor in self._whole().items()},
            fetched={},
            kept={},
        )
        to = plan.views[graphs.TO].reshape(count, positions, 2)
        to[:] = self._room, 0
        for row, g in joining:
            length = int(run.lengths[g])
            to[g, :length, 0], to[g, :length, 1] = row, np.arange(length)
        plan.run(self._work)

    def _whole(self) -> dict[str, Resident]:
        """All rows that there is memory for: runs that write to some are then the same, however many are in use."""
        sizes = {name: self._set.slabs[name][1] for name in self._tensors}
        return {
            name: tensor.front(sizes[name] // (math.prod(tensor.shape[1:]) * tensor.dtype.itemsize))
            for name, tensor in self._tensors.items()
        }

    def _fit(self, room: int, size: int) -> None:
        """Have so many rows and slots; rows keep theirs, as far as there are as many."""
        old, before = self._tensors, self._size
        kept = {}
        self._room, self._size, self._fronts = room, size, {}
        self._tensors = {}
        for tensor in self._declared:
            name, width = tensor.name, int(tensor.shape[2])
            shape, dtype = (room + 1, size, width), np.dtype(tensor.dtype)
            needed = max((room + 1) * size, math.prod(self._least)) * width * dtype.itemsize
            kept[name] = self._slabs_of_lane.grow(self._set, name, needed)
            self._tensors[name] = Resident(self._set, self._set.slabs[name][0].data_ptr(), shape, dtype)
        rows = [
            self.rows[row] for row in range(len(self)) if old and self.rows[row] < next(iter(old.values())).shape[0] - 1
        ]
        if rows and (any(kept.values()) or size != before):
            self._copy(old, rows, rows, min(before, size))

    def _copy(self, old: Mapping[str, Resident], at: Sequence[int], to: Sequence[int], kept: int) -> None:
        """Rows `at` of these tensors become rows `to`, which may lie in the same memory."""
        pads = np.zeros(6, np.int64)
        pads[4] = self._size - kept
        given = {graphs.AT: np.array(at), graphs.TO: np.array(to)[:, None], graphs.KEPT: np.array([kept])}
        fresh = {graphs.incoming(name): tensor for name, tensor in old.items()}
        into = {graphs.written(name): tensor for name, tensor in self._tensors.items()}
        self._device.run(self._graph, {**self._tensors, **fresh, **given, graphs.pads(1): pads}, into=into)

"""A store in a device's memory whose rows the device's own graphs write: the step its nodes, the join its sources.

Tensors [rows, T, d] lie at addresses that do not change: each has a slab, one allocation that serves the next group of
the same kind, too, and is replaced only where it is too small. Rows and slots come in few sizes, so that few runs have
to be captured; rows stay where they are while others leave (`DeviceRows`). One row more is for what nobody reads.
"""

import math
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np

from dragoman.bundle import graphs
from dragoman.bundle.manifest import Tensor
from dragoman.server.runtime.buffers import Feed, Resident
from dragoman.server.runtime.device import Device, FixedRun
from dragoman.server.runtime.device_rows import (
    ENCODED,
    DeviceRows,
    front_of,
    joined_level,
    row_level,
    size_level,
    source_level,
)

LEAST_ROWS = 64
"""Memory is had for as many at once: what is captured while a group grows would know addresses that it then leaves."""
FEW_ROWS, LEAST_SIZE = {"S": 128, "T": 8}, {"S": 128, "T": 256}
"""So many rows have so many slots or positions at least: fewer would be another size to capture and save nothing, as
positions behind a source's last are not read, and all slots of so few rows are read in no time. Where more rows have
fewer slots, a run has no fewer than `LEAST_ROWS` of them.
"""


Front: TypeAlias = tuple[DeviceRows, Mapping[str, Resident], dict[Hashable, Any]]
"""The first rows of a store's tensors, as many as a run takes: whose they are, the tensors, and what runs over them
have made once. It is the same one as long as the tensors lie where they lie.
"""


FAMILIES = {
    "self": (graphs.DEVICE_POOL_FIT, "", ""),
    "cross": (graphs.DEVICE_MEMORY_FIT, graphs.DEVICE_JOIN, graphs.HIDDEN),
    "hidden": (graphs.DEVICE_HIDDEN_FIT, graphs.DEVICE_HIDDEN_JOIN, graphs.incoming(graphs.HIDDEN)),
}
"""By how names of tensors begin: the graph that fits them, the one that writes sources, and its input of their rows."""


class DeviceStore:
    """Tensors of one kind, rows and slots (or positions) of which grow."""

    def __init__(
        self, device: Device, declared: Sequence[Tensor], sizes: Mapping[str, int], kind: Hashable = None
    ) -> None:
        self._device, self._declared = device, declared
        axis = str(declared[0].shape[1])
        self._few, self._least_size = FEW_ROWS[axis], LEAST_SIZE[axis]
        self._level = source_level if axis == "S" else size_level
        self._least = min(row_level(sizes["G"]), LEAST_ROWS) + 1, self._least_size
        self._graph, self._joiner, self._joined = FAMILIES[declared[0].name.partition("_")[0]]
        self.rows = DeviceRows()
        self._room = 1
        self._size = self.room(sizes[axis])
        self._fresh: set[int] = set()
        """Rows that nothing was written to since their source came."""
        self._joining: dict[int, tuple[FixedRun, int]] = {}  # by the group's row: the encoder's run, and its source
        self._slabs = device.slabs
        self._taken = self._slabs.take((self._graph, kind))
        self._tensors: dict[str, Resident] = {}
        self._fronts: dict[int, Front] = {}
        self._fit(self._room, self._size)

    def __len__(self) -> int:
        return len(self.rows)

    def __del__(self) -> None:
        if not self.rows.dead:  # numbers that are not finite lie there: nobody has it again
            self._slabs.returned.append(self._taken)

    @property
    def size(self) -> int:
        """Slots or positions of a row."""
        return self._size

    def room(self, size: int) -> int:
        """How many to have where so many are needed."""
        is_small = max(self._room, row_level(len(self) + 1)) <= self._few
        return self._level(max(size, self._least_size) if is_small else size)

    def expect(self, sources: int, size: int) -> None:
        """Have rows for so many more, and so many slots or positions as they then have."""
        room = row_level(len(self) + sources)
        if room > self._room:
            self._room = room
            self._fit(room, self.room(size))

    def resize(self, size: int) -> None:
        """Have so many slots or positions."""
        self._fit(self._room, size)

    def admit(self, tensors: Mapping[str, Any] = MappingProxyType({})) -> None:
        """One row more, with whatever its last source left: a step sees nothing of it that is not written first."""
        row = self.rows.admit()
        self._fresh.add(row)
        if row >= self._room:
            self._fit(row_level(row + 1), self._size)
        if tensors:
            self.place(len(self) - 1, tensors)

    def remove(self, row: int) -> None:
        """The row leaves; the last one takes its place in the group, and stays where it is on the device."""
        last = len(self.rows) - 1
        moved = self._joining.pop(last, None)
        self.rows.remove(row)
        if row != last:
            self._joining.pop(row, None)
            if moved is not None:
                self._joining[row] = moved

    def place(self, row: int, tensors: Mapping[str, Any]) -> None:
        """The row becomes what the encoder made of this source, before the next run."""
        self._fresh.add(self.rows[row])
        run, g = tensors[ENCODED]
        self._joining[row] = run, g
        self._device.readers.add(self)

    def feed(self) -> Feed:
        """The rows up to the last in use, in one of the few sizes."""
        self.join()
        self._fresh.clear()
        origins, rows = self.rows.compacted()
        if origins:
            self._copy(self._tensors, origins, rows, self._size)
        end = self._end
        if end not in self._fronts:
            tensors = {name: tensor.front(end) for name, tensor in self._tensors.items()}
            self._fronts[end] = self.rows, tensors, {}
        return {front_of(self._graph): self._fronts[end]}

    @property
    def _end(self) -> int:
        """Rows of the next run. A step has as many as its pool has, whatever is in use of the sources' keys."""
        if self._graph == graphs.DEVICE_MEMORY_FIT:
            return self._room
        least = 1 if self._size >= self._least_size else LEAST_ROWS
        return min(max(row_level(self.rows.end), least), self._room)

    def join(self) -> None:
        """Make and write the keys and values of those that have joined, run by run."""
        if not self._joining:
            return
        runs: defaultdict[FixedRun, list[tuple[int, int]]] = defaultdict(list)
        for row, (run, g) in self._joining.items():
            runs[run].append((self.rows[row], g))
        self._joining.clear()
        self._device.readers.discard(self)
        for run, joining in runs.items():
            self._fresh -= {row for row, _ in joining}
            self._join(run, joining)

    def _join(self, run: FixedRun, joining: Sequence[tuple[int, int]]) -> None:
        """Those of one run of the encoder: rows here, and sources there."""
        hidden, lengths = run.kept[graphs.HIDDEN], run.views[graphs.LENGTHS]
        count, positions, width = hidden.shape
        size, whole = joined_level(count * positions), self._whole()
        join = self._device.fixed(
            self._joiner,
            {graphs.TO: ((size, 2), np.dtype(np.int64))},
            bound={self._joined: hidden.viewed(size, width), **whole},
            into={graphs.written(name): tensor for name, tensor in whole.items()},
        )
        to = join.views[graphs.TO]
        to[:, 0], to[:, 1] = 0, self._room * self._size
        for row, g in joining:
            length = int(lengths[g])
            to[g * positions : g * positions + length, 1] = np.arange(row * self._size, row * self._size + length)
        join.run()

    def _whole(self) -> dict[str, Resident]:
        """All positions that there is memory for, as those of a single row: runs that write to some are then the same,
        whatever rows and positions are in use.
        """
        _, _, slabs = self._taken
        return {
            name: Resident(
                tensor.owner,
                tensor.pointer,
                (1, slabs[name][1] // (tensor.shape[2] * tensor.dtype.itemsize), tensor.shape[2]),
                tensor.dtype,
            )
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
            kept[name] = self._slabs.grow(self._taken, name, needed)
            slab, _ = self._taken[2][name]
            self._tensors[name] = Resident(slab, slab.data_ptr(), shape, dtype)
        rows = sorted({*map(self.rows.__getitem__, range(len(self)))} - self._fresh)
        if rows and (any(kept.values()) or size != before):
            self._copy(old, rows, rows, min(before, size))

    def _copy(self, old: Mapping[str, Resident], at: Sequence[int], to: Sequence[int], kept: int) -> None:
        """Rows `at` of these tensors become rows `to`, which may lie in the same memory."""
        pads = np.zeros(6, np.int64)
        pads[4] = self._size - kept
        given = {graphs.AT: np.array(at), graphs.TO: np.array(to)[:, None], graphs.KEPT: np.array([kept])}
        fresh = {graphs.incoming(name): tensor for name, tensor in old.items()}
        into = {graphs.written(name): tensor for name, tensor in self._tensors.items()}
        self._device.write(self._graph, {**self._tensors, **fresh, **given, graphs.PADS: pads}, into=into)

"""Stores in a device's memory: what `pool` and `batch` keep there, written by the bundle's graphs without weights.

Rows are sources, and two more: one for what is written and never read (nodes without children, rows that fill up a
power of two), and one of zeros. Sources that move, and those that begin with zeros, are noted and carried out together
before the next run: a row's origin is a row as it lay before, so that one gather and one scatter do for all of them.

Slots, positions and rows of a run come in powers of two, so that few shapes have to be captured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dragoman.bundle.manifest import Tensor
from dragoman.server.decode.arrays import Ints
from dragoman.server.decode.step import Advance
from dragoman.server.runtime.buffers import EncoderRow, Feed, Resident, rounded
from dragoman.server.runtime.device import NO_INPUTS, Device

SPARE_ROWS = 2


def _full(size: int) -> int:
    return rounded(size, 2 * size)


class _Rows:
    """Named tensors [P, ...] whose rows are sources, and what is to become of the rows."""

    def __init__(self, device: Device, part: str, tensors: Mapping[str, Resident], capacity: int) -> None:
        self.device, self._part, self.capacity = device, part, capacity
        self.scratch, self._zero = capacity, capacity + 1
        self._origins: dict[int, int] = {}
        self.set(tensors)

    def set(self, tensors: Mapping[str, Resident]) -> None:
        """These are the tensors from now on. Each step sees them in the same few ways, which are made once."""
        self.tensors = dict(tensors)
        self.as_rows = {name: tensor.viewed(tensor.shape[0], -1) for name, tensor in tensors.items()}
        self.as_nodes = {name: tensor.viewed(-1, tensor.shape[-1]) for name, tensor in tensors.items()}
        self._fronts: dict[int, Feed] = {}

    def wipe(self, g: int) -> None:
        """Row g becomes zeros."""
        self._origins[g] = self._zero

    def move(self, row: int, to: int) -> None:
        """Row `to` becomes what row `row` is."""
        self._origins[to] = self._origins.get(row, row)

    def forget(self, g: int) -> None:
        """Row g is about to be written as a whole."""
        self._origins.pop(g, None)

    def feed(self, sources: int) -> Feed:
        """The front of all tensors, after what is noted."""
        self.flush()
        rows = rounded(sources, self.capacity)
        if rows not in self._fronts:
            self._fronts[rows] = {name: tensor.front(rows) for name, tensor in self.tensors.items()}
        return dict(self._fronts[rows])

    def flush(self) -> None:
        """Carry out what is noted."""
        if not self._origins:
            return
        rows = rounded(len(self._origins), self.capacity + SPARE_ROWS)
        at, to = np.full(rows, self.scratch), np.full(rows, self.scratch)
        at[: len(self._origins)] = list(self._origins.values())
        to[: len(self._origins)] = list(self._origins)
        self._origins.clear()
        nothing = np.full(rows, self.scratch)  # moves done twice would move on
        self.write(
            "move", self.as_rows, self.as_rows, {"at": at, "to": to[:, None]}, {"at": nothing, "to": nothing[:, None]}
        )

    def write(
        self,
        what: str,
        into: Mapping[str, Resident],
        new: Mapping[str, Resident],
        given: Mapping[str, Ints],
        dry_run: Mapping[str, Ints] = NO_INPUTS,
    ) -> None:
        """Run one of the part's graphs on all tensors."""
        graph = f"{self._part}.{what}"
        sources = {f"from.{name}": tensor for name, tensor in new.items()}
        outputs = {f"{name}.written": tensor for name, tensor in into.items()}
        self.device.run(graph, {**into, **sources, **given}, into=outputs, dry_run=dry_run)

    def fit(self, axes: Mapping[str, int], size: int) -> None:
        """All rows, with so many of the axis of slots or positions."""
        self.flush()
        old, rows = self.tensors, self.capacity + SPARE_ROWS
        self.set(
            {
                name: self.device.zeros((*t.shape[: axes[name]], size, *t.shape[axes[name] + 1 :]), t.dtype)
                for name, t in old.items()
            }
        )
        before = next(old[name].shape[axis] for name, axis in axes.items())
        self.copy(old, np.arange(rows), np.arange(rows), axes, before, size)

    def copy(
        self, old: Mapping[str, Resident], at: Ints, to: Ints, axes: Mapping[str, int], before: int, size: int
    ) -> None:
        """Rows `at` of tensors with `before` slots or positions become rows `to`."""
        kept, pads = min(before, size), {f"pads.{axis}": np.zeros(8, np.int64) for axis in axes.values()}
        for axis in axes.values():
            pads[f"pads.{axis}"][4 + axis] = size - kept
        given = {"at": at, "to": to[:, None], "kept": np.array([kept]), **pads}
        self.write("fit", self.tensors, old, given)


class ResidentSlots:
    """`Slots` on a device."""

    def __init__(
        self, device: Device, names: Sequence[str], shape: tuple[int, int, int, int], dtype: npt.DTypeLike
    ) -> None:
        capacity, heads, slots, width = shape
        capacity = _full(capacity)
        whole = (capacity + SPARE_ROWS, heads, self.room(slots), width)
        self._heads, self._width = heads, width
        self._rows = _Rows(device, "pool", {name: device.zeros(whole, dtype) for name in names}, capacity)

    @property
    def size(self) -> int:
        """See `Slots`."""
        return next(iter(self._rows.tensors.values())).shape[2]

    def room(self, slots: int) -> int:
        """The next power of two."""
        return _full(slots)

    def wipe(self, g: int) -> None:
        """See `Slots`."""
        self._rows.wipe(g)

    def move(self, row: int, to: int) -> None:
        """See `Slots`."""
        self._rows.move(row, to)

    def feed(self, sources: int) -> Feed:
        """See `Slots`."""
        return self._rows.feed(sources)

    def append(self, new: Sequence[Resident], slot: Ints) -> None:
        """See `Slots`."""
        self._write(new, np.arange(len(slot)), np.zeros(len(slot), np.int64), slot)

    def put(self, new: Sequence[Resident], g: Ints, place: Ints, slot: Ints) -> None:
        """See `Slots`."""
        self._write(new, g, place, slot)

    def extend(self, new: Sequence[Resident], starts: Ints, counts: Sequence[int]) -> None:
        """See `Slots`."""
        g = np.repeat(np.arange(len(counts)), counts)
        place = np.concatenate([np.arange(count) for count in counts])
        self._write(new, g, place, starts[g] + place)

    def resize(self, slots: int, sources: int) -> None:  # noqa: ARG002 - whose rows are not read
        """See `Slots`."""
        self._rows.fit(dict.fromkeys(self._rows.tensors, 2), slots)

    def _write(self, new: Sequence[Resident], g: Ints, place: Ints, slot: Ints) -> None:
        rows, _, nodes, _ = new[0].shape
        # What is not kept goes where nobody reads.
        row, at = np.full((rows, nodes), self._rows.scratch), np.zeros((rows, nodes), np.int64)
        row[g, place], at[g, place] = g, slot
        to = (row[:, None] * self._heads + np.arange(self._heads)[:, None]) * self.size + at[:, None]  # [G, H, q]
        into = self._rows.as_nodes
        fresh = {name: one.viewed(-1, self._width) for name, one in zip(into, new, strict=True)}
        self._rows.write("keep", into, fresh, {"to": to.reshape(-1, 1)})


class ResidentStates:
    """States of hypotheses on a device, [G, K, d] each: for recurrent decoders whose roots have zeros."""

    def __init__(self, device: Device, widths: Mapping[str, int], capacity: int, width: int) -> None:
        self._width, capacity = width, _full(capacity)
        whole = {name: device.zeros((capacity + SPARE_ROWS, width, d), np.float32) for name, d in widths.items()}
        self._rows = _Rows(device, "pool", whole, capacity)

    def admit(self, g: int, initial: Mapping[str, Any]) -> None:  # noqa: ARG002 - no such decoder has any
        """A tree's root has zeros."""
        self._rows.wipe(g)

    def move(self, row: int, to: int) -> None:
        """See `TreeNodes`."""
        self._rows.move(row, to)

    def feed(self, sources: int) -> Feed:
        """See `TreeNodes`."""
        return self._rows.feed(sources)

    def keep(self, new: Sequence[Resident], advance: Advance) -> None:
        """Every hypothesis continues from its parent's new state."""
        n, width = advance.parents.shape
        at = np.arange(new[0].shape[0])
        at[: n * width] = (np.arange(n)[:, None] * width + advance.parents).reshape(-1)
        rows = len(at) // width
        into = {name: t.front(rows).viewed(len(at), -1) for name, t in self._rows.tensors.items()}
        fresh = {f"from.{name}": one for name, one in zip(into, new, strict=True)}
        written = {f"{name}.written": t for name, t in into.items()}
        self._rows.device.run("pool.keep", {**fresh, "at": at}, into=written)


class ResidentPositions:
    """`Positions` on a device. Sources that join are noted, and placed before the next run."""

    def __init__(self, device: Device, declared: Sequence[Tensor], capacity: int, positions: int) -> None:
        capacity = _full(capacity)
        self._axes = {one.name: one.shape.index("S") for one in declared}
        sizes = {"G": capacity + SPARE_ROWS, "S": positions}
        whole = {
            one.name: device.zeros(tuple(n if isinstance(n, int) else sizes[n] for n in one.shape), one.dtype)
            for one in declared
        }
        self._rows = _Rows(device, "memory", whole, capacity)
        self._size = positions
        self._joining: dict[int, Mapping[str, EncoderRow]] = {}

    def room(self, positions: int) -> int:
        """The next power of two."""
        return _full(positions)

    def place(self, g: int, tensors: Mapping[str, EncoderRow]) -> None:
        """See `Positions`."""
        self._rows.forget(g)
        self._joining[g] = tensors

    def move(self, row: int, to: int) -> None:
        """See `Positions`."""
        self._joining.pop(to, None)
        if row in self._joining:
            self._rows.forget(to)
            self._joining[to] = self._joining.pop(row)
        else:
            self._rows.move(row, to)

    def feed(self, sources: int) -> Feed:
        """See `Positions`."""
        self._settle()
        return self._rows.feed(sources)

    def resize(self, positions: int, sources: int) -> None:  # noqa: ARG002 - whose rows are not read
        """See `Positions`."""
        self._settle()
        self._rows.fit(self._axes, positions)
        self._size = positions

    def _settle(self) -> None:
        self._rows.flush()
        runs: dict[int, list[int]] = {}  # by the encoder's run that they come from
        first = next(iter(self._axes))
        for g, joining in self._joining.items():
            runs.setdefault(joining[first].tensor.pointer, []).append(g)
        for rows in runs.values():
            tensors = {name: self._joining[rows[0]][name].tensor for name in self._axes}
            at = np.array([self._joining[g][first].g for g in rows])
            before = tensors[first].shape[self._axes[first]]
            self._rows.copy(tensors, at, np.array(rows), self._axes, before, self._size)
        self._joining.clear()

"""A store in a device's memory, written by the bundle's graphs without weights.

Rows are sources, and two more: one for what is written and never read (nodes without children, rows that fill up a
power of two), and one of zeros. Sources that move, that begin with zeros or that come from the encoder are noted and
carried out together before the next run: a row's origin is a row as it lay before, so that one gather and one scatter
do for all of them.

Slots, positions and rows of a run come in powers of two, so that few shapes have to be captured.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from dragoman.bundle import graphs
from dragoman.bundle.manifest import Tensor
from dragoman.server.runtime.buffers import Array, EncoderRow, Feed, Resident, rounded
from dragoman.server.runtime.device import NO_INPUTS, Device
from dragoman.server.runtime.stores import GROWING, growing_axes, shape_of, with_size

SPARE_ROWS = 2


def _full(size: int) -> int:
    """The next power of two."""
    return rounded(size, 2 * size)


class DeviceStore:
    """Tensors that stay where the graphs run."""

    def __init__(self, device: Device, declared: Sequence[Tensor], sizes: Mapping[str, int]) -> None:
        self._device, self._capacity = device, _full(sizes["G"])
        self._scratch, self._zero = self._capacity, self._capacity + 1
        self._axes = growing_axes(declared)
        is_memory = any("S" in tensor.shape for tensor in declared)
        self._move_graph, self._fit_graph = (
            (graphs.MEMORY_MOVE, graphs.MEMORY_FIT) if is_memory else (graphs.POOL_MOVE, graphs.POOL_FIT)
        )
        self._count = 0
        self._origins: dict[int, int] = {}
        self._joining: dict[int, Mapping[str, EncoderRow]] = {}
        whole = {axis: _full(size) if axis in GROWING else size for axis, size in sizes.items()}
        whole["G"] = self._capacity + SPARE_ROWS
        self._set({t.name: device.zeros(shape_of(t, whole), t.dtype) for t in declared})

    def __len__(self) -> int:
        return self._count

    def _set(self, tensors: Mapping[str, Resident]) -> None:
        """These are the tensors from now on. Each step sees them in the same few shapes, which are made once."""
        self._tensors = dict(tensors)
        self._as_rows = {name: tensor.viewed(tensor.shape[0], -1) for name, tensor in tensors.items()}
        self._as_nodes = {name: tensor.viewed(-1, tensor.shape[-1]) for name, tensor in tensors.items()}
        self._fronts: dict[int, Feed] = {}

    @property
    def size(self) -> int:
        """Slots or positions of a row."""
        name, axis = next(iter(self._axes.items()))
        return self._tensors[name].shape[axis]

    def room(self, size: int) -> int:
        """The next power of two."""
        return _full(size)

    def resize(self, size: int) -> None:
        """Copy all rows into larger or smaller tensors."""
        self._settle()
        old, before, every = self._tensors, self.size, np.arange(self._capacity + SPARE_ROWS)
        shapes = {name: with_size(t.shape, self._axes[name], size) for name, t in old.items()}
        self._set({name: self._device.zeros(shapes[name], t.dtype) for name, t in old.items()})
        self._copy(old, every, every, before)

    def admit(self) -> None:
        """One row more, which becomes zeros before the next run."""
        self._origins[self._count] = self._zero
        self._count += 1

    def remove(self, row: int) -> None:
        """The row leaves; the last one takes its place before the next run."""
        self._count = last = self._count - 1
        joining = self._joining.pop(last, None)
        if row == last:
            return
        self._joining.pop(row, None)
        if joining is not None:
            self.place(row, joining)
        else:
            self._origins[row] = self._origins.get(last, last)

    def place(self, row: int, tensors: Mapping[str, EncoderRow]) -> None:
        """The row becomes these tensors, before the next run."""
        self._origins.pop(row, None)
        self._joining[row] = tensors

    def put(self, new: Sequence[Resident], row: Array, node: Array, slot: Array) -> None:
        """The new node node[i] of row[i] goes to slot[i]; what is not kept goes where nobody reads."""
        rows, heads, nodes, width = new[0].shape
        to_row, to_slot = np.full((rows, nodes), self._scratch), np.zeros((rows, nodes), np.int64)
        to_row[row, node], to_slot[row, node] = row, slot
        to = (to_row[:, None] * heads + np.arange(heads)[:, None]) * self.size + to_slot[:, None]  # [G, H, q]
        fresh = {name: tensor.viewed(-1, width) for name, tensor in zip(self._tensors, new, strict=True)}
        self._write(graphs.POOL_KEEP, self._as_nodes, fresh, {graphs.TO: to.reshape(-1, 1)})

    def extend(self, new: Sequence[Resident], starts: Array, counts: Array) -> None:
        """The first counts[g] new nodes of each row g go to the slots from starts[g] on."""
        row = np.repeat(np.arange(len(counts)), counts)
        node = np.arange(len(row)) - np.repeat(counts.cumsum() - counts, counts)
        self.put(new, row, node, starts[row] + node)

    def replace(self, new: Sequence[Resident], origin: Array) -> None:
        """Each hypothesis continues from row origin[g, k] of the new states."""
        at = np.arange(new[0].shape[0])
        at[: origin.size] = origin.reshape(-1)
        rows = len(at) // origin.shape[1]
        outputs = {graphs.written(name): t.front(rows).viewed(len(at), -1) for name, t in self._tensors.items()}
        fresh = {graphs.incoming(name): tensor for name, tensor in zip(self._tensors, new, strict=True)}
        self._device.run(graphs.POOL_KEEP, {**fresh, graphs.AT: at}, into=outputs)

    def feed(self) -> Feed:
        """The rows in use, and as many more as make a power of two, after all that is noted."""
        self._settle()
        full = rounded(self._count, self._capacity)
        if full not in self._fronts:
            self._fronts[full] = {name: tensor.front(full) for name, tensor in self._tensors.items()}
        return dict(self._fronts[full])

    def _settle(self) -> None:
        """Carry out what is noted."""
        if self._origins:
            rows = rounded(len(self._origins), self._capacity + SPARE_ROWS)
            at, to = np.full(rows, self._scratch), np.full(rows, self._scratch)
            at[: len(self._origins)] = list(self._origins.values())
            to[: len(self._origins)] = list(self._origins)
            self._origins.clear()
            nothing = np.full(rows, self._scratch)  # moves done twice would move on
            moves, none = {graphs.AT: at, graphs.TO: to[:, None]}, {graphs.AT: nothing, graphs.TO: nothing[:, None]}
            self._write(self._move_graph, self._as_rows, self._as_rows, moves, dry_run=none)
        if self._joining:
            self._join()

    def _join(self) -> None:
        """Copy the rows of those that come from the encoder, run by run."""
        first = next(iter(self._axes))
        runs: dict[int, dict[int, int]] = {}  # by address: rows, and where the encoder has them
        for row, tensors in self._joining.items():
            tensor, encoder_row = tensors[first]
            runs.setdefault(tensor.pointer, {})[row] = encoder_row
        for origins in runs.values():
            outputs = self._joining[next(iter(origins))]
            encoded = {name: outputs[name][0] for name in self._axes}
            at, to = np.array([*origins.values()]), np.array([*origins])
            self._copy(encoded, at, to, encoded[first].shape[self._axes[first]])
        self._joining.clear()

    def _copy(self, old: Mapping[str, Resident], at: Array, to: Array, before: int) -> None:
        """Rows `at` of tensors with `before` slots or positions become rows `to`."""
        kept = min(before, self.size)
        padding = {graphs.pads(axis): np.zeros(8, np.int64) for axis in self._axes.values()}
        for axis in self._axes.values():
            padding[graphs.pads(axis)][4 + axis] = self.size - kept
        sizes = {graphs.AT: at, graphs.TO: to[:, None], graphs.KEPT: np.array([kept]), **padding}
        self._write(self._fit_graph, self._tensors, old, sizes)

    def _write(
        self,
        graph: str,
        into: Mapping[str, Resident],
        new: Mapping[str, Resident],
        where: Mapping[str, Array],
        dry_run: Mapping[str, Array] = NO_INPUTS,
    ) -> None:
        """Run a graph that writes new numbers into all tensors."""
        fresh = {graphs.incoming(name): tensor for name, tensor in new.items()}
        outputs = {graphs.written(name): tensor for name, tensor in into.items()}
        self._device.run(graph, {**into, **fresh, **where}, into=outputs, dry_run=dry_run)

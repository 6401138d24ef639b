"""Tensors of graphs: this process' arrays, and what lies in a device's memory."""

import math
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Feed = dict[str, Any]
"""A graph's inputs by name, wherever they lie."""
Form: TypeAlias = tuple[tuple[int, ...], np.dtype[Any]]
"""Shape and type."""


class Resident(NamedTuple):
    """A tensor in a device's memory, or a part of one."""

    owner: object
    """Keeps the memory."""
    pointer: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def front(self, rows: int) -> "Resident":
        """The first so many rows."""
        return Resident(self.owner, self.pointer, (rows, *self.shape[1:]), self.dtype)

    def viewed(self, *shape: int) -> "Resident":
        """The same numbers in another shape; one -1 stands for the rest."""
        rest = math.prod(self.shape) // abs(math.prod(shape)) if -1 in shape else 0
        return Resident(self.owner, self.pointer, tuple(rest if n == -1 else n for n in shape), self.dtype)

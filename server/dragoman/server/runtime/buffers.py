"""Tensors in a device's memory, and buffers that wait for the next of their form."""

import math
from collections import deque
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Feed = dict[str, Any]
"""A graph's inputs by name, wherever they lie."""
Form: TypeAlias = tuple[tuple[int, ...], np.dtype[Any]]
"""Shape and type."""

SPARE_BYTES = 1 << 31
"""Bytes of device memory that a lane keeps for the next tensor of the same shape, whose address buckets know."""


class Spares:
    """Buffers of one lane that nobody uses at the moment, the oldest first.

    Whoever used one last may be on any thread, so what comes back waits at the door until the lane itself looks.
    """

    def __init__(self) -> None:
        self._values: list[tuple[Form, Any]] = []
        self._returned: deque[tuple[Form, Any]] = deque()

    def take(self, form: Form) -> Any | None:
        """The one of this form with the lowest address, with whatever it holds.

        So that those who take the same forms in the same order have the same addresses again, which captured runs know.
        """
        while self._returned:
            self._values.append(self._returned.popleft())
        fitting = [n for n, (other, _) in enumerate(self._values) if other == form]
        lowest = min(fitting, key=lambda n: self._values[n][1].data_ptr(), default=None)
        value = None if lowest is None else self._values.pop(lowest)[1]
        while sum(_size(other) for other, _ in self._values) > SPARE_BYTES:
            self._values.pop(0)
        return value

    def put(self, form: Form, value: Any) -> None:
        """Kept for later; the oldest go where there is no room for all."""
        self._returned.append((form, value))


class Loan:
    """A buffer that goes to the spares once nobody refers to it any longer."""

    def __init__(self, value: Any, form: Form, spares: Spares) -> None:
        self._value, self._form, self._spares = value, form, spares

    def __del__(self) -> None:
        self._spares.put(self._form, self._value)


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


EncoderRow: TypeAlias = tuple[Resident, int]
"""An output of the encoder, and which of its rows is a source's."""


def rounded(sources: int, most: int) -> int:
    """Rows of a run for so many sources: the next power of two, at most as many as there can be."""
    return min(most, 1 << max(0, sources - 1).bit_length())


def _size(form: Form) -> int:
    shape, dtype = form
    return math.prod(shape) * dtype.itemsize

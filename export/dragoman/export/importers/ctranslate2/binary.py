"""`model.bin`: CTranslate2's variables, as float32.

    version, name of the kind, revision, how many variables, and of each: its name, rank and axes, type, bytes, numbers;
    how many further names, and of each: itself, and the variable that it stands for

A weight in int8 or int16 has `NAME_scale` beside it, for each row or for all: real = integer / scale.
"""

import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dragoman.export.core.reasons import Reasons
from dragoman.export.importers.ctranslate2.folder import MODEL

OLDEST, NEWEST = 5, 6
NEWEST_REVISION = 7
"""Of the Transformer's variables: the library refuses those above its own."""
TYPES = ("<f4", "|i1", "<i2", "<i4", "<f2", "bfloat16")
MOST_AXES = 4
Floats = npt.NDArray[np.float32]


class _Damaged(Exception):  # noqa: N818 - it never leaves this file
    pass


@dataclass
class Variables:
    """What the file holds, by CTranslate2's names; what was read is counted, so that nothing is left over."""

    version: int
    stored: Mapping[str, npt.NDArray[Any]]
    reasons: Reasons

    def __post_init__(self) -> None:
        self.used: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self.stored

    def scalar(self, *names: str, default: float) -> float:
        """The number under the first of these names that is there."""
        for name in names:
            if name in self.stored:
                self.used.add(name)
                value = self.stored[name]
                if value.size == 1 and math.isfinite(number := float(value.reshape(()))):
                    return number
                self.reasons.add(f"{name} is not one number")
        return default

    def kind(self, name: str) -> str:
        """The letter of a variable's type: f, i."""
        return self.stored[name].dtype.kind

    def read(self, name: str, *ranks: int) -> Floats | None:
        """A tensor with so many axes; None, with a reason, where it is missing, of another form or no numbers."""
        if name not in self.stored:
            self.reasons.add(f"{name} is missing")
            return None
        self.used.add(name)
        value, scale = self.stored[name], self.stored.get(f"{name}_scale")
        if value.ndim not in ranks or not value.size:
            self.reasons.add(f"{name} has the shape {list(value.shape)}, and must have {ranks[0]} axes")
            return None
        real = value.astype(np.float32)
        if scale is not None:
            self.used.add(f"{name}_scale")
            divisor = scale.astype(np.float32).reshape(-1)
            if divisor.size not in (1, len(real)) or not (divisor > 0).all():
                self.reasons.add(f"{name}_scale does not fit {name}")
                return None
            real /= divisor.reshape(-1, *[1] * (real.ndim - 1))
        elif value.dtype.kind == "i":
            self.reasons.add(f"{name} holds integers without {name}_scale")
        if not np.isfinite(real).all():
            self.reasons.add(f"{name} holds numbers that are not finite")
        return real

    def left(self) -> list[str]:
        """What nothing has asked for, without switches that are off."""
        return sorted(n for n in self.stored.keys() - self.used if self.stored[n].ndim or self.stored[n].any())


def read_variables(folder: Path, reasons: Reasons) -> Variables | None:
    """All variables of a folder's model; None with a reason against it."""
    file = folder / MODEL
    try:
        data = np.memmap(file, np.uint8, "r") if file.stat().st_size else np.empty(0, np.uint8)
        reader = _Reader(data)
        version = reader.number("<I")
        if not OLDEST <= version <= NEWEST:
            reasons.add(f"{MODEL} is of version {version}: {OLDEST} and {NEWEST} are read; convert the model again")
            return None
        reader.string()
        revision = reader.number("<I")
        if revision > NEWEST_REVISION:
            reasons.add(f"{MODEL} is of revision {revision}: up to {NEWEST_REVISION} is read, as by CTranslate2 4.8")
            return None
        stored: dict[str, npt.NDArray[Any]] = dict(reader.variables())
        for _ in range(reader.number("<I")):
            alias, name = reader.string(), reader.string()
            if name not in stored:
                raise _Damaged
            stored[alias] = stored[name]
            if f"{name}_scale" in stored:
                stored[f"{alias}_scale"] = stored[f"{name}_scale"]
    except (_Damaged, OSError, UnicodeDecodeError, ValueError):
        reasons.add(f"{MODEL} is damaged or cut off: fetch it again")
        return None
    return Variables(version, stored, reasons)


class _Reader:
    """A place in the file that moves on."""

    def __init__(self, data: npt.NDArray[np.uint8]) -> None:
        self._data, self._at = data, 0

    def bytes(self, count: int) -> npt.NDArray[np.uint8]:
        if count > len(self._data) - self._at:
            raise _Damaged
        self._at += count
        return self._data[self._at - count : self._at]

    def number(self, form: str) -> int:
        (value,) = struct.unpack(form, self.bytes(struct.calcsize(form)).tobytes())
        return int(value)

    def string(self) -> str:
        return self.bytes(self.number("<H")).tobytes().rstrip(b"\0").decode()

    def variables(self) -> Iterator[tuple[str, npt.NDArray[Any]]]:
        for _ in range(self.number("<I")):
            name, rank = self.string(), self.number("<B")
            if rank > MOST_AXES:
                raise _Damaged
            shape = tuple(self.number("<I") for _ in range(rank))
            kind, size = self.number("<B"), self.number("<I")
            if kind >= len(TYPES):
                raise _Damaged
            raw = self.bytes(size)
            if TYPES[kind] == "bfloat16":
                wide = raw.view("<u2").astype(np.uint32) << np.uint32(16)
                yield name, wide.view(np.float32).reshape(shape)
            else:
                yield name, np.frombuffer(raw, TYPES[kind]).reshape(shape)

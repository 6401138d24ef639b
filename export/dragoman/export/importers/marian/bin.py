"""Marian's binary model form (`.bin`), entry by entry.

Little-endian: a version (1), the number N of tensors, N headers of four 64-bit numbers (length of the
name, type, rank, length of the data), the names, the shapes, padding up to a multiple of 256, and the data, in
file order. A header's numbers come from outside: each is compared with what is left of the file before it is used.

Types are a class and an element size. `intgemm8` holds int8 values, then one float32 multiplier, then padding that
is whatever was in memory: it is carried, never read. Real value = integer / multiplier. An ordinary intgemm8 weight
is stored transposed (its shape field says [in, out], its bytes are [out, in]); an embedding is stored as it is.
"""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dragoman.export.core.errors import ExportError

FLOAT32, FLOAT16, INT8, INTGEMM8 = 0x0404, 0x0402, 0x0101, 0x4101

_VERSION = 1
_MAX_RANK = 8
_ALIGNMENT = 256
_HEADER = struct.Struct("<4Q")
_ELEMENT_BYTES = {FLOAT32: 4, FLOAT16: 2, INT8: 1, INTGEMM8: 1}
_MULTIPLIER_BYTES = 4


class MarianFileError(ExportError):
    """A Marian file is damaged, or is none."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{path}: {what}")


@dataclass(frozen=True)
class Item:
    """One entry of a `.bin` file, as its bytes are."""

    name: str
    type: int
    shape: tuple[int, ...]
    data: memoryview
    """Values, what belongs to their type, and padding."""

    @property
    def elements(self) -> int:
        """How many values it has."""
        return math.prod(self.shape)


def read_items(path: Path) -> list[Item]:
    """Every entry of a `.bin` file, in file order. The data are views of one copy of the file."""
    cursor = _Cursor(path)
    version, count = cursor.numbers(2, "the file header")
    if version != _VERSION:
        raise MarianFileError(path, f"not a Marian model: it begins with version {version}, expected {_VERSION}")
    if count * _HEADER.size > cursor.left:
        raise MarianFileError(path, f"{count} tensors announced, but only {cursor.left} bytes follow; it is cut short")
    headers = [_HEADER.unpack(cursor.take(_HEADER.size, "a tensor header")) for _ in range(count)]
    names = [_text(path, cursor.take(length, "a name")) for length, _, _, _ in headers]
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise MarianFileError(path, f"tensors that come twice: {', '.join(twice)}")
    shapes = [_shape(cursor, name, header[2]) for name, header in zip(names, headers, strict=True)]
    (padding,) = cursor.numbers(1, "the length of the padding")
    cursor.take(padding, "padding")
    items = [
        Item(name, header[1], shape, cursor.take(header[3], name))
        for name, header, shape in zip(names, headers, shapes, strict=True)
    ]
    if cursor.left:
        raise MarianFileError(path, f"{cursor.left} bytes follow the last tensor")
    for item in items:
        _check_length(path, item)
    return items


def write_items(path: Path, items: Sequence[Item]) -> None:
    """Write a `.bin` file. What `read_items` gave makes the same bytes again."""
    names = [item.name.encode() + b"\0" for item in items]
    head = struct.pack("<2Q", _VERSION, len(items))
    head += b"".join(
        _HEADER.pack(len(name), item.type, len(item.shape), len(item.data))
        for name, item in zip(names, items, strict=True)
    )
    head += b"".join(names)
    head += b"".join(struct.pack(f"<{len(item.shape)}i", *item.shape) for item in items)
    start = ((len(head) + 8) // _ALIGNMENT + 1) * _ALIGNMENT
    padding = start - len(head) - 8
    with path.open("wb") as file:
        file.write(head + struct.pack("<Q", padding) + bytes(padding))
        for item in items:
            file.write(item.data)


class _Cursor:
    """Takes bytes off the front of a file, and says what was missing when it ends too early."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._data = memoryview(path.read_bytes())

    @property
    def left(self) -> int:
        return len(self._data)

    def take(self, length: int, what: str) -> memoryview:
        if length > len(self._data):
            message = f"cut short or damaged: {what} should have {length} bytes, {len(self._data)} are left"
            raise MarianFileError(self.path, message)
        taken, self._data = self._data[:length], self._data[length:]
        return taken

    def numbers(self, count: int, what: str) -> tuple[int, ...]:
        return struct.unpack(f"<{count}Q", self.take(8 * count, what))


def _text(path: Path, data: memoryview) -> str:
    raw = bytes(data)
    if not raw.endswith(b"\0") or b"\0" in raw[:-1] or not raw[:-1].isascii():
        raise MarianFileError(path, f"damaged: {raw[:40]!r} is not the name of a tensor")
    return raw[:-1].decode("ascii")


def _shape(cursor: _Cursor, name: str, rank: int) -> tuple[int, ...]:
    if rank > _MAX_RANK:
        raise MarianFileError(cursor.path, f"damaged: {name} has {rank} dimensions, at most {_MAX_RANK} are read")
    shape = struct.unpack(f"<{rank}i", cursor.take(4 * rank, f"the shape of {name}"))
    if any(size < 1 for size in shape):
        raise MarianFileError(cursor.path, f"damaged: {name} has the shape {list(shape)}")
    return shape


def _check_length(path: Path, item: Item) -> None:
    size = _ELEMENT_BYTES.get(item.type)
    if size is None:
        raise MarianFileError(
            path,
            f"{item.name} has the type {item.type:#06x}, which is packed for one kind of processor or not known; "
            f"read are float32, float16, int8 and intgemm8: convert it with marian-conv --gemm-type float32",
        )
    needed = item.elements * size + (_MULTIPLIER_BYTES if item.type == INTGEMM8 else 0)
    if needed > len(item.data):
        message = f"damaged: {item.name} {list(item.shape)} needs {needed} bytes, it has {len(item.data)}"
        raise MarianFileError(path, message)

"""Fields of a protobuf message as bytes: as much of the format as ONNX's graphs need, whose own package is not needed
to serve.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple


class Field(NamedTuple):
    """One field of a message."""

    number: int
    value: Any
    """A number, or the bytes of a text or of a message; None of a number of fixed width."""
    raw: memoryview
    """All of it, as it stands in its message."""


def fields(message: memoryview) -> Iterator[Field]:
    """The fields of a message in their order."""
    at = 0
    while (start := at) < len(message):
        tag, at = _varint(message, at)
        match tag & 7:
            case 0:
                value, at = _varint(message, at)
                yield Field(tag >> 3, value, message[start:at])
            case 2:
                size, at = _varint(message, at)
                at += size
                yield Field(tag >> 3, message[at - size : at], message[start:at])
            case 1 | 5 as kind:
                at += 8 if kind == 1 else 4
                yield Field(tag >> 3, None, message[start:at])
            case kind:
                raise ValueError(f"protobuf has no fields of kind {kind}")


def field(number: int, value: int | bytes) -> bytes:
    """A field of a message."""
    if isinstance(value, int):
        return _number(number << 3) + _number(value)
    return _number(number << 3 | 2) + _number(len(value)) + value


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _number(value: int) -> bytes:
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*written, value))

"""Marian's model files, `.bin` or `.npz`, as tensors in their logical orientation.

An ordinary intgemm8 weight is stored transposed (its shape says [in, out], its bytes are [out, in]); an embedding,
which is anything called Wemb, is stored as it is. Real value = integer / multiplier. An `.npz` holds floats only.
"""

import io
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dragoman.export.importers.marian.bin import FLOAT16, FLOAT32, INTGEMM8, Item, MarianFileError, read_items

CONFIG_NAME = "special:model.yml"

_FLOAT_KINDS = {FLOAT32: "<f4", FLOAT16: "<f2"}
# Weights hardly compress; an archive that grows more than this is made to fill the memory.
_MAX_GROWTH, _GROWTH_FLOOR = 32, 64 * 1024 * 1024
_READ_HEADER = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
# What zipfile and numpy raise over damaged bytes; numpy tokenizes some headers as Python 2 would.
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    tokenize.TokenError,
    EOFError,
    ValueError,
    NotImplementedError,
    RuntimeError,
    OSError,
)
# Between these, a multiplier and its inverse are both ordinary float32 numbers.
_MULTIPLIERS = 1e-30, 1e30

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Integers:
    """An int8 tensor in its logical orientation: real = values / multiplier."""

    values: npt.NDArray[np.int8]
    multiplier: float

    def floats(self) -> Floats:
        """The real values."""
        return self.values * np.float32(self.scale)

    @property
    def scale(self) -> float:
        """What values are multiplied with to be real ones."""
        return 1.0 / self.multiplier


@dataclass(frozen=True)
class MarianFile:
    """Tensors of a model file and the training configuration inside it."""

    config: str
    floats: dict[str, Floats]
    integers: dict[str, Integers]


def read_model(path: Path) -> MarianFile:
    """Read a `.bin` or `.npz` model, told apart by their first bytes."""
    try:
        with path.open("rb") as file:
            is_archive = file.read(2) == b"PK"
    except OSError as error:
        raise MarianFileError(path, f"cannot be read: {error.strerror}") from error
    return _read_npz(path) if is_archive else _from_items(path, read_items(path))


def _from_items(path: Path, items: Sequence[Item]) -> MarianFile:
    config: bytes | None = None
    floats: dict[str, Floats] = {}
    integers: dict[str, Integers] = {}
    for item in items:
        if item.name == CONFIG_NAME:
            config = bytes(item.data)
        elif item.type == INTGEMM8:
            integers[item.name] = _integers(path, item)
        elif item.type in _FLOAT_KINDS:
            values = np.frombuffer(item.data, dtype=_FLOAT_KINDS[item.type], count=item.elements)
            floats[item.name] = _finite(path, item.name, values.reshape(item.shape))
        else:
            raise MarianFileError(path, f"{item.name} is plain int8, which is no weight of a Marian model")
    return MarianFile(_config(path, config), floats, integers)


def _integers(path: Path, item: Item) -> Integers:
    values = np.frombuffer(item.data, dtype=np.int8, count=item.elements)
    (multiplier,) = struct.unpack_from("<f", item.data, item.elements)
    if not _MULTIPLIERS[0] < multiplier < _MULTIPLIERS[1]:  # also false for NaN
        raise MarianFileError(path, f"damaged: {item.name} has the quantisation multiplier {multiplier}")
    if "Wemb" in item.name or len(item.shape) != 2:
        return Integers(values.reshape(item.shape), multiplier)
    return Integers(np.ascontiguousarray(values.reshape(item.shape[::-1]).T), multiplier)


def _finite(path: Path, name: str, values: npt.NDArray[Any]) -> Floats:
    result = np.ascontiguousarray(values, dtype=np.float32)
    if not np.isfinite(result).all():
        raise MarianFileError(path, f"damaged: {name} holds values that are not finite")
    return result


def _config(path: Path, data: bytes | None) -> str:
    if data is None:
        raise MarianFileError(path, f"holds no {CONFIG_NAME}; a model that Marian saved for decoding has one")
    try:
        return data.split(b"\0", 1)[0].decode("utf-8")
    except UnicodeDecodeError as error:
        raise MarianFileError(path, f"damaged: {CONFIG_NAME} is not UTF-8 at byte {error.start}") from None


def _read_npz(path: Path) -> MarianFile:
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = _arrays(path, archive)
    except _UNREADABLE as error:
        raise MarianFileError(path, f"not a readable .npz archive: {error}") from error
    config = arrays.pop(CONFIG_NAME, None)
    floats: dict[str, Floats] = {}
    for name, values in arrays.items():
        if values.dtype not in (np.float32, np.float16):
            raise MarianFileError(path, f"{name} is {values.dtype}, expected float32 or float16")
        floats[name] = _finite(path, name, values)
    return MarianFile(_config(path, None if config is None else config.tobytes()), floats, {})


def _arrays(path: Path, archive: zipfile.ZipFile) -> dict[str, npt.NDArray[np.generic]]:
    members = archive.infolist()
    total, limit = sum(member.file_size for member in members), path.stat().st_size * _MAX_GROWTH + _GROWTH_FLOOR
    if total > limit:
        raise MarianFileError(path, f"would grow to {total} bytes when unpacked, the limit is {limit}")
    arrays: dict[str, npt.NDArray[np.generic]] = {}
    for member in members:
        with archive.open(member) as file:
            data = file.read()
        name = member.filename.removesuffix(".npy")
        if name in arrays:
            raise MarianFileError(path, f"{name} comes twice")
        arrays[name] = _array(path, name, data)
    return arrays


def _array(path: Path, name: str, data: bytes) -> npt.NDArray[np.generic]:
    """One `.npy`, after its header has been compared with what follows it: numpy would allocate what it claims."""
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    if version not in _READ_HEADER:
        raise MarianFileError(path, f"{name} has the .npy version {version}, read are 1.0 and 2.0")
    shape, _, dtype = _READ_HEADER[version](stream)
    needed, left = math.prod(shape) * dtype.itemsize, len(data) - stream.tell()
    if dtype.hasobject or needed != left:
        raise MarianFileError(path, f"damaged: {name} {list(shape)} of {dtype} needs {needed} bytes, it has {left}")
    stream.seek(0)
    array: npt.NDArray[np.generic] = np.lib.format.read_array(stream, allow_pickle=False)
    return array

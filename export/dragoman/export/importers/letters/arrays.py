"""The tensors of g2p-en's and e2k's files: exactly those of the network that each package builds, by name and axes.

An archive's heads are read before its arrays: what a head promises must be what the file holds.
"""

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
import torch

from dragoman.export.core.reasons import Reasons, short, some
from dragoman.export.importers.files.tensors import Pickled, Tensors, open_file
from dragoman.export.importers.files.torch_names import UNREADABLE

Floats = npt.NDArray[np.float32]
LARGEST = 1 << 28
"""Bytes of one array: those of the packages have 400 thousand."""
IS_ENCRYPTED = 1
NUMBERS = "fiub"


def read_arrays(path: Path, axes: Mapping[str, int], reasons: Reasons) -> dict[str, Floats]:
    """The tensors that `axes` names; with a reason for each that is missing, of another form or too many."""
    before = len(reasons)
    store = _archive(path, reasons) if path.suffix == ".npz" else open_file(path, reasons)
    if store is None or len(reasons) > before:
        return {}
    tensors = Tensors((path,), dict.fromkeys(store.keys(), store))
    if left := sorted(tensors.names - axes.keys()):
        reasons.add(f"{some('tensor', left)} not known to this model")
    read: dict[str, Floats] = {}
    for name, wanted in axes.items():
        if name not in tensors.names:
            reasons.add(f"{name} is missing: fetch the file again")
            continue
        read[name] = tensors.read(name, reasons)
        shape = list(read[name].shape)
        reasons.require(
            len(shape) == wanted and all(shape), f"{name} has the shape {shape}, and must have {wanted} axes"
        )
    return read


def _archive(path: Path, reasons: Reasons) -> Pickled | None:
    """The arrays of an `.npz`."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            return Pickled({entry.filename.removesuffix(".npy"): _array(archive, entry) for entry in entries})
    except UNREADABLE as error:
        reasons.add(f"damaged or cut off ({short(str(error))}): fetch it again")
        return None


def _array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> torch.Tensor:
    name = entry.filename
    if not name.endswith(".npy") or entry.flag_bits & IS_ENCRYPTED or entry.file_size > LARGEST:
        raise ValueError(f"{short(name)} is no array, encrypted or too large")
    with archive.open(entry) as stream:
        shape, dtype = _head(stream)
        if dtype.kind not in NUMBERS or math.prod(shape) * dtype.itemsize != entry.file_size - stream.tell():
            raise ValueError(f"{short(name)} does not hold what its head says")
    with archive.open(entry) as stream:
        array = np.lib.format.read_array(stream, allow_pickle=False)
    return torch.from_numpy(np.ascontiguousarray(array, array.dtype.newbyteorder("=")).reshape(shape))


def _head(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[np.generic]]:
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    return shape, dtype

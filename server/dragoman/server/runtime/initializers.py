"""The floating-point numbers of a graph, read from its file: ONNX Runtime takes whatever they are.

What is no number goes unseen where it is rounded to integers, as int8 graphs do with it at each layer: their outputs
are numbers, and wrong. So graphs are looked at before they are loaded. Only as much of the format is read as says where
tensors are; the package that reads all of it is not needed to serve.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dragoman.bundle.protobuf import fields

# Numbers of fields in onnx.proto.
GRAPH = 7
NODE, INITIALIZER = 1, 5
ATTRIBUTE = 5
TENSOR, SUBGRAPH, TENSORS, SUBGRAPHS = 5, 6, 10, 11
DATA_TYPE, FLOAT_DATA, NAME, RAW_DATA, DOUBLE_DATA, EXTERNAL_DATA = 2, 4, 8, 9, 10, 13
KEY, VALUE = 1, 2

DTYPES = {1: "<f4", 10: "<f2", 11: "<f8"}
"""ONNX's number of each type; numpy has no bfloat16, which no exporter writes."""


def broken_tensors(model: bytes, folder: Path) -> list[str]:
    """Names of tensors that hold what is no number, or is infinite among others; `folder` has the files of weights."""
    return [name for name, values in floats(model, folder) if not _is_well(values)]


def floats(model: bytes, folder: Path) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """All tensors of floating-point numbers in a model, those of graphs within nodes too, with their names."""
    for graph in _all(memoryview(model), GRAPH):
        for tensor in _tensors(graph):
            facts = _last(tensor)
            dtype = DTYPES.get(facts.get(DATA_TYPE, 0))
            if dtype is not None:
                yield bytes(facts.get(NAME, b"")).decode("utf-8", "replace"), _values(tensor, facts, dtype, folder)


def _is_well(values: npt.NDArray[Any]) -> bool:
    # A single infinity may be a limit or a mask; among weights it is a number that was too large.
    return not np.isnan(values).any() if values.size == 1 else bool(np.isfinite(values).all())


def _tensors(graph: memoryview) -> Iterator[memoryview]:
    yield from _all(graph, INITIALIZER)
    for node in _all(graph, NODE):
        for attribute in _all(node, ATTRIBUTE):
            yield from _all(attribute, TENSOR)
            yield from _all(attribute, TENSORS)
            for number in (SUBGRAPH, SUBGRAPHS):
                for inner in _all(attribute, number):
                    yield from _tensors(inner)


def _values(tensor: memoryview, facts: dict[int, Any], dtype: str, folder: Path) -> npt.NDArray[Any]:
    if EXTERNAL_DATA in facts:
        pairs = [_last(pair) for pair in _all(tensor, EXTERNAL_DATA)]
        where = {bytes(pair[KEY]).decode(): bytes(pair[VALUE]).decode() for pair in pairs}
        size = int(where["length"]) // np.dtype(dtype).itemsize
        return (
            np.memmap(folder / where["location"], dtype, "r", int(where.get("offset", 0)), (size,)) if size else _NONE
        )
    if RAW_DATA in facts:
        return np.frombuffer(facts[RAW_DATA], dtype)
    packed = facts.get(FLOAT_DATA, facts.get(DOUBLE_DATA, b""))
    if isinstance(packed, int):
        return _NONE
    return np.frombuffer(packed, "<f4" if FLOAT_DATA in facts else "<f8")


def _all(message: memoryview, number: int) -> Iterator[memoryview]:
    """Messages and texts under a field's number."""
    return (each.value for each in fields(message) if each.number == number and isinstance(each.value, memoryview))


def _last(message: memoryview) -> dict[int, Any]:
    return {each.number: each.value for each in fields(message) if each.value is not None}


_NONE = np.empty(0, np.float32)

"""Runs of exported graphs in ONNX Runtime, and sources in the forms that graphs take."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from dragoman.bundle.graphs import (
    CANDIDATE_IDS,
    CANDIDATES,
    DEPTH,
    ENCODER,
    IDS,
    INITIAL,
    PLACES,
    ROWS,
    SRC_MASK,
    STATE,
    file_of,
    signature,
)
from dragoman.bundle.manifest import Architecture
from dragoman.bundle.onnx_runtime import onnxruntime, open_graph
from dragoman.export.network.network import MASKED

Arrays = dict[str, npt.NDArray[np.generic]]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


def session(directory: Path, graph: str) -> onnxruntime.InferenceSession:
    """A graph of a bundle on one thread, without the fusion that is slower than what it replaces."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    path = directory / file_of(graph)
    opened: onnxruntime.InferenceSession = open_graph(path.read_bytes(), path.parent, options)
    return opened


def run(runtime: onnxruntime.InferenceSession, names: list[str] | None, feed: Arrays) -> list[Any]:
    """A graph's outputs; what it takes in float16 is rounded on the way in."""
    halves = {tensor.name for tensor in runtime.get_inputs() if tensor.type == "tensor(float16)"}
    outputs: list[Any] = runtime.run(
        names, {name: array.astype(np.float16) if name in halves else array for name, array in feed.items()}
    )
    return outputs


def padded(sources: Sequence[Sequence[int]], pad: int = 0) -> tuple[Ints, Floats]:
    """Sources of any lengths as ids [G, S] and the mask [G, 1, 1, S] of their padding."""
    longest = max(map(len, sources))
    ids = np.full((len(sources), longest), pad, np.int64)
    mask = np.full((len(sources), 1, 1, longest), MASKED, np.float32)
    for g, source in enumerate(sources):
        ids[g, : len(source)] = source
        mask[g, ..., : len(source)] = 0
    return ids, mask


def packed(padded: torch.Tensor, src_mask: torch.Tensor) -> dict[str, torch.Tensor]:
    """Padded ids [G, S] and their mask as the encoder graph takes them: words without their padding."""
    is_word = (src_mask[:, 0, 0] == 0).flatten()
    rows = is_word.nonzero().flatten()
    places = (is_word.cumsum(0) - 1).clamp(min=0).reshape(padded.shape)
    depth = torch.arange(padded.shape[1]).expand_as(padded).flatten()[rows]
    return {IDS: padded.flatten()[rows], DEPTH: depth, ROWS: rows, PLACES: places, SRC_MASK: src_mask}


def encoded(directory: Path, arch: Architecture, source: Arrays) -> Arrays:
    """What a step takes of the encoder graph's outputs, by name."""
    names = [tensor.name for tensor in signature(arch, ENCODER).outputs]
    return remembered(arch, run(session(directory, ENCODER), names, source))


def remembered(arch: Architecture, outputs: Sequence[Any]) -> dict[str, Any]:
    """The encoder's outputs under the names that the step takes them by."""
    named = zip((tensor.name for tensor in signature(arch, ENCODER).outputs), outputs, strict=True)
    return {
        name.replace(INITIAL, STATE): value[:, None] if name.startswith(INITIAL) else value for name, value in named
    }


def looked_up(directory: Path, candidates: npt.NDArray[np.generic]) -> Arrays:
    """The output layer's rows of candidate words as they are stored, by name."""
    runtime = session(directory, CANDIDATES)
    rows = runtime.run(None, {CANDIDATE_IDS: candidates})
    return dict(zip([value.name for value in runtime.get_outputs()], rows, strict=True))

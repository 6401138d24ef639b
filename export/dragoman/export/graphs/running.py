"""Runs of exported graphs, for those who compare or measure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch

from dragoman.bundle.manifest import Architecture
from dragoman.export.graphs.signatures import remembered, signature

Arrays = dict[str, npt.NDArray[np.generic]]


def session(path: Path) -> onnxruntime.InferenceSession:
    """One thread, and without the fusion that is slower than what it replaces."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        path, options, providers=["CPUExecutionProvider"], disabled_optimizers=["SkipLayerNormFusion"]
    )


def run(runtime: onnxruntime.InferenceSession, names: list[str] | None, feed: Arrays) -> list[Any]:
    """A graph's outputs; what it takes in float16 is rounded on the way in."""
    halves = {one.name for one in runtime.get_inputs() if one.type == "tensor(float16)"}
    found: list[Any] = runtime.run(
        names, {name: array.astype(np.float16) if name in halves else array for name, array in feed.items()}
    )
    return found


def packed(padded: torch.Tensor, src_mask: torch.Tensor) -> dict[str, torch.Tensor]:
    """Padded ids [G, S] and their mask as the encoder graph takes them."""
    is_word = (src_mask[:, 0, 0] == 0).flatten()
    rows = is_word.nonzero().flatten()
    places = (is_word.cumsum(0) - 1).clamp(min=0).reshape(padded.shape)
    depth = torch.arange(padded.shape[1]).expand_as(padded).flatten()[rows]
    return {"ids": padded.flatten()[rows], "depth": depth, "rows": rows, "places": places, "src_mask": src_mask}


def encoded(directory: Path, arch: Architecture, source: Arrays) -> Arrays:
    """What a step takes of the encoder graph's outputs, by name."""
    names = [tensor.name for tensor in signature(arch, "encoder").outputs]
    return remembered(arch, run(session(directory / "encoder.onnx"), names, source))

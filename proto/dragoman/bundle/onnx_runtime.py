"""ONNX Runtime, which runs a bundle's graphs, without what it reports to its maker.

Its packages for Linux and macOS do so from 1.29 on, unless the environment says otherwise before they are imported: of
each process and each graph, from threads of their own, with a database in the home directory. So nothing else of
dragoman imports it. Whoever does want to report sets `ORT_DISABLE_TELEMETRY=0`.
"""

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from dragoman.bundle.products import PRODUCT, with_unsigned_sides

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime  # and reads the environment, once

CPU = "CPUExecutionProvider"
SLOW_FUSIONS = ["SkipLayerNormFusion"]
"""On CPU the fused kernel takes several times as long as the addition and the norm that it replaces."""
WEIGHTS_FOLDER = "session.model_external_initializers_file_folder_path"
"""ONNX Runtime's name for where the weights of a graph lie that is given as bytes."""


def open_graph(model: bytes, weights: Path, options: Any, providers: Sequence[Any] = (CPU,)) -> Any:
    """A session of a graph whose weights lie in a folder. Its integer products are exact on every processor."""
    options.add_session_config_entry(WEIGHTS_FOLDER, str(weights))
    if providers[0] == CPU and cuts_off_products():
        model = with_unsigned_sides(model)
    return onnxruntime.InferenceSession(model, options, providers=providers, disabled_optimizers=SLOW_FUSIONS)


@cache
def cuts_off_products() -> bool:
    """Whether this processor cuts off sums of large products of unsigned and signed numbers.

    It is asked for one: a list of the features by which processors are known would never be complete.
    """
    row, column = np.full((1, 64), 255, np.uint8), np.full((64, 1), 127, np.int8)
    found = onnxruntime.InferenceSession(PRODUCT, providers=[CPU]).run(None, {"a": row, "b": column})
    return bool(found[0].item() != 64 * 255 * 127)


__all__ = ["CPU", "cuts_off_products", "onnxruntime", "open_graph"]

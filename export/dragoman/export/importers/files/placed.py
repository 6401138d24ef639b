"""The result of matching a format's tensors with the canonical weights."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dragoman.bundle.manifest import Architecture

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Placed:
    """Canonical weights, and the architecture with what only they could tell."""

    architecture: Architecture
    weights: dict[str, Floats]
    notes: tuple[str, ...]

"""Named tensors of a signature, as inputs of a size and as the arguments that the torch modules take."""

from typing import Any

import torch
from torch import Tensor

from dragoman.bundle.graphs import CROSS, MASK, SELF, STATE
from dragoman.bundle.manifest import Tensor as TensorType


def example(inputs: tuple[TensorType, ...], sizes: dict[str, int]) -> dict[str, Tensor]:
    """Inputs of these sizes, all zero."""
    types = {"float32": torch.float32, "int64": torch.int64}
    sizes = {**sizes, "T+q": sizes.get("T", 0) + sizes.get("q", 0)}
    return {
        t.name: torch.zeros([sizes[a] if isinstance(a, str) else a for a in t.shape], dtype=types[t.dtype])
        for t in inputs
    }


def arguments(given: dict[str, Any]) -> dict[str, Any]:
    """Named tensors as the modules' `forward` takes them: states and cross keys and values as lists."""
    state = [v for n, v in given.items() if n.startswith((STATE, SELF))]
    cross = [v for n, v in given.items() if n.startswith(CROSS)]
    rest = {n: v for n, v in given.items() if not n.startswith((STATE, SELF, CROSS))}
    lists = {"state": state, MASK: given.get(MASK)} if state else {}
    return {**rest, **lists, **({"cross": cross} if cross or state else {})}

"""Whether float16 can hold a network's numbers: what its matrices and norms read and give as it translates.

The sum of all layers' answers goes through the stack without a norm where norms come first, and may grow past what
float16 holds, as it does in some of T5's kind: a bundle would then say nothing, or nonsense, for texts of some kinds.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dragoman.export.calibration.calibrate import fill, translate
from dragoman.export.core.errors import ExportError
from dragoman.export.graphs.running import padded
from dragoman.export.network.cells import Norm
from dragoman.export.network.layers import Affine, Linear
from dragoman.export.network.network import Network

LARGEST = float(np.finfo(np.float16).max)
MARGIN = 2.0
"""Texts that are looked at are few: others may give so many times what these do."""
SOURCES, STEPS = 4, 12


def check_range(network: Network, sources: Sequence[Sequence[int]], *, start_id: int, eos_id: int) -> None:
    """Raise `ExportError` where a number is too large for float16, or would be with some other text."""
    with torch.inference_mode(), _listening(network) as largest:
        ids, src_mask = map(torch.from_numpy, padded(sources[:SOURCES]))
        translate(network, ids, src_mask, start_id, eos_id, lambda *_: None, most=STEPS)
        fill(network, ids, src_mask)
    name = max(largest, key=largest.__getitem__, default="")
    if name and not largest[name] * MARGIN <= LARGEST:
        raise ExportError(
            f"numbers in {name} get as large as {largest[name]:,.0f}, and float16 holds no more than {LARGEST:,.0f}: "
            "export as fp32, which GPUs run, too (there is no bfloat16: ONNX Runtime lacks kernels of it for CUDA)"
        )


@contextmanager
def _listening(network: Network) -> Iterator[dict[str, float]]:
    """Have matrices and norms note the largest number that they read or give, by their names."""
    largest: dict[str, float] = {}

    def listen(name: str) -> Callable[..., None]:
        def note(_: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
            peak = max(
                float(one.abs().nan_to_num(nan=torch.inf, posinf=torch.inf).max()) for one in (inputs[0], output)
            )
            largest[name] = max(largest.get(name, 0.0), peak)

        return note

    kinds = (Linear, Affine, nn.LayerNorm, nn.RMSNorm, Norm)
    hooks = [
        module.register_forward_hook(listen(name))
        for name, module in network.named_modules()
        if isinstance(module, kinds)
    ]
    try:
        yield largest
    finally:
        for hook in hooks:
            hook.remove()

"""Products with the rows of many frozen words, whose results are never in memory all at once.

The logits of a batch are hundreds of megabytes, and all that is wanted of them is a number and a gradient for each
row. Both are computed here in one pass, a few rows at a time, which on a processor stay in its cache.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

ROWS_AT_ONCE = 256
ROWS_AT_ONCE_GPU = 8192


def _parts(x: Tensor) -> Iterator[slice]:
    step = ROWS_AT_ONCE if x.device.type == "cpu" else ROWS_AT_ONCE_GPU
    for start in range(0, len(x), step):
        yield slice(start, min(start + step, len(x)))


class _Divergence(torch.autograd.Function):
    """Sum over rows of the cross-entropy of a student's distribution with the teacher's."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, teacher: Tensor, rows: Tensor, bias: Tensor) -> Tensor:
        """Both are hidden rows [n, d], read by the same output layer."""
        gradient, total = torch.empty_like(x), torch.zeros((), device=x.device)
        for part in _parts(x):
            logp = torch.addmm(bias, x[part], rows.T).float().log_softmax(-1)
            wanted = torch.addmm(bias, teacher[part], rows.T).float().softmax(-1)
            total -= torch.dot(wanted.flatten(), logp.flatten())
            torch.mm(logp.exp_().sub_(wanted).to(x.dtype), rows, out=gradient[part])
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        """The gradient was computed on the way forward."""
        (gradient,) = ctx.saved_tensors
        return gradient * grads[0].to(gradient.dtype), None, None, None


class _LogNormaliser(torch.autograd.Function):
    """log sum exp of each row's logits."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: Tensor, bias: Tensor) -> Tensor:
        """[n, d] -> [n]."""
        gradient, logs = torch.empty_like(x), torch.empty(len(x), device=x.device)
        for part in _parts(x):
            logits = torch.addmm(bias, x[part], rows.T).float()
            logs[part] = logits.logsumexp(-1)
            torch.mm(logits.sub_(logs[part].unsqueeze(-1)).exp_().to(x.dtype), rows, out=gradient[part])
        ctx.save_for_backward(gradient)
        return logs

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        """The mean of the words' rows, weighted by their probability."""
        (gradient,) = ctx.saved_tensors
        return gradient * grads[0].unsqueeze(-1).to(gradient.dtype), None, None


def divergence(x: Tensor, teacher: Tensor, rows: Tensor, bias: Tensor) -> Tensor:
    """Cross-entropy of the words that hidden rows [n, d] predict with those that the teacher's rows predict, summed."""
    total: Tensor = _Divergence.apply(  # type: ignore[no-untyped-call]
        x, teacher, rows.to(x.dtype), bias.to(x.dtype)
    )
    return total


def log_normaliser(x: Tensor, rows: Tensor, bias: Tensor) -> Tensor:
    """The log of the softmax's denominator: hidden rows [n, d] over frozen words [C, d] -> [n], float32."""
    logs: Tensor = _LogNormaliser.apply(  # type: ignore[no-untyped-call]
        x, rows.to(x.dtype), bias.to(x.dtype)
    )
    return logs


@torch.no_grad()
def most_probable(x: Tensor, rows: Tensor, bias: Tensor) -> Tensor:
    """The number of the most probable word of each row: [n, d] -> [n]."""
    rows, bias = rows.to(x.dtype), bias.to(x.dtype)
    return torch.cat([torch.addmm(bias, x[part], rows.T).argmax(-1) for part in _parts(x)])

"""What may be drawn beside what transformers leaves of the same numbers."""

import numpy as np
import pytest
import torch
from transformers import EpsilonLogitsWarper, MinPLogitsWarper, TemperatureLogitsWarper

from dragoman.server.decode.strategies.sampling import Sampling

WORDS = 12


def left(logits: torch.Tensor, *warpers: object) -> list[int]:
    for warper in warpers:
        logits = warper(None, logits[None])[0]  # type: ignore[operator]
    return torch.isfinite(logits).nonzero()[:, 0].tolist()


def drawable(strategy: Sampling, logp: np.ndarray) -> list[int]:
    numbers = np.random.default_rng(1)
    single, words = logp.astype(np.float32), np.arange(WORDS)
    return sorted({strategy.draw(logp, single, words, numbers) for _ in range(6000)})


@pytest.mark.parametrize("seed", range(6))
def test_what_is_cut_off_is_what_transformers_cuts_off(seed: int) -> None:
    """Min p counts after the temperature; epsilon is of the model's own probabilities, which are those without one."""
    logits = torch.from_numpy(np.random.default_rng(seed).normal(size=WORDS))
    logp = torch.log_softmax(logits, 0).numpy()

    for threshold in (0.02, 0.1, 0.3):
        assert drawable(Sampling(0, epsilon=threshold), logp) == left(logits, EpsilonLogitsWarper(threshold))
        assert drawable(Sampling(0, min_p=threshold), logp) == left(logits, MinPLogitsWarper(threshold))
        tempered = left(logits, TemperatureLogitsWarper(0.5), MinPLogitsWarper(threshold))
        assert drawable(Sampling(0, min_p=threshold, temperature=0.5), logp) == tempered

"""The last line of a proof: the graphs beside the library that the checkpoint is from, where that is installed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from dragoman.bundle.manifest import Parity, Precision
from dragoman.export.core.checkpoint import Checkpoint, Oracle
from dragoman.export.proof.parity import TOLERANCE, ParityError, difference
from dragoman.export.proof.walk import Walk

LENGTHS = (1, 5, 12, 9)
STEPS = 12
BEST = 8
"""Words a row whose log-probabilities are compared at each step."""


def prove_source(checkpoint: Checkpoint, oracle: Oracle, directory: Path, precision: Precision) -> tuple[Parity, ...]:
    """Half of the sources go the way that greedy search takes, half read random words; both ways are the library's too.

    Where greedy search finds two words equally good, either may do; so not words are compared, but how much worse than
    the library's best the chosen one is to the library.
    """
    arch, tokenizer = checkpoint.architecture, checkpoint.tokenizer
    rng = np.random.default_rng(11)
    steps = min(STEPS, arch.max_positions)
    lengths = [min(n, arch.max_positions) for n in LENGTHS]
    unusual = (*oracle.avoided_ids, *tokenizer.suppressed_ids, tokenizer.start_id)
    words = np.setdiff1d(np.arange(arch.source_vocabulary), unusual)
    sources = [[*map(int, rng.choice(words, n - 1)), tokenizer.eos_id] for n in lengths]
    targets = np.setdiff1d(np.arange(arch.target_vocabulary), unusual)
    walk = Walk(directory, arch, sources, steps, min(BEST, arch.target_vocabulary))
    read = np.full((len(sources), steps + 1), tokenizer.start_id)
    found = []
    for t in range(steps):
        found.append(walk.read(read[:, t]))
        read[:, t + 1] = rng.choice(targets, len(sources))
        greedy = _first_allowed(found[-1][1], targets)
        read[::2, t + 1] = greedy[::2]
    theirs = oracle.log_probabilities(sources, read[:, :-1])
    ours, ids = (np.stack(part, 1) for part in zip(*found, strict=True))
    allowed = theirs[..., targets].max(-1)
    loss = allowed - np.take_along_axis(theirs, read[:, 1:, None], -1)[..., 0]
    logps = difference(np.take_along_axis(theirs, ids, -1), ours, precision)
    tolerance = TOLERANCE[precision]
    lines = [Parity(oracle.name, "log-probabilities", logps, tolerance)]
    if precision == "fp32":
        lines.append(Parity(oracle.name, "greedy search", float(loss[::2].max()), tolerance))
    failed = [f"{p.tensor} differ by {p.max_difference:.3g}, allowed {p.tolerance:.3g}" for p in lines]
    if not all(p.max_difference <= p.tolerance for p in lines):
        raise ParityError(f"the exported graphs do not compute what {oracle.name} computes: {'; '.join(failed)}")
    return tuple(lines)


def _first_allowed(ids: npt.NDArray[np.int64], allowed: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Of each row's words, best first, the first that may be put out."""
    place = np.isin(ids, allowed).argmax(1)
    return np.take_along_axis(ids, place[:, None], 1)[:, 0]

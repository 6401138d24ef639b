"""The last part of a proof: the graphs beside the library that the checkpoint is from, where that is installed."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from dragoman.bundle.manifest import Parity, Precision
from dragoman.export.core.checkpoint import Checkpoint, Oracle
from dragoman.export.network.window import several_blocks
from dragoman.export.proof.parity import TOLERANCE, ParityError, difference
from dragoman.export.proof.stepping import Stepper

LENGTHS = (1, 5, 12, 9)
STEPS = 12
BEST = 8
"""How many words' log-probabilities are compared in each row of each step."""


def prove_source(checkpoint: Checkpoint, oracle: Oracle, directory: Path, precision: Precision) -> tuple[Parity, ...]:
    """Half of the sources read what greedy search chooses, half read random words, and the library reads the same.

    Where greedy search finds two words equally good, either may do. So words are not compared, but how much worse than
    its own best word the library finds the chosen one.
    """
    arch, tokenizer = checkpoint.architecture, checkpoint.tokenizer
    rng = np.random.default_rng(11)
    steps = min(STEPS, arch.max_positions)
    lengths = [min(n, arch.source_positions) for n in (*LENGTHS, several_blocks(arch)) if n]
    unusual = (*oracle.avoided_ids, *tokenizer.suppressed_ids, tokenizer.start_id)
    words = np.setdiff1d(np.arange(arch.source_vocabulary), unusual)
    end = [tokenizer.eos_id] * tokenizer.source_end
    sources = [[*map(int, rng.choice(words, n - len(end))), *end] for n in lengths]
    targets = np.setdiff1d(np.arange(arch.target_vocabulary), unusual)
    stepper = Stepper(directory, arch, sources, steps, min(BEST, arch.target_vocabulary))
    read = np.full((len(sources), steps + 1), tokenizer.start_id)
    answers = []
    for t in range(steps):
        answers.append(stepper.read(read[:, t]))
        read[:, t + 1] = rng.choice(targets, len(sources))
        greedy = _first_allowed(answers[-1][1], targets)
        read[::2, t + 1] = greedy[::2]
    theirs = oracle.log_probabilities(sources, read[:, :-1])
    ours, ids = (np.stack(part, 1) for part in zip(*answers, strict=True))
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
    """The first word of each row, best first, that may be emitted."""
    rank = np.isin(ids, allowed).argmax(1)
    return np.take_along_axis(ids, rank[:, None], 1)[:, 0]

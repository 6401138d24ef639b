"""How much one run of a graph may compute at a time: what is more goes into several runs, which say the same.

The largest tensors of a run are the logits of its rows, and in attention the scores of all that attend to all that they
may attend to. A run holds two or three of the one kind or the other at a time.
"""

from dragoman.bundle.manifest import Architecture

MAX_LOGITS = 1 << 23
"""Rows times words: 32 MB."""
MAX_SCORES = 1 << 22
"""Heads times those that attend times what they attend to, in one layer: 16 MB."""


def sources_of_a_run(arch: Architecture, *, rows: int, seen: int, words: int | None = None) -> int:
    """How many sources go into one run, where each has so many rows, each of these attends to so many positions, and
    says so many words, by default all; one at least.
    """
    logits = rows * (arch.target_vocabulary if words is None else words)
    scores = max(1, rows * seen * max(1, arch.heads))  # without attention nothing is seen
    return max(1, min(MAX_LOGITS // logits, MAX_SCORES // scores))

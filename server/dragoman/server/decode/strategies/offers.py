"""Which continuations each beam is offered: ranked, drawn at random, taken in turn, or one alternative each.

Arrays have the beams of all sources as first axis, a source's own in a row, and all continuations of a beam's places
as second. Of an equal score, the lower place comes first, then what the decoder names first.
"""

from dataclasses import dataclass

import numpy as np

from dragoman.server.decode.arrays import Floats, Floats32, Ints


@dataclass(frozen=True)
class Offers:
    """Continuations of each beam [N, C], best first."""

    score: Floats
    word: Ints
    logp: Floats32
    parent: Ints
    """A place of the source's newest level."""


def ranked(scores: Floats, count: int) -> Ints:
    """The best `count` of each beam [N, count], as indices."""
    best: Ints = scores.argmax(1)[:, None] if count == 1 else (-scores).argsort(axis=1, kind="stable")[:, :count]
    return best


def let_only_the_best_end(found: Offers, row: int, eos_id: int, instead: int) -> None:
    """CTranslate2's rule for the step after a forced prefix: a lower candidate that ends dies, but keeps its place."""
    dies = found.word[row] == eos_id
    dies[0] = False
    found.score[row, dies] = -np.inf
    found.word[row, dies] = instead

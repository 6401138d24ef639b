"""Which continuations each beam is offered: ranked, drawn at random, taken in turn, or one alternative each.

Arrays have the beams of all sources as first axis, a source's own in a row, and all continuations of a beam's places
as second. Of an equal score, the lower place comes first, then what the decoder names first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dragoman.server.core.strategies import Alternatives, Sample
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


def drawn(strategy: Sample, scores: Floats, words: Ints, draw: np.random.Generator) -> int:
    """The index of one continuation of one beam, drawn in proportion to its probability."""
    order = np.lexsort((words, -scores))[: strategy.top_k]
    order = order[scores[order] > -np.inf]
    if not len(order):
        return 0
    total = np.exp((scores[order] - scores[order[0]]) / strategy.temperature).cumsum()
    if strategy.top_p < 1.0:  # the smallest set with that much, its last word included
        total = total[: np.searchsorted(total, strategy.top_p * total[-1]) + 1]
    at = np.searchsorted(total, draw.random() * total[-1], side="right")
    return int(order[min(int(at), len(total) - 1)])


def in_turn(penalty: float, scores: Floats, words: Ints, room: Ints, count: int) -> Ints:
    """As `ranked` of one source's beams, one after the other; `room` says how many of its best each will take.

    Each time that an earlier beam chose a word costs `penalty`, in `scores`, too: it stays with the hypothesis.
    """
    order = np.zeros((len(scores), count), np.int64)
    taken: list[int] = []
    for beam, own in enumerate(scores):
        for word in taken:
            own[words[beam] == word] -= penalty
        order[beam] = ranked(own[None], count)[0]
        chosen = order[beam, : room[beam]]
        taken += words[beam, chosen[own[chosen] > -np.inf]].tolist()
    return order


def part(strategy: Alternatives, found: Offers, scores: Floats, words: Ints, logp: Floats32) -> None:
    """Give each of one source's beams one of the best continuations of its first place, and nothing else.

    The best is always among them, how improbable it may be.
    """
    found.score[:] = -np.inf
    found.parent[:] = 0
    for beam, at in enumerate(ranked(scores[None], strategy.count)[0].tolist()):
        if beam == 0 or np.exp(logp[at]) >= strategy.min_probability:
            found.score[beam, 0] = scores[at]
            found.word[beam, 0], found.logp[beam, 0] = words[at], logp[at]


def let_only_the_best_end(found: Offers, row: int, eos_id: int, instead: int) -> None:
    """CTranslate2's rule for the step after a forced prefix: a lower candidate that ends dies, but keeps its place."""
    dies = found.word[row] == eos_id
    dies[0] = False
    found.score[row, dies] = -np.inf
    found.word[row, dies] = instead

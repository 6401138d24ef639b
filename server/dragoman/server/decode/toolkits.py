"""The search rules of four toolkits: which candidates end, which live on, and when a beam is over.

A beam of width W is offered its best continuations, highest score first.

  marian   The best W, less one for each hypothesis that has ended: the beam narrows and is over when it is empty.
  fairseq  Of the best 2W, those among the first W that end are hypotheses, the first W of them in all; the first W that
           do not end live. At the length limit only the end token may come.
  hf       As fairseq, but all that end among the first W count. By default the beam is over when the best live
           hypothesis could not beat the worst of the W best at its present length. What is open at the limit counts.
  ct2      As hf, but the beam is over with patience times W hypotheses; without any penalty, as soon as the best
           candidate has ended and enough hypotheses have. Suppressed words are taken out before normalisation.

A beam of width 1 is greedy search in all of them: it is over when its best continuation ends.
"""

import math

import numpy as np

from dragoman.bundle.manifest import Decoding, Profile
from dragoman.server.core.segments import Hypothesis
from dragoman.server.decode.arrays import Bools, Floats, Floats32, Ints

UNLIMITED = 1 << 30


def num_candidates(profile: Profile, width: int) -> int:
    """How many of its best continuations a beam is offered."""
    return width if profile == "marian" or width == 1 else 2 * width


def enough(decoding: Decoding, width: int) -> int:
    """How many hypotheses the rule `first` waits for."""
    return max(1, math.floor(width * decoding.patience + 0.5))


def room(decoding: Decoding, width: int) -> int:
    """How many hypotheses a beam has room for; more are not even looked at."""
    if decoding.profile == "fairseq" and decoding.early_stopping == "first":
        return enough(decoding, width)
    return width if decoding.profile == "marian" or width == 1 else UNLIMITED


def choose(
    profile: Profile, width: int, scores: Floats, is_end: Bools, at_limit: Bools, room: Ints
) -> tuple[Bools, Ints | None, Bools]:
    """Divide candidates [N, C], best first. `at_limit` and `room`, what is left of it, [N].

    Those that are hypotheses now, as they end or are open at the length limit; the candidates that take the beam's
    places [N, W], None where each takes its own; and the places that are taken by a candidate that lives on [N, W].
    """
    possible = scores > -np.inf
    is_last = is_end | at_limit[:, None]
    if num_candidates(profile, width) == width:
        possible &= np.arange(width) < room[:, None]
        ended = possible & is_last
        return ended, None, possible ^ ended
    ended = possible & is_last
    ended[:, width:] = False
    if profile == "fairseq":
        ended &= ended.cumsum(1) <= room[:, None]
    places = is_last.argsort(axis=1, kind="stable")[:, :width]
    rows = np.arange(len(places))[:, None]
    return ended, places, (possible & ~is_last)[rows, places]


def ranking(decoding: Decoding, logp: float, length: int) -> float:
    """What a hypothesis of this summed score and length, the end token included, is ranked by."""
    base = float(length) if decoding.length_penalty_kind == "power" else (5.0 + length) / 6.0
    return float(logp / base**decoding.length_penalty + decoding.word_penalty * length)


def coverage(attention: Floats32) -> float:
    """The log of what each source word got of the attention [n, S], as far as that is below 1; 0 for no attention."""
    total = attention.sum(0, dtype=np.float64)
    return float(np.log(np.minimum(total[total > 0], 1.0)).sum())


class BeamResults:
    """What has ended in one beam, and whether it is over."""

    def __init__(self, decoding: Decoding, *, width: int, wanted: int) -> None:
        self._decoding, self._width, self._wanted = decoding, width, wanted
        has_penalty = decoding.length_penalty or decoding.coverage_penalty or decoding.word_penalty
        self._stops_at_top = decoding.profile == "ct2" and not has_penalty
        self._top_has_ended = False
        self.ended: list[Hypothesis] = []
        """Those of use, best first; of equals, what ended first."""

    def __repr__(self) -> str:
        return f"<BeamResults {self._width} wide, {len(self.ended)} ended>"

    def end(self, hypothesis: Hypothesis, *, is_top: bool) -> None:
        """A hypothesis has ended; `is_top` where no candidate of the step had a higher score."""
        self._top_has_ended |= is_top
        self.ended.append(hypothesis)
        self.ended.sort(key=lambda h: h.rank)
        del self.ended[max(self._width, enough(self._decoding, self._width), self._wanted) :]

    @property
    def may_be_over(self) -> bool:
        """Whether enough have ended; what lives decides over the rest."""
        return len(self.ended) >= self._least

    def is_over(self, best_live: float, length: int, limit: int) -> bool:
        """Whether it may stop, given the best summed score of its live hypotheses, their length and its limit."""
        if not self.may_be_over:
            return False
        worst = self.ended[self._least - 1].score
        match self._decoding.early_stopping:
            case _ if self._width == 1:
                return True
            case "first":
                return self._top_has_ended or not self._stops_at_top
            case "heuristic":
                return ranking(self._decoding, best_live, length) <= worst
            case "exhaustive":
                return self._bound(best_live, length, limit) <= worst

    @property
    def _least(self) -> int:
        if self._width == 1:
            return 1
        match self._decoding.early_stopping:
            case "first":
                return min(self._wanted, self._width) if self._stops_at_top else enough(self._decoding, self._width)
            case "heuristic":
                return self._width
            case "exhaustive":
                return self._wanted

    def _bound(self, best_live: float, length: int, limit: int) -> float:
        """No live hypothesis can come to rank above this: sums only fall, and each part is taken at its best length."""
        decoding = self._decoding
        if decoding.repetition_penalty < 1.0:  # a reward: sums may rise
            return math.inf
        lengths = (length + 1, limit)
        best = max(ranking(decoding, best_live, n) - decoding.word_penalty * n for n in lengths)
        return best + max(decoding.word_penalty * n for n in lengths)

"""Whether speculation pays: what a token costs with drafts and without, by how many sources share the steps.

A round with drafts takes longer than a plain step, and puts out more than one token for each source. At few sources it
pays, because a step costs about as much for several words as for one; at many it does not. Both are measured as the
server runs, in stretches of rounds: a whole translation may be drafted in a source's first round, and must not be held
against that round alone. Every so often a short stretch goes the other way, so that what changes is noticed.
Lanes write here without a lock: a measurement that gets lost does no harm.
"""

from __future__ import annotations

TRIAL_ROUNDS = 48
"""How long either way is gone before they are compared, and the other way every so often: a few whole translations, as
what is drafted once for a translation weighs the more the less of it is left."""
PROBE_ROUNDS = 480
"""How long the better way is gone until the other one is tried again."""
FADES = 0.02
"""Weight of the newest round: what is known is that of as many as a trial has."""


def bucket(sources: int) -> int:
    """Sizes that are measured together: up to the next power of two."""
    return 1 << max(0, sources - 1).bit_length()


class _Price:
    """Seconds a token of each source, of the last rounds."""

    def __init__(self) -> None:
        self._seconds, self._tokens = 0.0, 0.0

    def __bool__(self) -> bool:
        return self._tokens > 0

    def note(self, seconds: float, tokens: float) -> None:
        self._seconds += FADES * (seconds - self._seconds)
        self._tokens += FADES * (tokens - self._tokens)

    @property
    def value(self) -> float:
        return self._seconds / self._tokens


class _Size:
    """One size: both prices, and the way that is gone now."""

    def __init__(self) -> None:
        self.plain, self.speculative = _Price(), _Price()
        self.is_speculative, self._left, self._is_trial = True, TRIAL_ROUNDS, True

    @property
    def is_known(self) -> bool:
        return bool(self.plain and self.speculative)

    @property
    def pays(self) -> bool:
        return self.speculative.value < self.plain.value

    def next(self) -> bool:
        """Whether the next round speculates."""
        if self._left <= 0 and self._is_trial and self.is_known:
            self.is_speculative, self._left, self._is_trial = self.pays, PROBE_ROUNDS, False
        elif self._left <= 0:
            self.is_speculative, self._left, self._is_trial = not self.is_speculative, TRIAL_ROUNDS, True
        self._left -= 1
        return self.is_speculative


class Costs:
    """What one way of drafting costs, for one bundle."""

    def __init__(self) -> None:
        self._sizes: dict[int, _Size] = {}

    def __repr__(self) -> str:
        return f"<Costs of {sorted(self._sizes)} sources, stops at {self.stops_at}>"

    def wants_drafts(self, sources: int) -> bool:
        """Whether the next round of so many sources shall speculate."""
        return self._sizes.setdefault(bucket(sources), _Size()).next()

    def note_plain(self, sources: int, seconds: float, tokens: int) -> None:
        """A round without drafts took so long, and all sources together got so many tokens."""
        self._sizes.setdefault(bucket(sources), _Size()).plain.note(seconds, tokens / sources)

    def note_speculative(self, sources: int, seconds: float, tokens: int) -> None:
        """A round with drafts took so long, and all sources together got so many tokens."""
        self._sizes.setdefault(bucket(sources), _Size()).speculative.note(seconds, tokens / sources)

    @property
    def stops_at(self) -> int | None:
        """The fewest sources at which it does not pay; None where it did at all that were seen."""
        known = [size for size, one in list(self._sizes.items()) if one.is_known and not one.pays]
        return min(known, default=None)

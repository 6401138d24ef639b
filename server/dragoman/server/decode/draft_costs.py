"""Whether speculation pays: what a token costs with drafts and without, by how many sources share the steps.

A round with drafts takes longer than a plain step, and puts out more than one token for each source. At few sources it
pays, because a step costs about as much for several words as for one; at many it does not. Both are measured as the
server runs, in stretches of rounds: a whole translation may be drafted in a source's first round, and must not be held
against that round alone. Every so often a short stretch goes the other way, so that what changes is noticed.
Lanes write here without a lock: a measurement that gets lost does no harm.
"""

from collections import defaultdict

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


class _Size:
    """Rounds of one size, plain (False) and with drafts (True): what each kind costs, and which one goes now."""

    def __init__(self) -> None:
        self._seconds, self._tokens = {False: 0.0, True: 0.0}, {False: 0.0, True: 0.0}
        self._is_drafted, self._left, self._is_trial = True, TRIAL_ROUNDS, True

    def note(self, seconds: float, tokens: float, *, is_drafted: bool) -> None:
        """A round took so long, and each source got so many tokens."""
        self._seconds[is_drafted] += FADES * (seconds - self._seconds[is_drafted])
        self._tokens[is_drafted] += FADES * (tokens - self._tokens[is_drafted])

    @property
    def pays(self) -> bool | None:
        """Whether a token costs less with drafts; None until both kinds are known."""
        if not all(self._tokens.values()):
            return None
        return self._seconds[True] / self._tokens[True] < self._seconds[False] / self._tokens[False]

    def next(self) -> bool:
        """Whether the next round has drafts."""
        if self._left <= 0:
            pays = self.pays if self._is_trial else None
            self._is_trial = pays is None
            self._is_drafted = not self._is_drafted if pays is None else pays
            self._left = TRIAL_ROUNDS if pays is None else PROBE_ROUNDS
        self._left -= 1
        return self._is_drafted


class Costs:
    """What one way of drafting costs, for one bundle; or whether it pays is `settled` without a look at that."""

    def __init__(self, settled: bool | None = None) -> None:  # noqa: FBT001 - it is all that there is to say
        self._settled = settled
        self._sizes: defaultdict[int, _Size] = defaultdict(_Size)

    def __repr__(self) -> str:
        return f"<Costs of {sorted(self._sizes)} sources, stops at {self.stops_at}>"

    def wants_drafts(self, sources: int) -> bool:
        """Whether the next round of so many sources shall speculate."""
        return self._sizes[bucket(sources)].next() if self._settled is None else self._settled

    def note(self, sources: int, seconds: float, tokens: int, *, is_drafted: bool) -> None:
        """A round took so long, and all sources together got so many tokens."""
        self._sizes[bucket(sources)].note(seconds, tokens / sources, is_drafted=is_drafted)

    @property
    def stops_at(self) -> int | None:
        """The fewest sources at which it does not pay; None where it did at all that were seen."""
        return min((sources for sources, size in list(self._sizes.items()) if size.pays is False), default=None)

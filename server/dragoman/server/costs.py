"""Whether speculation pays: what steps with and without drafts cost, by how many sources share them.

A round with drafts puts out `tau` tokens for each source, one without puts out one. So it pays exactly as long as

    tau x seconds of a plain step  >  seconds of drafting and verifying

which at few sources it does, because a step costs about as much for several words as for one, and at many does not.
All three are measured as the server runs; every so often the other way is tried, so that what changes is noticed.
Lanes write here without a lock: a measurement that gets lost does no harm.
"""

from __future__ import annotations

SAMPLES = 3
"""Measurements of either way before they are compared."""
PROBE_ROUNDS = 64
"""After so many rounds at one size the other way is tried once."""
FADES = 0.1
"""Weight of the newest measurement."""


def bucket(sources: int) -> int:
    """Sizes that are measured together: up to the next power of two."""
    return 1 << max(0, sources - 1).bit_length()


def pays(tokens: float, plain_s: float, speculative_s: float) -> bool:
    """Whether a round with drafts is worth it; see the module's text."""
    return tokens * plain_s > speculative_s


class _Mean:
    """A running mean."""

    def __init__(self) -> None:
        self.value, self.samples = 0.0, 0

    def note(self, value: float) -> None:
        self.samples += 1
        weight = max(FADES, 1 / self.samples)
        self.value += weight * (value - self.value)


class _Size:
    def __init__(self) -> None:
        self.plain_s, self.speculative_s, self.tokens, self.rounds = _Mean(), _Mean(), _Mean(), 0

    @property
    def is_known(self) -> bool:
        return min(self.plain_s.samples, self.speculative_s.samples) >= SAMPLES

    @property
    def pays(self) -> bool:
        return pays(self.tokens.value, self.plain_s.value, self.speculative_s.value)


class Costs:
    """Of one way of drafting, for one bundle."""

    def __init__(self) -> None:
        self._sizes: dict[int, _Size] = {}

    def __repr__(self) -> str:
        return f"<Costs of {sorted(self._sizes)} sources, stops at {self.stops_at}>"

    def wants_drafts(self, sources: int) -> bool:
        """Whether the next round of so many sources shall speculate."""
        size = self._sizes.setdefault(bucket(sources), _Size())
        if not size.is_known:
            return size.speculative_s.samples < SAMPLES
        size.rounds += 1
        return size.pays != (size.rounds % PROBE_ROUNDS == 0)

    def note_plain(self, sources: int, seconds: float) -> None:
        """A step without drafts took so long."""
        self._sizes.setdefault(bucket(sources), _Size()).plain_s.note(seconds)

    def note_speculative(self, sources: int, seconds: float, tokens: int) -> None:
        """A round with drafts took so long, and all sources together got so many tokens."""
        size = self._sizes.setdefault(bucket(sources), _Size())
        size.speculative_s.note(seconds)
        size.tokens.note(tokens / sources)

    @property
    def stops_at(self) -> int | None:
        """The fewest sources at which it does not pay; None where it did at all that were seen."""
        known = [size for size, one in list(self._sizes.items()) if one.is_known and not one.pays]
        return min(known, default=None)

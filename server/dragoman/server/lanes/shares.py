"""Shares: who of those that share a lane's time goes next.

It is the one that has had the least time, each for its weight. A newcomer begins at the clock, which is the time of
whoever went last: it neither catches up on what it was not there for, nor waits for the others' past. So one of light
work beside one of heavy work waits for no more than what is under way, and then has its turns until both have had the
same time; among n of equal weight each takes n times as long as alone, however long the turns of the others are.

Whose turns serve n sources at once has a weight of the root of n: shares in proportion to the roots are those under
which all sources together are slowed down the least. (With shares p of n sources and 1 - p of m, the slowdowns add up
to n / p + m / (1 - p), which is least for p : 1 - p as the roots of n : m.) In proportion to the sources, a single one
beside thirty would take 31 times as long as alone, and the thirty would gain next to nothing by it; with equal shares
it would take twice as long, and so would all thirty.
"""

from collections.abc import Collection, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Shares(Generic[K]):
    """The time that each has had, for its weight."""

    def __init__(self) -> None:
        self._clock = 0.0
        self._had: dict[K, float] = {}

    def __repr__(self) -> str:
        return f"<Shares at {self._clock:g}, {self._had}>"

    def next(self, present: Collection[K]) -> K:
        """Of those that are present, the one that has had least; of equals, the first."""
        had, clock = self._had, self._clock
        # One that left is remembered as long as it has had more than a newcomer: it gains nothing by coming back.
        if len(had) > len(present):
            had = self._had = {key: time for key, time in had.items() if time > clock}
        for key in present:
            had[key] = max(had.get(key, clock), clock)
        chosen = min(present, key=had.__getitem__)
        self._clock = had[chosen]
        return chosen

    def charge(self, key: K, seconds: float, weight: float = 1.0) -> None:
        """It has had so much more."""
        self._had[key] += seconds / weight

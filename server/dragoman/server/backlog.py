"""The backlog: segments waiting for a place in a lane, first come first served.

A lane that asks takes no more than its share of what waits, so that a burst is spread over all lanes instead of filling
the first one that wakes up. What it takes is then cut into runs of the encoder: segments of similar length share a run,
as long as padding the shorter ones costs less than a run of its own would, and up to a bound on the run's tokens.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Generic, TypeVar

from dragoman.server.pool import round_up

T = TypeVar("T", bound=Hashable)

ENCODE_TOKENS = 1024
"""Padded tokens in one run of the encoder: enough to be efficient, few enough that decoding is not held up."""


class Backlog(Generic[T]):
    """Waiting items and their sizes in tokens. Not thread-safe: its owner holds a lock."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[T, int] = OrderedDict()
        self.tokens = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[T]:
        return iter(self._waiting)

    def __repr__(self) -> str:
        return f"<Backlog {len(self)} waiting, {self.tokens} tokens>"

    def put(self, item: T, tokens: int) -> None:
        """Wait at the end."""
        self._waiting[item] = tokens
        self.tokens += tokens

    def remove(self, item: T) -> bool:
        """Stop waiting; False if it does not wait (any more)."""
        tokens = self._waiting.pop(item, None)
        self.tokens -= tokens or 0
        return tokens is not None

    def take(self, places: int, lanes: int) -> list[T]:
        """The oldest, at most `places` of them and at most one lane's share."""
        share = -(-len(self._waiting) // lanes)
        taken = []
        for _ in range(min(places, share)):
            item, tokens = self._waiting.popitem(last=False)
            self.tokens -= tokens
            taken.append(item)
        return taken


RUN_TOKENS = 32
"""What a run of the encoder costs besides its tokens, in tokens."""


def encoder_runs(items: Sequence[T], length: Callable[[T], int], tokens: int = ENCODE_TOKENS) -> list[list[T]]:
    """Cut items into runs, the shortest first."""
    runs: list[list[T]] = []
    positions = 0  # of the last run
    for item in sorted(items, key=length):  # stable: equals stay first come first served
        padded = round_up(length(item))
        size = len(runs[-1]) if runs else 0
        if size and size * (padded - positions) <= RUN_TOKENS and (size + 1) * padded <= tokens:
            runs[-1].append(item)
        else:
            runs.append([item])
        positions = padded
    return runs

"""The backlog: segments waiting for a place in a lane, and who goes next.

Interactive segments go before normal ones, those before batch ones. Within a priority the flows, one for each request,
share the lanes fairly: a segment's turn is when its flow's earlier ones have had theirs, counted in source tokens on a
clock that stands at the turn of the segment taken last. So a flow that just arrived waits for one segment of each other
flow at most, however many those have waiting, and equal turns go to who came first. A lane that asks takes no more
than its share of what waits, so that a burst is spread over all lanes instead of filling the first one that wakes up.

What it takes is then cut into runs of the encoder: segments of similar length share a run, as long as padding the
shorter ones costs less than a run of its own would, and up to a bound on the run's tokens.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from dragoman.server.domain import Engine, Priority
from dragoman.server.pool import round_up

T = TypeVar("T", bound=Hashable)

ENCODE_TOKENS = 512
"""Padded tokens in one run of the encoder: enough to be efficient, few enough that decoding is not held up."""


@dataclass(frozen=True)
class _Waiting:
    priority: Priority
    flow: Hashable
    tokens: int


class Backlog(Generic[T]):
    """Waiting items and their sizes in tokens. Not thread-safe: its owner holds a lock."""

    def __init__(self) -> None:
        self._waiting: dict[T, _Waiting] = {}
        # Turns in the order in which they come up; of items that left, they are skipped.
        self._turns: dict[Priority, list[tuple[int, int, T]]] = {priority: [] for priority in Priority}
        self._clock = dict.fromkeys(Priority, 0)
        self._last: dict[
            tuple[Priority, Hashable], tuple[int, int]
        ] = {}  # of a flow: end of its last turn, how many wait
        self._arrivals = itertools.count()
        self._tokens = dict.fromkeys(Priority, 0)

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[T]:
        return iter(self._waiting)

    def __repr__(self) -> str:
        return f"<Backlog {len(self)} waiting, {self.tokens} tokens>"

    @property
    def tokens(self) -> int:
        """Of all that wait."""
        return sum(self._tokens.values())

    def tokens_before(self, priority: Priority) -> int:
        """Of those that go before a newcomer of this priority, or may."""
        return sum(tokens for other, tokens in self._tokens.items() if other <= priority)

    def put(self, item: T, tokens: int, *, flow: Hashable = None, priority: Priority = Priority.NORMAL) -> None:
        """Wait for a turn."""
        ended, number = self._last.get((priority, flow), (0, 0))
        turn = max(ended, self._clock[priority])
        self._last[priority, flow] = turn + tokens, number + 1
        heapq.heappush(self._turns[priority], (turn, next(self._arrivals), item))
        self._waiting[item] = _Waiting(priority, flow, tokens)
        self._tokens[priority] += tokens

    def remove(self, item: T) -> bool:
        """Stop waiting; False if it does not wait (any more)."""
        waiting = self._waiting.pop(item, None)
        if waiting is None:
            return False
        self._tokens[waiting.priority] -= waiting.tokens
        key = waiting.priority, waiting.flow
        ended, number = self._last.pop(key)
        if number > 1:
            self._last[key] = ended, number - 1
        return True

    def take(self, places: int, lanes: int) -> list[T]:
        """Those whose turn it is, at most `places` of them and at most one lane's share."""
        wanted = min(places, -(-len(self._waiting) // lanes))
        taken: list[T] = []
        for priority, turns in self._turns.items():
            while len(taken) < wanted and turns:
                turn, _, item = heapq.heappop(turns)
                if self.remove(item):
                    self._clock[priority] = turn
                    taken.append(item)
        return taken


MEMORY_S = 30.0
"""What was measured so long ago counts a third; a speed is forgotten."""
NEWEST = 0.1
"""Weight of the newest measurement of a speed."""
_SAME_SPEED = {Engine.SPECULATIVE: Engine.GREEDY, Engine.SPECULATIVE_LOSSY: Engine.GREEDY}
"""Where drafts do not pay, speculation is greedy search."""


class Pace:
    """How fast lanes work through source tokens, by what they did lately."""

    def __init__(self) -> None:
        self._tokens = self._seconds = 0.0

    def note(self, tokens: int, seconds: float) -> None:
        """A lane was busy for so long and finished sources of so many tokens."""
        fades = math.exp(-seconds / MEMORY_S)
        self._tokens = self._tokens * fades + tokens
        self._seconds = self._seconds * fades + seconds

    def seconds_for(self, tokens: int, lanes: int) -> float:
        """How long so many tokens will take; 0 while nothing has been measured."""
        return tokens * self._seconds / (self._tokens * lanes) if self._tokens else 0.0


class Speeds:
    """How long one source token takes each engine, by what it took lately; the load is part of it."""

    def __init__(self) -> None:
        self._seconds: dict[Engine, float] = {}
        self._noted_s: dict[Engine, float] = {}

    def note(self, engine: Engine, seconds: float, now_s: float) -> None:
        """A token took so long."""
        engine = _SAME_SPEED.get(engine, engine)
        old = self.of(engine, now_s)
        self._seconds[engine] = seconds if old is None else old + NEWEST * (seconds - old)
        self._noted_s[engine] = now_s

    def of(self, engine: Engine, now_s: float) -> float | None:
        """None where it has not run for a while: the load may be another now."""
        noted_s = self._noted_s.get(engine)
        return None if noted_s is None or now_s > noted_s + MEMORY_S else self._seconds[engine]


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

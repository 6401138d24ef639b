"""The backlog: segments waiting for a place in a lane, and who goes next.

Interactive segments go before normal ones, those before batch ones. Within a priority the flows, one for each request,
share the lanes fairly: a flow's turn is when its earlier segments have had theirs, counted in source tokens. One that
arrives takes its first turn as if it had had its share until now. So it waits for about one segment of each other flow,
however many those have waiting; one that waits is not passed for ever by those who come later; and equal turns go to
who came first. A lane that asks takes no more than its share of what waits, so that a
burst is spread over all lanes instead of filling the first one that wakes up.

A step is as wide as its longest source, so of a flow's next `WINDOW` segments the one goes that is closest in length to
what the lane has; but the first of them when as many others have gone before it.

What it takes is then cut into runs of the encoder: segments of similar length share a run, as long as padding the
shorter ones costs less than a run of its own would, and up to a bound on the run's tokens.
"""

import heapq
import itertools
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

from dragoman.server.core.segments import Priority

T = TypeVar("T", bound=Hashable)

WINDOW = 64
"""Segments of a flow that a lane chooses among."""
STALE_TURNS = 64
"""So many turns of flows that were cancelled are not worth clearing away."""


class _Flow(Generic[T]):
    """What waits of one request."""

    def __init__(self, turn: float, arrival: int) -> None:
        self.turn, self.arrival = turn, arrival
        self.tokens: OrderedDict[T, int] = OrderedDict()
        """Tokens of each segment, in the order of their arrival. Unlike a dict's, its beginning is found at once after
        thousands have left."""
        self._passed = 0  # how many have gone before the first

    def choose(self, length: int) -> T:
        """The segment that goes next to a lane whose longest source has this length; 0: it has none."""
        first = next(iter(self.tokens))
        if not length or self._passed >= WINDOW:
            return first
        return min(itertools.islice(self.tokens, WINDOW), key=lambda item: abs(self.tokens[item] - length))

    def remove(self, item: T) -> int:
        """Its tokens."""
        self._passed = 0 if item == next(iter(self.tokens)) else self._passed + 1
        return self.tokens.pop(item)


class _Queue(Generic[T]):
    """The flows of one priority."""

    def __init__(self) -> None:
        self.flows: dict[Hashable, _Flow[T]] = {}
        self.turns: list[tuple[float, int, Hashable]] = []
        """A heap of turns, arrivals and flows; of flows that ended, entries are skipped."""
        self.clock = self.served = 0.0
        """The turn that came last, and how many tokens each flow would have been given, had all the same share."""
        self.tokens = 0

    def push(self, name: Hashable) -> None:
        """A flow waits for its turn."""
        # What cancelled flows left behind would pile up where their turns are never reached.
        if len(self.turns) > 2 * len(self.flows) + STALE_TURNS:
            self.turns = [entry for entry in self.turns if self.is_current(entry)]
            heapq.heapify(self.turns)
        flow = self.flows[name]
        heapq.heappush(self.turns, (flow.turn, flow.arrival, name))

    def is_current(self, entry: tuple[float, int, Hashable]) -> bool:
        """Whether its flow still waits; a later one of its name has a turn of its own."""
        _, arrival, name = entry
        return name in self.flows and self.flows[name].arrival == arrival


class Backlog(Generic[T]):
    """Waiting items and their sizes in tokens. Not thread-safe: its owner holds a lock."""

    def __init__(self) -> None:
        self._flow_of: dict[T, tuple[Priority, Hashable]] = {}
        self._queues: dict[Priority, _Queue[T]] = {priority: _Queue() for priority in Priority}
        self._arrivals = itertools.count()

    def __len__(self) -> int:
        return len(self._flow_of)

    def __iter__(self) -> Iterator[T]:
        return iter(self._flow_of)

    def __repr__(self) -> str:
        return f"<Backlog {len(self)} waiting, {self.tokens} tokens>"

    @property
    def tokens(self) -> int:
        """Tokens of all that wait."""
        return sum(queue.tokens for queue in self._queues.values())

    def tokens_before(self, priority: Priority) -> int:
        """Tokens of those that go before a newcomer of this priority, or may."""
        return sum(queue.tokens for other, queue in self._queues.items() if other <= priority)

    def put(self, item: T, tokens: int, *, flow: Hashable = None, priority: Priority = Priority.NORMAL) -> None:
        """Wait for a turn."""
        queue = self._queues[priority]
        if flow not in queue.flows:
            turn = max(queue.clock, queue.served - tokens)
            queue.flows[flow] = _Flow(turn, next(self._arrivals))
            queue.push(flow)
        queue.flows[flow].tokens[item] = tokens
        queue.tokens += tokens
        self._flow_of[item] = priority, flow

    def remove(self, item: T) -> bool:
        """Stop waiting; False if it does not wait (any more)."""
        if item not in self._flow_of:
            return False
        priority, name = self._flow_of.pop(item)
        queue = self._queues[priority]
        queue.tokens -= queue.flows[name].remove(item)
        if not queue.flows[name].tokens:
            del queue.flows[name]
        return True

    def take(self, places: int, lanes: int, length: int = 0) -> list[T]:
        """At most `places` and at most one lane's share, for a lane whose longest source has this length; 0: none."""
        wanted = min(places, -(-len(self) // lanes))
        taken: list[T] = []
        for queue in self._queues.values():
            while len(taken) < wanted and queue.turns:
                entry = heapq.heappop(queue.turns)
                if not queue.is_current(entry):
                    continue
                name = entry[2]
                flow = queue.flows[name]
                item = flow.choose(length)
                tokens = flow.tokens[item]
                queue.clock = flow.turn
                queue.served = max(queue.served, flow.turn) + tokens / len(queue.flows)
                flow.turn += tokens
                length = max(length, tokens)
                self.remove(item)
                if name in queue.flows:
                    queue.push(name)
                taken.append(item)
        return taken

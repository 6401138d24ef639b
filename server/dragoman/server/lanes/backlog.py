"""The backlog: segments waiting for a place in a lane, and who goes next.

Interactive segments go before normal ones, those before batch ones. Within a priority the flows, one for each request,
share the lanes fairly: a flow's turn is when its earlier segments have had theirs, counted by their cost. One that
arrives takes its first turn as if it had had its share until now. So it waits for about one segment of each other
flow, however many those have waiting; requests of one segment go in the order in which they came, however long they
are; and one that waits is not passed for ever by those who come later.

A lane that asks takes no more than its share of what waits, so that a burst is spread over all lanes instead of filling
the first one that wakes up. Nor does it take more than it has room for: if that is too little for the segment whose
turn it is, this waits, and none passes it.

A step is as wide as the longest segment in it, so of a flow's next `WINDOW` segments the one goes that is closest in
length to what the lane has; but the first of them when as many others have gone before it.
"""

import heapq
import itertools
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

from dragoman.server.core.segments import Priority, Size
from dragoman.server.lanes.room import Room

T = TypeVar("T", bound=Hashable)

WINDOW = 64
"""Segments of a flow that a lane chooses among."""
STALE_TURNS = 64
"""So many turns of flows that were cancelled are not worth clearing away."""


class _Flow(Generic[T]):
    """What waits of one request."""

    def __init__(self, turn: float, arrival: int) -> None:
        self.turn, self.arrival = turn, arrival
        self.sizes: OrderedDict[T, Size] = OrderedDict()
        """The size of each segment, in the order of arrival. Unlike a dict's, its beginning is found at once after
        thousands have left."""
        self.has_begun = False
        """Whether it has had a turn."""
        self._passed = 0  # how many have gone before the first

    @property
    def head(self) -> int:
        """Cost of the first; 0 where none is left."""
        return self.sizes[next(iter(self.sizes))].cost if self.sizes else 0

    def choose(self, length: int) -> T:
        """The segment that goes next to a lane whose longest has this length; 0: it has none."""
        first = next(iter(self.sizes))
        if not length or self._passed >= WINDOW:
            return first
        return min(itertools.islice(self.sizes, WINDOW), key=lambda item: abs(self.sizes[item].length - length))

    def remove(self, item: T) -> Size:
        """Its size."""
        self._passed = 0 if item == next(iter(self.sizes)) else self._passed + 1
        return self.sizes.pop(item)


class _Queue(Generic[T]):
    """The flows of one priority."""

    def __init__(self) -> None:
        self.flows: dict[Hashable, _Flow[T]] = {}
        self.turns: list[tuple[float, bool, int, int, Hashable]] = []
        """A heap of turns, of equal ones the newcomer's first and then that of who waits longest, with arrivals and
        flows. Of flows that ended, entries are skipped.
        """
        self.pushes = itertools.count()
        self.clock = self.served = 0.0
        """The turn that came last, and how much each flow would have been given, had all the same share."""
        self.cost = self.heads = 0
        """Of all segments, and of the first of each flow."""

    def push(self, name: Hashable) -> None:
        """A flow waits for its turn."""
        # What cancelled flows left behind would pile up where their turns are never reached.
        if len(self.turns) > 2 * len(self.flows) + STALE_TURNS:
            self.turns = [entry for entry in self.turns if self.is_current(entry)]
            heapq.heapify(self.turns)
        flow = self.flows[name]
        heapq.heappush(self.turns, (flow.turn, flow.has_begun, next(self.pushes), flow.arrival, name))

    def is_current(self, entry: tuple[float, bool, int, int, Hashable]) -> bool:
        """Whether its flow still waits; a later one of its name has a turn of its own."""
        *_, arrival, name = entry
        return name in self.flows and self.flows[name].arrival == arrival


class Backlog(Generic[T]):
    """Waiting items and their sizes. Not thread-safe: its owner holds a lock."""

    def __init__(self) -> None:
        self._flow_of: dict[T, tuple[Priority, Hashable]] = {}
        self._queues: dict[Priority, _Queue[T]] = {priority: _Queue() for priority in Priority}
        self._arrivals = itertools.count()

    def __len__(self) -> int:
        return len(self._flow_of)

    def __iter__(self) -> Iterator[T]:
        return iter(self._flow_of)

    def __repr__(self) -> str:
        return f"<Backlog {len(self)} waiting, {self.cost} tokens>"

    @property
    def cost(self) -> int:
        """Cost of all that wait."""
        return sum(queue.cost for queue in self._queues.values())

    def ahead(self, cost: int, priority: Priority) -> int:
        """Cost of what is taken before a newcomer's last segment, if all of them cost so much.

        That is all of higher priority, and of each other flow one segment, or as much as the newcomer has itself.
        """
        above = sum(queue.cost for other, queue in self._queues.items() if other < priority)
        queue = self._queues[priority]
        return above + min(queue.cost, max(queue.heads, cost * len(queue.flows)))

    def put(self, item: T, size: Size, *, flow: Hashable = None, priority: Priority = Priority.NORMAL) -> None:
        """Wait for a turn."""
        queue = self._queues[priority]
        if flow not in queue.flows:
            turn = max(queue.clock, queue.served)
            queue.flows[flow] = _Flow(turn, next(self._arrivals))
            queue.push(flow)
            queue.heads += size.cost
        queue.flows[flow].sizes[item] = size
        queue.cost += size.cost
        self._flow_of[item] = priority, flow

    def remove(self, item: T) -> bool:
        """Stop waiting; False if it does not wait (any more)."""
        if item not in self._flow_of:
            return False
        priority, name = self._flow_of.pop(item)
        queue = self._queues[priority]
        flow = queue.flows[name]
        queue.heads -= flow.head
        queue.cost -= flow.remove(item).cost
        queue.heads += flow.head
        if not flow.sizes:
            del queue.flows[name]
        return True

    def take(self, room: Room, lanes: int) -> list[T]:
        """What there is room for, and at most one lane's share; it has its room from now on."""
        taken: list[T] = []
        wanted = -(-len(self) // lanes)
        for queue in self._queues.values():
            while len(taken) < wanted and queue.turns:
                entry = queue.turns[0]
                if not queue.is_current(entry):
                    heapq.heappop(queue.turns)
                    continue
                name = entry[-1]
                flow = queue.flows[name]
                item = flow.choose(room.longest)
                size = flow.sizes[item]
                if not room.admits(size):
                    return taken
                heapq.heappop(queue.turns)
                queue.clock = flow.turn
                queue.served = max(queue.served, flow.turn) + size.cost / len(queue.flows)
                flow.turn += size.cost
                flow.has_begun = True
                room.take(size)
                self.remove(item)
                if name in queue.flows:
                    queue.push(name)
                taken.append(item)
        return taken

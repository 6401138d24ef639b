"""Messages on their way: how long one may take to arrive, and how many may be unfinished.

gRPC keeps what has come of a message until all of it is there, outside every limit that is checked later. It can grow
to the largest message there may be, so that many as are under way for longer than a moment are counted, and beyond the
limit those that have been under way for longest end. A message that is there already is read in less than a moment.
"""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from typing import Any

from dragoman.server.core.errors import MessageLate, ServingError, Shed

UNFINISHED = "unfinished_messages"
"""The name of what is used up, among those of `telemetry/overload`."""
MOMENT_S = 0.25
"""Longer than the event loop takes for what has come already, unless it is overloaded."""
_BEAT_S = 0.1


class _Arrival:
    """A message that is waited for."""

    __slots__ = ("is_due", "refusal", "since_s", "task")

    def __init__(self, task: asyncio.Task[Any], since_s: float, *, is_due: bool) -> None:
        self.task, self.since_s, self.is_due = task, since_s, is_due
        self.refusal: ServingError | None = None


class Arrivals:
    """The messages that calls wait for.

    One that is due, as a call's only message is, comes within `limit_s`, and at most `limit` of these are slow. The
    next message of a stream may take as long as it likes: nobody knows whether it has begun. `relieve` ends both.
    """

    def __init__(
        self, limit: int, limit_s: float, on_refusal: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.limit, self._limit_s = limit, limit_s
        self._on_refusal, self._clock = on_refusal, clock
        self._waiting: dict[_Arrival, None] = {}
        """The oldest first."""
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Arrivals of {len(self._waiting)} messages>"

    def start(self) -> None:
        """Begin to look at the clock; called by the event loop."""
        self._task = asyncio.create_task(self._run())

    def close(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()

    async def message(self, read: Callable[[], Awaitable[Any]], *, is_due: bool) -> Any:
        """What `read` reads. Raises `MessageLate` or `Shed` where it takes too long, or too many do."""
        task = asyncio.current_task()
        assert task is not None
        arrival = _Arrival(task, self._clock(), is_due=is_due)
        self._waiting[arrival] = None
        try:
            return await read()
        except asyncio.CancelledError:
            if arrival.refusal is None:
                raise
            task.uncancel()
            raise arrival.refusal from None
        finally:
            del self._waiting[arrival]

    @property
    def slow(self) -> int:
        """Messages that are due and have been under way for more than a moment."""
        before_s = self._clock() - MOMENT_S
        # The dict may change meanwhile where a scrape asks: a copy of its keys is made in one go.
        return sum(arrival.is_due and arrival.since_s < before_s for arrival in list(self._waiting))

    def sweep(self) -> None:
        """End what is late, and the oldest of what is too many."""
        now_s = self._clock()
        slow = [arrival for arrival in self._old(now_s) if arrival.is_due]
        too_many = max(0, len(slow) - self.limit)
        for arrival in slow[:too_many]:
            self._end(arrival, Shed(UNFINISHED, "too many messages are unfinished, and this has been for longest"))
            self._on_refusal(UNFINISHED)
        for arrival in slow[too_many:]:
            if now_s - arrival.since_s > self._limit_s:
                self._end(arrival, MessageLate(self._limit_s))

    def relieve(self) -> None:
        """End half of all that has been waited for longer than a moment, to give memory back."""
        old = self._old(self._clock())
        for arrival in old[: (len(old) + 1) // 2]:
            self._end(arrival, Shed("memory", "memory is short, and this message unfinished"))
            self._on_refusal("memory")

    def _old(self, now_s: float) -> list[_Arrival]:
        return list(itertools.takewhile(lambda arrival: now_s - arrival.since_s > MOMENT_S, self._waiting))

    def _end(self, arrival: _Arrival, refusal: ServingError) -> None:
        if arrival.refusal is None:
            arrival.refusal = refusal
            arrival.task.cancel()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_BEAT_S)
            if self._waiting:
                self.sweep()

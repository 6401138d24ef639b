"""The answers of one request's segments, which come from the lanes' threads, gathered on the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Sequence

from dragoman.server.core.ports import SegmentDecoder, Ticket
from dragoman.server.core.segments import Decoded, Segment


async def decode(
    lanes: SegmentDecoder, texts: Sequence[Sequence[Segment]]
) -> AsyncGenerator[tuple[int, list[Decoded | Exception]], None]:
    """Each text's answered segments, in the order in which texts are finished.

    Whoever closes it early takes the segments that are not answered out of the lanes.
    """
    answers = _Answers(list(map(len, texts)))
    tickets: list[Ticket] = []
    try:
        for index, segments in enumerate(texts):
            for piece, segment in enumerate(segments):
                tickets.append(lanes.submit(segment, answers.callback(index, piece), flow=answers))
        for _ in texts:
            yield await answers.next_finished()
    finally:
        if not answers.complete:
            for ticket in tickets:  # cancelling what has been answered already changes nothing
                lanes.cancel(ticket)


class _Answers:
    """Collects a request's answered segments from the lanes' threads, and wakes the request once per finished text."""

    def __init__(self, num_segments: list[int]) -> None:
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._slots: list[list[Decoded | Exception | None]] = [[None] * number for number in num_segments]
        self._missing = list(num_segments)
        self._finished: asyncio.Queue[int] = asyncio.Queue()
        for index, number in enumerate(num_segments):
            if number == 0:
                self._finished.put_nowait(index)

    @property
    def complete(self) -> bool:
        """Whether every segment has been answered."""
        return not any(self._missing)

    def callback(self, index: int, piece: int) -> Callable[[Decoded | Exception], None]:
        """What the lanes call, from any thread, with the answer of one segment."""

        def answered(answer: Decoded | Exception) -> None:
            with self._lock:
                self._slots[index][piece] = answer
                self._missing[index] -= 1
                finished = self._missing[index] == 0
            # The loop is closed only after a stop that did not wait for its requests: nobody listens then.
            if finished and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._finished.put_nowait, index)

        return answered

    async def next_finished(self) -> tuple[int, list[Decoded | Exception]]:
        """The next text all of whose segments are answered."""
        index = await self._finished.get()
        return index, [answer for answer in self._slots[index] if answer is not None]

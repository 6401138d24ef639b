"""The answers of one request's segments, which come from the lanes' threads, gathered on the event loop."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import suppress

from dragoman.server.core.ports import SegmentDecoder, Ticket
from dragoman.server.core.segments import Decoded, Segment

Again = Callable[[int, Sequence[Decoded | Exception]], Awaitable[Sequence[Segment | Decoded] | None]]
"""Told the answers of a text's segments; says what else is to be decoded for it, in place of these, or None."""

SLICE = 128
"""Segments that are submitted, or cancelled, before the event loop has its turn."""
TOGETHER = 8
"""Finished texts that are joined one behind another. Each by itself costs a wake-up, and finds that the lanes have
filled the processor's caches with weights meanwhile."""


async def decode(
    lanes: SegmentDecoder,
    texts: Sequence[Sequence[Segment | Decoded]],
    again: Again | None = None,
    *,
    together: int = 1,
) -> AsyncGenerator[tuple[int, list[Decoded | Exception]], None]:
    """Each text's answered segments, in the order in which texts are finished. What is decoded already is an answer.

    A text is finished when `again` has nothing more to be decoded for it. Whoever closes it early takes the segments
    that are not answered out of the lanes. While many more are to come, so many are waited for `together`.
    """
    inbox = _Inbox(list(map(len, texts)), together)
    tickets: list[Ticket] = []
    numbered = ((text, number, each) for text, segments in enumerate(texts) for number, each in enumerate(segments))
    try:
        await _submit(lanes, numbered, inbox, tickets)
        unfinished = len(texts)
        while unfinished:
            text, answers = await inbox.next_finished()
            more = await again(text, answers) if again is not None else None
            if more is None:
                unfinished -= 1
                yield text, answers
            else:
                inbox.expect(text, len(more))
                await _submit(lanes, ((text, number, each) for number, each in enumerate(more)), inbox, tickets)
    finally:
        if not inbox.is_complete:
            await _cancel(lanes, tickets)


async def _submit(
    lanes: SegmentDecoder,
    numbered: Iterable[tuple[int, int, Segment | Decoded]],
    inbox: "_Inbox",
    tickets: list[Ticket],
) -> None:
    """Have segments decoded, and keep a hold on them."""
    for position, (text, number, segment) in enumerate(numbered, 1):
        if isinstance(segment, Decoded):
            inbox.slot(text, number)(segment)
        else:
            tickets.append(lanes.submit(segment, inbox.slot(text, number), flow=inbox))
        if position % SLICE == 0:
            await asyncio.sleep(0)


async def _cancel(lanes: SegmentDecoder, tickets: Sequence[Ticket]) -> None:
    """Take segments out of the lanes; all of them, also where whoever waits for it is cancelled once more."""
    for number, ticket in enumerate(tickets, 1):
        lanes.cancel(ticket)  # of what has been answered already, this changes nothing
        if number % SLICE == 0:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0)


class _Inbox:
    """Takes a request's answers from the lanes' threads, and wakes the request when enough texts are finished."""

    def __init__(self, num_segments: list[int], together: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._answers: list[list[Decoded | Exception | None]] = [[None] * number for number in num_segments]
        self._missing = list(num_segments)
        self._together = together
        self._unfinished, self._kept_back = sum(map(bool, num_segments)), list[int]()
        self._finished: asyncio.Queue[int] = asyncio.Queue()
        for text, number in enumerate(num_segments):
            if number == 0:
                self._finished.put_nowait(text)

    def expect(self, text: int, number: int) -> None:
        """A finished text is to have so many more answers."""
        self._answers[text], self._missing[text] = [None] * number, number
        if number == 0:
            self._finished.put_nowait(text)
            return
        with self._lock:
            self._unfinished += 1

    @property
    def is_complete(self) -> bool:
        """Whether every segment has been answered."""
        return not any(self._missing)

    def slot(self, text: int, number: int) -> Callable[[Decoded | Exception], None]:
        """What the lanes call, from any thread, with the answer of one of a text's segments."""

        def answered(answer: Decoded | Exception) -> None:
            with self._lock:
                self._answers[text][number] = answer
                self._missing[text] -= 1
                if self._missing[text]:
                    return
                self._unfinished -= 1
                self._kept_back.append(text)
                if len(self._kept_back) < self._together < self._unfinished:
                    return
                finished, self._kept_back = self._kept_back, []
            # The loop is closed only after a stop that did not wait for its requests: nobody listens then.
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._finish, finished)

        return answered

    def _finish(self, texts: Sequence[int]) -> None:
        for text in texts:
            self._finished.put_nowait(text)

    async def next_finished(self) -> tuple[int, list[Decoded | Exception]]:
        """The next text whose segments have all been answered."""
        text = await self._finished.get()
        answers, self._answers[text] = self._answers[text], []
        return text, [answer for answer in answers if answer is not None]

"""The answers of one request's segments, which come from the lanes' threads, gathered on the event loop."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial

from dragoman.server.core.ports import SegmentDecoder, Ticket
from dragoman.server.core.segments import Decoded, Segment
from dragoman.server.pipeline.mailbox import Mailbox

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


async def gather(
    lanes: SegmentDecoder, texts: Sequence[Sequence[Segment | Decoded]], again: Again, mailbox: Mailbox
) -> list[list[Decoded | Exception]]:
    """Each text's answered segments, in the order of the texts, when all are finished; as `decode`, with fewer stops on
    the way. Who cancels it takes the segments that are not answered out of the lanes.
    """
    gathering = _Gathering(list(map(len, texts)), mailbox)
    tickets: list[Ticket] = []
    try:
        for text, segments in enumerate(texts):
            _submit_now(lanes, text, segments, gathering, tickets)
        while True:
            await gathering.all_answered()
            is_done = True
            for text in gathering.unfinished():
                more = await again(text, gathering.answers(text))
                if more is not None:
                    is_done = False
                    gathering.expect(text, len(more))
                    _submit_now(lanes, text, more, gathering, tickets)
            if is_done:
                return [gathering.answers(text) for text in range(len(texts))]
    finally:
        if not gathering.is_complete:
            await _cancel(lanes, tickets)


def _submit_now(
    lanes: SegmentDecoder,
    text: int,
    segments: Sequence[Segment | Decoded],
    gathering: "_Gathering",
    tickets: list[Ticket],
) -> None:
    for number, segment in enumerate(segments):
        if isinstance(segment, Decoded):
            gathering.answer(text, number, segment)
        else:
            tickets.append(lanes.submit(segment, partial(gathering.answer, text, number), flow=gathering))


class _Gathering:
    """Takes a small request's answers from the lanes' threads, and wakes the request when there are all of them."""

    def __init__(self, num_segments: list[int], mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self._lock = threading.Lock()
        self._answers: list[list[Decoded | Exception | None]] = [[None] * number for number in num_segments]
        self._unfinished = list(range(len(num_segments)))
        self._missing = sum(num_segments)
        self._waiting: asyncio.Future[None] | None = None

    def unfinished(self) -> list[int]:
        """The texts of which answers have come since this was asked last."""
        texts, self._unfinished = self._unfinished, []
        return texts

    def expect(self, text: int, number: int) -> None:
        """A text is to have so many more answers, in place of those that it has."""
        self._answers[text] = [None] * number
        self._unfinished.append(text)
        with self._lock:
            self._missing += number

    @property
    def is_complete(self) -> bool:
        """Whether every segment has been answered."""
        return not self._missing

    def answer(self, text: int, number: int, answer: Decoded | Exception) -> None:
        """The answer of one of a text's segments. From any thread."""
        self._answers[text][number] = answer
        with self._lock:
            self._missing -= 1
            if self._missing:
                return
        self._mailbox.put(self._wake)

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done() and self.is_complete:
            self._waiting.set_result(None)

    async def all_answered(self) -> None:
        """Wait until they are."""
        if not self.is_complete:
            self._waiting = self._mailbox.loop.create_future()
            if not self.is_complete:  # else the last one came meanwhile, and woke nobody
                await self._waiting
            self._waiting = None

    def answers(self, text: int) -> list[Decoded | Exception]:
        """Those of a text."""
        return [answer for answer in self._answers[text] if answer is not None]


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

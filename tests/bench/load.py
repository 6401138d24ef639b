"""Mixed load on lanes, for programs that check what comes out of it: many kinds of segments, random cancellations."""

import heapq
import random
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from dragoman.server.batches import step_batch as batch_module
from dragoman.server.core.errors import Cancelled
from dragoman.server.core.segments import Decoded, Hypothesis, Segment
from dragoman.server.lanes.lanes import Lanes

Answer = tuple[Hypothesis, ...]


def alone(lanes: Lanes, segment: Segment) -> Answer:
    """What a segment becomes when nothing else is decoded."""
    answers: list[Decoded | Exception] = []
    answered = threading.Semaphore(0)

    def done(answer: Decoded | Exception) -> None:
        answers.append(answer)
        answered.release()

    lanes.submit(segment, done)
    answered.acquire()
    return unwrapped(answers[0])


def unwrapped(answer: Decoded | Exception) -> Answer:
    """The hypotheses, or the error raised."""
    if isinstance(answer, Exception):
        raise answer
    return answer.hypotheses


def differs(one: Answer, other: Answer) -> bool:
    """Whether any hypothesis has other words or ended for another reason."""
    return [(h.ids, h.reason) for h in one] != [(h.ids, h.reason) for h in other]


def furthest(one: Answer, other: Answer) -> float:
    """The largest difference between log-probabilities of the same words."""
    return max((abs(a.logp - b.logp) for a, b in zip(one, other, strict=True)), default=0.0)


@dataclass(frozen=True)
class Offer:
    """A segment to be offered."""

    segment: Segment
    key: Any = None
    """The caller's name for it; None for one that is only there to be in the way."""
    is_doomed: bool = False
    """To be cancelled at some moment before it is answered, if that can still be done."""


@dataclass
class Outcome:
    """What became of the offers."""

    answered: int = 0
    cancelled: int = 0
    cancelled_in_lanes: int = 0
    """Those that were being decoded; the others still waited."""
    most_steps_after: int = 0
    """Largest number of steps that ended with a request in their batch after it had been cancelled."""
    late_steps: WeakKeyDictionary[Any, int] = field(default_factory=WeakKeyDictionary)
    """By ticket."""


@contextmanager
def counted_late_steps(outcome: Outcome) -> Iterator[None]:
    """Watch every step of every batch for owners that were cancelled before it ended."""
    plain, lock = batch_module.StepBatch.step, threading.Lock()

    def step(batch: Any) -> Any:
        owners = list(batch.owners)
        done = plain(batch)
        for ticket in owners:
            if ticket.is_cancelled:
                with lock:
                    steps = outcome.late_steps.get(ticket, 0) + 1
                    outcome.late_steps[ticket] = steps
                    outcome.most_steps_after = max(outcome.most_steps_after, steps)
        return done

    batch_module.StepBatch.step = step  # type: ignore[method-assign]
    try:
        yield
    finally:
        batch_module.StepBatch.step = plain  # type: ignore[method-assign]


class Load:
    """Keeps a number of offers in the lanes, and cancels the doomed ones at random moments."""

    def __init__(self, lanes: Lanes, take: Callable[[Any, Answer], None], seed: int) -> None:
        self.lanes, self.take, self.rng = lanes, take, random.Random(seed)
        self.outcome = Outcome()
        self._doomed: list[tuple[int, int, Any]] = []
        self._changed = threading.Condition()
        self._open = self._answers = 0
        self._failure: Exception | None = None

    def run(self, offers: Iterable[Offer], most_open: Callable[[], int]) -> Outcome:
        """Offer all, never more than so many at once; returns when all are answered."""
        with counted_late_steps(self.outcome):
            for offer in offers:
                ticket = self.lanes.submit(offer.segment, lambda answer, offer=offer: self._done(offer, answer))  # type: ignore[misc]
                with self._changed:
                    self._open += 1
                if offer.is_doomed:
                    # From at once to after most would have been answered: some wait, some are being decoded.
                    due = self._answers + self.rng.randrange(12 + most_open() * 6 // 5)
                    heapq.heappush(self._doomed, (due, id(ticket), ticket))
                self._wait(most_open())
            self._wait(0)
        return self.outcome

    def _wait(self, most: int) -> None:
        """Until no more than so many are open; each answer brings doomed ones nearer to their end."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._open <= most or self._failure is not None, timeout=0.002)
                is_done, failure = self._open <= most, self._failure
            if failure is not None:
                raise failure
            while self._doomed and self._doomed[0][0] <= self._answers:
                self.lanes.cancel(heapq.heappop(self._doomed)[2])
            if is_done:
                return

    def _done(self, offer: Offer, answer: Decoded | Exception) -> None:
        with self._changed:
            try:
                if isinstance(answer, Cancelled):
                    self.outcome.cancelled += 1
                    self.outcome.cancelled_in_lanes += threading.current_thread().name.startswith("lane-")
                else:
                    self.outcome.answered += 1
                    self.take(offer.key, unwrapped(answer))
            except Exception as error:  # noqa: BLE001 - raised again where it can be seen
                self._failure = error
            self._open -= 1
            self._answers += 1
            self._changed.notify_all()

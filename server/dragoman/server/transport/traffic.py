"""How long another call would take, by the calls that are under way and how fast such calls were finished of late.

By Little's law what is under way, divided by what is finished in a second, is the time that a call takes: wherever that
goes, be it lanes, the event loop, or a processor that others use. So it is known within a second when a server becomes
slower, as it does where most of its time goes into calls that are too many.

Only seconds count in which several calls were under way: one by one they are finished at a rate that says nothing of
what a server can do. So nothing is known of the first moments of a burst, and nobody is refused for it.
"""

import math
import time
from collections.abc import Callable

from dragoman.server.core.segments import Priority

MEMORY_S = 1.0
"""What was finished so long ago counts a third."""
LEAST_S = 0.3
"""Of such seconds, before they say anything; and several calls must have been finished in them."""
PAUSE_S = 0.25
"""Nothing is finished for longer only where all stands still: a moment that says nothing of what comes behind it."""
FORGOTTEN_S = 30.0
"""Nothing is known any more when there was none for so long."""
FEW = 16
"""So many calls may always be under way, whatever is known: so it is seen when the server is faster again."""
SEVERAL = 8


class Traffic:
    """Calls of one kind. Those who let calls `enter` are one thread, those who see them `leave` another."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._entered, self._left = [0] * len(Priority), [0] * len(Priority)
        """Cost, by priority."""
        self._num_entered = self._num_left = 0
        self._left_s = self._known_s = clock()
        self._cost = self._seconds = self._finished = 0.0
        """In the seconds that are remembered; calls that took too long are finished, too, and their cost is not."""

    def __repr__(self) -> str:
        return f"<Traffic {self._num_entered - self._num_left} calls, {self.seconds(Priority.BATCH):.2g} s>"

    def enter(self, priority: Priority, cost: int) -> float:
        """A call of this cost begins; the time, which it gives back as it leaves."""
        self._entered[priority] += cost
        self._num_entered += 1
        return self._clock()

    def leave(self, priority: Priority, cost: int, entered_s: float, *, is_in_time: bool) -> None:
        """It ends; `is_in_time`: not because it took too long, nor because there was no room for it."""
        now_s = self._clock()
        if self._num_entered - self._num_left >= SEVERAL:
            if now_s - self._known_s > FORGOTTEN_S:
                self._cost = self._seconds = self._finished = 0.0
            self._known_s = now_s
            seconds = min(PAUSE_S, now_s - max(self._left_s, entered_s))
            fades = math.exp(-seconds / MEMORY_S)
            self._seconds = self._seconds * fades + seconds
            self._cost = self._cost * fades + (cost if is_in_time else 0)
            self._finished = self._finished * fades + 1
        self._left_s = now_s
        self._left[priority] += cost
        self._num_left += 1

    def seconds(self, priority: Priority, cost: int = 0) -> float:
        """How long a call of this priority and cost would take; 0 while nothing is known, or few are under way."""
        if self._num_entered - self._num_left < FEW or self._seconds < LEAST_S or self._finished < SEVERAL:
            return 0.0
        if self._clock() - self._known_s > FORGOTTEN_S:
            return 0.0
        ahead = sum(self._entered[: priority + 1]) - sum(self._left[: priority + 1]) + cost
        return ahead * self._seconds / self._cost if self._cost else math.inf

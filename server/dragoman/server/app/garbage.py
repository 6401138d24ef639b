"""When Python looks for garbage that refers to itself: while little is in flight.

A full collection looks at every object there is, and every thread stands still meanwhile, lanes and event loop alike.
With one request of 32,000 lines in flight that took up to 1.5 s, and Python chooses just the moments in which objects
become many. Young objects are few, and are left to it. What a server has once it is ready is never looked at again.
"""

import asyncio
import gc
import time
import weakref
from collections.abc import Callable
from typing import Any

FEW_SEGMENTS = 2_000
"""While no more are in flight, a full collection takes less than a tenth of a second."""
EVERY_S, AT_LEAST_S = 5.0, 60.0
"""Between two collections while few segments are in flight, and while many are."""
PAUSES_S = (0.02, 0.1, 0.5, 1.0)
"""Between looks at whether what is served no longer is gone."""
_BEAT_S = 1.0
_NEVER = 1_000_000_000


class Garbage:
    """Has full collections happen, from `start` to `close`, by what is in flight."""

    def __init__(self, in_flight: Callable[[], int]) -> None:
        self._in_flight = in_flight
        self._before: tuple[int, int, int] | None = None
        self._was_frozen = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, with all that there is by now for good; called by the event loop."""
        self._before, self._was_frozen = gc.get_threshold(), gc.get_freeze_count() > 0
        gc.set_threshold(*self._before[:2], _NEVER)
        gc.collect()
        gc.freeze()
        self._task = asyncio.create_task(self._run())

    def close(self) -> None:
        """Leave it to Python again."""
        if self._task is not None and self._before is not None:
            self._task.cancel()
            gc.set_threshold(*self._before)
            if not self._was_frozen:  # else it is for whoever froze it before
                gc.unfreeze()

    async def _run(self) -> None:
        collected_s = time.monotonic()
        while True:
            await asyncio.sleep(_BEAT_S)
            if is_due(time.monotonic() - collected_s, self._in_flight()):
                gc.collect()
                collected_s = time.monotonic()


async def collect_departed(*departed: weakref.ref[Any]) -> bool:
    """Collect what was there for good, too, such as a bundle that is served no longer; whether it is gone.

    What is left is for good again, but not before that is gone. A thread that has just had to do with it lets go of it
    a moment later, and garbage that was set aside meanwhile would stay until the next time. Where it is held for
    longer, all is looked at from now on.
    """
    for pause_s in PAUSES_S:
        gc.unfreeze()
        gc.collect()
        if all(reference() is None for reference in departed):
            gc.freeze()
            return True
        await asyncio.sleep(pause_s)
    return False


def is_due(since_s: float, segments: int) -> bool:
    """Whether to collect so long after the last time, with so many segments in flight."""
    return since_s >= (EVERY_S if segments <= FEW_SEGMENTS else AT_LEAST_S)

"""The threads that cut, number and join texts, away from the event loop. All bundles of a process share them.

Long work is done a slice at a time, and goes behind all other work after each: so a request with a million characters
keeps nobody waiting for longer than a slice, and one that is cancelled ends with its slice.
"""

import asyncio
import time
from collections.abc import Callable, Generator
from concurrent.futures import Executor
from typing import TypeVar

T = TypeVar("T")

SLICE_S = 0.01
"""How long a thread works for one request before the next one's turn."""


def finished(work: Generator[None, None, T]) -> T:
    """What comes of work that is done at once, without a pause."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


class Workers:
    """Does the work of requests on threads."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._choosing = asyncio.Semaphore(1)  # so that who chooses never has all threads that cut and join texts

    async def run(self, work: Callable[[], T]) -> T:
        """Do something that takes about a slice."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    async def run_in_slices(self, work: Generator[None, None, T]) -> T:
        """Do something long that yields wherever it may be put off."""
        while True:
            done = await self.run(lambda: _slice_of(work))
            if done:
                return done[0]

    async def done(self, work: Generator[None, None, T], *, is_long: bool) -> T:
        """What comes of work; on a thread where it is long, else at once."""
        return await self.run_in_slices(work) if is_long else finished(work)

    async def choose(self, work: Callable[[], T]) -> T:
        """Choose among hypotheses, which takes long: one request of all at a time."""
        async with self._choosing:
            return await self.run(work)


def _slice_of(work: Generator[None, None, T]) -> tuple[T] | None:
    """Go on with something for a while; what came of it, where it came to its end."""
    end_s = time.perf_counter() + SLICE_S
    try:
        while time.perf_counter() < end_s:
            next(work)
    except StopIteration as end:
        return (end.value,)
    return None

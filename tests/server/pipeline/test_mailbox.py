"""The way from lanes to an event loop."""

import asyncio
from collections.abc import Callable
from typing import Any

from dragoman.server.pipeline.mailbox import Mailbox


class _Loop:
    """Counts how often it is woken, and is closed where it is told so."""

    def __init__(self) -> None:
        self.woken: list[Callable[[], None]] = []
        self.is_closed = False

    def call_soon_threadsafe(self, work: Callable[[], None]) -> None:
        if self.is_closed:
            raise RuntimeError("closed")
        self.woken.append(work)


def test_the_loop_is_woken_once_for_all_that_is_put_before_it_takes_it() -> None:
    """In the order in which it was put; what comes later wakes it again."""
    loop: Any = _Loop()
    mailbox, done = Mailbox(loop), list[int]()
    for number in range(3):
        mailbox.put(lambda number=number: done.append(number))  # type: ignore[misc]

    assert len(loop.woken) == 1
    loop.woken[0]()
    assert done == [0, 1, 2]
    mailbox.put(lambda: done.append(3))
    assert len(loop.woken) == 2


def test_nothing_is_done_on_a_loop_that_is_closed() -> None:
    """Nobody listens: whoever puts something is not told."""
    loop: Any = _Loop()
    loop.is_closed = True

    Mailbox(loop).put(lambda: None)


def test_work_comes_from_any_thread() -> None:
    """It is done on the loop's."""

    async def run() -> int:
        mailbox, done = Mailbox(asyncio.get_running_loop()), asyncio.get_running_loop().create_future()
        await asyncio.to_thread(mailbox.put, lambda: done.set_result(7))
        return int(await done)

    assert asyncio.run(run()) == 7

"""Threads that several requests share."""

import asyncio
import threading
import time
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from dragoman.server.pipeline.workers import SLICE_S, Workers, finished

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture
def workers() -> Iterator[Workers]:
    """Of a single thread."""
    with ThreadPoolExecutor(max_workers=1) as executor:
        yield Workers(executor)


def counting(steps: int, seconds: float = 0.0) -> Generator[None, None, int]:
    """Work of so many steps that take so long each."""
    for _ in range(steps):
        time.sleep(seconds)
        yield
    return steps


async def test_work_has_the_same_result_at_once_and_in_slices(workers: Workers) -> None:
    """Also work that never pauses."""
    assert [finished(counting(n)) for n in (0, 1, 5)] == [0, 1, 5]
    assert [await workers.run_in_slices(counting(n, SLICE_S / 2)) for n in (0, 1, 5)] == [0, 1, 5]


async def test_what_comes_later_does_not_wait_for_long_work(workers: Workers) -> None:
    """The only thread does it between two slices of what is far from done."""
    is_wanted = True

    def endless() -> Generator[None, None, str]:
        while is_wanted:
            yield
        return "ended"

    long = asyncio.create_task(workers.run_in_slices(endless()))
    assert await workers.run(lambda: "short") == "short"
    assert await workers.run_in_slices(counting(3)) == 3
    assert not long.done()

    is_wanted = False
    assert await long == "ended"


async def test_cancelled_work_ends_with_its_slice(workers: Workers) -> None:
    """The thread is free for others, and the work is never taken up again."""
    steps = 0

    def endless() -> Generator[None, None, None]:
        nonlocal steps
        while True:
            steps += 1
            yield

    task = asyncio.create_task(workers.run_in_slices(endless()))
    await workers.run(lambda: None)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await workers.run(lambda: None)

    before = steps
    await workers.run(lambda: None)
    assert steps == before


async def test_a_failure_is_raised_to_whoever_waits(workers: Workers) -> None:
    """In whichever slice it happens."""

    def failing() -> Generator[None, None, None]:
        yield
        time.sleep(2 * SLICE_S)
        yield
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await workers.run_in_slices(failing())


async def test_choosers_never_have_all_threads() -> None:
    """A text is joined while others are chosen among, of whichever bundle they are."""
    with ThreadPoolExecutor(max_workers=2) as executor:
        workers, held = Workers(executor), threading.Event()
        choosing = [asyncio.create_task(workers.choose(held.wait)) for _ in range(3)]

        assert await workers.run(lambda: "joined") == "joined"

        held.set()
        assert await asyncio.gather(*choosing) == [True, True, True]

"""The pipe alone: what it reads, and when."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from dragoman.server.transport.pipe import MAX_OPEN, Pipe

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Messages:
    """A client that sends as fast as it is read."""

    def __init__(self, number: int) -> None:
        self.number, self.read = number, 0

    async def __aiter__(self) -> AsyncIterator[int]:
        while self.read < self.number:
            self.read += 1
            yield self.read


async def settled() -> None:
    """Every task has run as far as it can."""
    for _ in range(500):
        await asyncio.sleep(0)


async def same(message: int) -> int:
    return message


async def failing(message: int) -> int:
    raise ValueError(message)


async def test_answers_that_nobody_takes_hold_the_reading_back() -> None:
    """A client that sends and never reads costs the room of a few answers, however much it sends."""
    messages = Messages(300)
    async with aclosing(Pipe(same).run(aiter(messages))) as answers:
        first = await anext(answers)
        await settled()
        read = messages.read
        rest = [answer async for answer in answers]

    assert read <= MAX_OPEN + 1
    assert sorted([first, *rest]) == list(range(1, 301))


async def test_a_failure_ends_the_reading() -> None:
    """Failed answers are never taken, and yet they do not hold the pipe up: its error comes out."""
    messages = Messages(1000)
    with pytest.raises(ValueError, match="1"):
        await anext(Pipe(failing).run(aiter(messages)))

    assert messages.read < 1000


async def test_a_failure_after_the_reading_has_ended_is_raised_when_all_is_answered() -> None:
    """What is still open then is waited for, not cancelled."""
    goes_on = asyncio.Event()

    async def answer(message: int) -> int:
        if message == 1:
            raise ValueError(message)
        await goes_on.wait()
        return message

    async with aclosing(Pipe(answer).run(Messages(2).__aiter__())) as answers:
        first = asyncio.ensure_future(anext(answers))
        await settled()
        goes_on.set()
        async with asyncio.timeout(5):
            assert await first == 2
            with pytest.raises(ValueError, match="1"):
                await anext(answers)


async def test_a_failure_ends_a_reading_that_waits() -> None:
    """For a client that has nothing to say."""

    async def messages() -> AsyncIterator[int]:
        yield 1
        await asyncio.Event().wait()

    async with aclosing(Pipe(failing).run(messages())) as answers, asyncio.timeout(5):
        with pytest.raises(ValueError, match="1"):
            await anext(answers)

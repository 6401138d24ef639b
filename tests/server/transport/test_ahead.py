"""Answers that are made ahead of their receiver."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from dragoman.server.core.errors import Overloaded
from dragoman.server.transport.ahead import ahead
from dragoman.server.transport.unread import Receiver, Unread
from dragoman.v1 import translation_pb2 as pb

pytestmark = pytest.mark.asyncio(loop_scope="session")


def result(index: int) -> pb.TextResult:
    return pb.TextResult(index=index, text="x" * 100)


class Answers:
    """Makes a number of answers, and then fails where it is told to."""

    def __init__(self, number: int, failure: Exception | None = None) -> None:
        self.number, self.failure, self.made, self.is_closed = number, failure, 0, False

    async def __call__(self) -> AsyncGenerator[pb.TextResult, None]:
        try:
            while self.made < self.number:
                self.made += 1
                yield result(self.made)
            if self.failure is not None:
                raise self.failure
            await asyncio.sleep(0 if self.number < 10 else 60)
        finally:
            self.is_closed = True


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_all_are_made_before_the_first_is_taken() -> None:
    """They come in order, and count as the receiver's until it has them."""
    answers, unread = Answers(3), Unread(1000, 60.0)

    async with aclosing(ahead(answers(), Receiver(unread))) as taken:
        first = await anext(taken)
        await settled()
        assert (answers.made, answers.is_closed) == (3, True)
        assert unread.num_bytes == sum(result(n).ByteSize() for n in (1, 2, 3))
        rest = [answer async for answer in taken]

    assert [answer.index for answer in (first, *rest)] == [1, 2, 3]
    assert unread.num_bytes == 0


async def test_a_failure_comes_after_what_was_made() -> None:
    """Nothing that is ready is lost."""
    failure = Overloaded(1, 2, 3, retry_after_s=1.0)
    answers = ahead(Answers(2, failure)(), Receiver(Unread(1000, 60.0)))
    taken = [(await anext(answers)).index for _ in range(2)]
    with pytest.raises(Overloaded) as raised:
        await anext(answers)

    assert (taken, raised.value) == ([1, 2], failure)


async def test_closing_it_ends_the_making() -> None:
    """Whoever reads no more has nothing made any more."""
    answers = Answers(10)
    async with aclosing(ahead(answers(), Receiver(Unread(1000, 60.0)))) as taken:
        await anext(taken)
    await settled()

    assert answers.is_closed

"""The answers of a stream, made ahead of its client's reading: who reads slowly, or not at all, holds up nothing."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeVar

from google.protobuf.message import Message

from dragoman.server.transport.unread import Receiver

Answer = TypeVar("Answer", bound=Message)


async def ahead(answers: AsyncGenerator[Answer, None], receiver: Receiver) -> AsyncGenerator[Answer, None]:
    """The answers, which are counted as the receiver's from when they are ready until they are taken. Close it early to
    close them, too.
    """
    ready: asyncio.Queue[tuple[Answer, int] | Exception | None] = asyncio.Queue()
    making = asyncio.create_task(_make(answers, receiver, ready))
    try:
        while (item := await ready.get()) is not None:
            if isinstance(item, Exception):
                raise item
            answer, size = item
            yield answer
            receiver.give(size)
    finally:
        making.cancel()


async def _make(
    answers: AsyncGenerator[Answer, None],
    receiver: Receiver,
    ready: "asyncio.Queue[tuple[Answer, int] | Exception | None]",
) -> None:
    """Have all answers ready, then their end."""
    try:
        async with aclosing(answers):
            async for answer in answers:
                size = answer.ByteSize()
                receiver.hold(size)
                ready.put_nowait((answer, size))
    except Exception as error:  # noqa: BLE001 - raised to whoever reads
        ready.put_nowait(error)
    else:
        ready.put_nowait(None)

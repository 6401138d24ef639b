"""A pipe: messages of texts come in while answers go out, in the order in which they are finished.

At most `MAX_OPEN` messages are open at a time, from being read until their answer has been taken; the next one is not
read before. So the stream's own flow control holds a client back that sends faster than the server translates, or that
does not read what it gets. When reading ends, in whatever way, what has been read is still answered; only then is an
error raised.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Generic, TypeVar

Message = TypeVar("Message")
Answer = TypeVar("Answer")

MAX_OPEN = 8


class Pipe(Generic[Message, Answer]):
    """Answers the messages of one stream."""

    def __init__(self, answer: Callable[[Message], Awaitable[Answer]]) -> None:
        self._answer = answer
        self._permits = asyncio.Semaphore(MAX_OPEN)
        self._answers: asyncio.Queue[Answer | None] = asyncio.Queue()
        self._open: set[asyncio.Task[None]] = set()
        self._failure: Exception | None = None
        self._reading: asyncio.Task[None] | None = None

    async def run(self, messages: AsyncIterator[Message]) -> AsyncGenerator[Answer, None]:
        """The answers. Raises the first error of reading or answering, after all other answers."""
        self._reading = reading = asyncio.create_task(self._read(messages))
        try:
            while (answer := await self._answers.get()) is not None:
                yield answer
                # Not before: answers that nobody takes must not pile up.
                self._permits.release()
            if self._failure is not None:
                raise self._failure
        finally:
            for task in (reading, *self._open):
                task.cancel()

    async def _read(self, messages: AsyncIterator[Message]) -> None:
        """Start an answer for each message, then wait for the last of them."""
        try:
            async for message in messages:
                await self._permits.acquire()
                if self._failure is not None:
                    break
                task = asyncio.create_task(self._run(message))
                self._open.add(task)
                task.add_done_callback(self._open.discard)
        except asyncio.CancelledError:
            if self._failure is None:  # else no further message is of use
                raise
        except Exception as error:  # noqa: BLE001 - raised by `run`, to whoever reads the answers
            self._failure = self._failure or error
        self._reading = None
        if self._open:
            await asyncio.wait(set(self._open))
        self._answers.put_nowait(None)

    async def _run(self, message: Message) -> None:
        try:
            self._answers.put_nowait(await self._answer(message))
        except Exception as error:  # noqa: BLE001 - raised by `run`, to whoever reads the answers
            if self._failure is None and self._reading is not None:
                self._reading.cancel()  # it may wait for a client that has nothing to say
            self._failure = self._failure or error
            self._permits.release()

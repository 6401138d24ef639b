"""Answers that clients do not take: bounded in time and in bytes.

An answer that is sent waits in this process until the client's window has room for it, and a client may open none, for
ever. So a call ends whose client has taken nothing for too long; and while all that is ready and not taken is too much,
that of the client which has taken nothing for longest. Nothing can be said to such a client: the call is cut off.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, closing
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

from dragoman.server.transport.grpc_server import GrpcMethod

MOMENT_S = 1.0
"""A client that takes what is sent is not ended for others' bytes."""
_BEAT_S = 0.25


class Receiver:
    """The client of one call, as it takes answers."""

    def __init__(self, unread: Unread) -> None:
        self._unread = unread
        self.task = _current_task()
        self._bytes, self._is_closed = 0, False
        self.is_ended = False
        """Whether the call was ended because the client did not read."""

    def hold(self, size: int) -> None:
        """So many bytes more are ready for it."""
        if self._is_closed:
            return
        self._bytes += size
        self._unread.num_bytes += size

    def give(self, size: int) -> None:
        """So many bytes are on their way to it."""
        self.hold(-size)

    def waits(self) -> None:
        """An answer is being sent."""
        self._unread.waiting[self] = self._unread.clock()

    def took(self) -> None:
        """It is sent."""
        self._unread.waiting.pop(self, None)

    def close(self, *_: object) -> None:
        """The call is over."""
        self.took()
        self.give(self._bytes)
        self._is_closed = True

    def end(self) -> None:
        """End the call."""
        self.is_ended = True
        self.close()
        self.task.cancel()


_receiver: ContextVar[Receiver] = ContextVar("receiver")


def current_receiver() -> Receiver:
    """The client of the call that is being served."""
    return _receiver.get()


class Unread:
    """All answers that are ready and not taken. `sweep` looks at the clock, every moment from `start` to `close`."""

    def __init__(
        self,
        limit_bytes: int,
        patience_s: float,
        on_ended: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit_bytes, self._patience_s, self._on_ended, self.clock = limit_bytes, patience_s, on_ended, clock
        self.num_bytes = 0
        self.waiting: dict[Receiver, float] = {}
        """Since when each client has something to take that it has not taken; the longest first."""
        self._beats: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Unread {self.num_bytes} bytes, {len(self.waiting)} calls>"

    def start(self) -> None:
        """Begin to look."""
        self._beats = asyncio.create_task(self._run())

    def close(self) -> None:
        """Look no more."""
        if self._beats is not None:
            self._beats.cancel()

    def sweep(self) -> None:
        """End calls whose clients do not read."""
        now_s = self.clock()
        while self.waiting:
            receiver, since_s = next(iter(self.waiting.items()))
            if now_s - since_s >= self._patience_s:
                self._end(receiver, "time")
            elif now_s - since_s >= MOMENT_S and self.num_bytes > self._limit_bytes:
                self._end(receiver, "bytes")
            else:
                return

    def _end(self, receiver: Receiver, reason: str) -> None:
        self._on_ended(reason)
        receiver.end()

    def watched(self, method: GrpcMethod) -> GrpcMethod:
        """The method, its answers watched. The outermost of what a method is wrapped in: it must see them leave."""
        behaviour = method.behaviour
        if method.is_generator:

            async def several(request: Any, context: Any) -> AsyncIterator[Any]:
                receiver = self._enter()
                with closing(receiver):
                    async with aclosing(behaviour(request, context)) as answers:
                        async for answer in answers:
                            receiver.waits()
                            yield answer
                            receiver.took()

            return replace(method, behaviour=several)

        async def single(request: Any, context: Any) -> Any:
            receiver = self._enter()
            # The answer is on its way when this is over, and taken when the task is.
            receiver.task.add_done_callback(receiver.close)
            answer = await behaviour(request, _Writer(context, receiver))
            if answer is not None:  # else it has written what it had to say
                receiver.hold(answer.ByteSize())
                receiver.waits()
            return answer

        return replace(method, behaviour=single)

    def _enter(self) -> Receiver:
        receiver = Receiver(self)
        _receiver.set(receiver)  # for good: every call has a context of its own
        return receiver

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_BEAT_S)
            self.sweep()


class _Writer:
    """A call's context, by which a method writes answers that are watched."""

    def __init__(self, context: Any, receiver: Receiver) -> None:
        self._context, self._receiver = context, receiver

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def write(self, answer: Any) -> None:
        """Send an answer."""
        self._receiver.waits()
        await self._context.write(answer)
        self._receiver.took()


def _current_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None, "every call is served in a task"
    return task

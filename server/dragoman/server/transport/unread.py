"""Answers that clients do not take: bounded in time and in bytes.

An answer that is sent waits in this process until the client's window has room for it, and a client may open none, for
ever. So a call ends whose client has taken nothing for too long; and while all that is ready and not taken is too much,
that of the client which has taken nothing for longest. Nothing can be said to such a client: the call is cut off.
"""

from __future__ import annotations

import asyncio
import inspect
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, closing
from contextvars import ContextVar
from typing import Any

import grpc

MOMENT_S = 1.0
"""A client that takes what is sent is not ended for others' bytes."""
_BEAT_S = 0.25
_CALL_TASK = "rpc_task"
"""What grpc.aio names the task that holds a call until its client has closed it."""


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
        for task in (self.task, _holder(self.task)):
            if task is not None:
                task.cancel()


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
        loop = asyncio.get_running_loop()
        loop.set_task_factory(_MadeTask.make)
        self._beats = loop.create_task(self._run())

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

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_BEAT_S)
            self.sweep()


class UnreadInterceptor(grpc.aio.ServerInterceptor):
    """Watches over the answers of every method. The outermost of the interceptors, as it must see them leave."""

    def __init__(self, unread: Unread) -> None:
        self._unread = unread
        self._handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """The method's handler, watched; made once, as nothing in it belongs to a call."""
        name = handler_call_details.method
        if name not in self._handlers:
            handler = await continuation(handler_call_details)
            if handler is None:
                return None
            self._handlers[name] = self._handler(handler)
        return self._handlers[name]

    def _handler(self, handler: Any) -> grpc.RpcMethodHandler[Any, Any]:
        sides = (handler.request_streaming, handler.response_streaming)
        kind = "_".join("stream" if is_streaming else "unary" for is_streaming in sides)
        make = getattr(grpc, f"{kind}_rpc_method_handler")
        watched = self._watched(getattr(handler, kind))
        return make(watched, handler.request_deserializer, handler.response_serializer)  # type: ignore[no-any-return]

    def _watched(self, behaviour: Any) -> Any:
        if inspect.isasyncgenfunction(behaviour):

            async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
                receiver = self._enter()
                with closing(receiver):
                    async with aclosing(behaviour(request, context)) as answers:
                        async for answer in answers:
                            receiver.waits()
                            yield answer
                            receiver.took()

            return stream

        async def single(request: Any, context: Any) -> Any:
            receiver = self._enter()
            # The context's own callbacks would hold it, and it the call, until the garbage collector comes.
            receiver.task.add_done_callback(receiver.close)
            answer = await behaviour(request, _Writer(context, receiver))
            if answer is not None:  # else it has written what it had to say
                receiver.hold(answer.ByteSize())
                receiver.waits()
            return answer

        return single

    def _enter(self) -> Receiver:
        receiver = Receiver(self._unread)
        _receiver.set(receiver)  # for good: every call has a context of its own
        return receiver


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


class _MadeTask(asyncio.Task[Any]):
    """A task that knows which other made it.

    grpc.aio holds a call in one task and serves it in another, which knows nothing of the first. Cancelling the second
    alone lets go of nothing: the call stays open, with what was to be sent, until its client closes it.
    """

    made_by: weakref.ref[asyncio.Task[Any]] | None = None

    @classmethod
    def make(cls, loop: asyncio.AbstractEventLoop, work: Any, **fields: Any) -> _MadeTask:
        """What the loop makes all tasks with."""
        task = cls(work, loop=loop, **fields)
        maker = asyncio.current_task(loop)
        task.made_by = None if maker is None else weakref.ref(maker)
        return task


def _current_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None, "every call is served in a task"
    return task


def _holder(task: asyncio.Task[Any]) -> asyncio.Task[Any] | None:
    """The task of grpc.aio's that holds the call which `task` serves."""
    maker = task.made_by() if isinstance(task, _MadeTask) and task.made_by is not None else None
    return maker if maker is not None and maker.get_name() == _CALL_TASK else None

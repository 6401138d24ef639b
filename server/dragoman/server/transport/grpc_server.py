"""A server of gRPC for an event loop, upon gRPC's core.

`grpc.aio` takes 0.15 ms of a processor for a call that does nothing, most of it to wake the event loop once for each
thing that happens to it. Here a thread of its own takes what happens from the core, and hands it over in one go, which
is half of the time. What is to be refused is refused by that thread, at a `Gate`, for half of that again or less: an
overloaded server does little else.

It stands on the module that gRPC's own blocking server stands on, which is not public and has been the same for years;
nothing else of this server knows of it. Methods are told of a call by a `GrpcCall`, which has what they need of a
`grpc.aio.ServicerContext`.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, NamedTuple, Protocol

import grpc
from grpc._cython import cygrpc  # type: ignore[attr-defined] # it has no types

from dragoman.server.core import logs

_logger = logging.getLogger(__name__)

Metadata = Sequence[tuple[str, str | bytes]]

FIRST_S = 0.25
"""How long the thread waits for a call's first message before it hands the call over without."""
SLACK_S = 0.05
"""A client whose deadline passes ends its call so long before it passes here, or a little later."""
REQUESTED, FEW_REQUESTED = 32, 16
"""Calls that the core may hand out, and how few are left when it is asked again."""
METADATA_BYTES = 16 * 1024
"""What a client may send beside its messages. The core sees to it, but for clients that have not confirmed that."""
_MOST_METADATA_BYTES = METADATA_BYTES * 5 // 4
"""The core, too, refuses some calls from the former on, and all from here on."""
RUSH, RUSH_S = 20, 0.05
"""So many refusals in such a time are a rush, which goes on for as long behind the last of them."""
PAUSE_S = 0.025
"""How long what happens in a rush is let come, and is then looked at together. Lanes work meanwhile: where they and the
thread take turns for each call, it finds nothing in the processor's caches, and a refusal takes half as long again."""
_LATE_S = FIRST_S / 8
"""How often it is looked for calls that have waited for so long."""
_TURN = 256
"""What is handed over before the event loop has its turn."""
_TOO_LATE = (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE)
"""How calls end that are more than a server takes."""
_ENDLESS_S = 1e17
"""What the core calls a deadline beyond this is none."""
_NO_FLAGS = 0
_ENTRY_BYTES = 32
"""What an entry of metadata counts for beside its letters: HTTP/2's rule."""
_NOTHING = object()


@dataclass(frozen=True)
class GrpcMethod:
    """How calls of a method are served: `behaviour` takes None and the call, and returns an answer or gives several."""

    behaviour: Callable[[Any, Any], Any]
    serialize: Callable[[Any], bytes]
    gives_several: bool
    is_generator: bool
    """Whether it yields them; else it writes them by itself."""
    takes_one: bool
    """Whether a call has one message, for which it need not be handed over."""


Wrap = Callable[[str, Any], GrpcMethod]
"""Makes a method of its full name, and of the handler that a generated service registers for it."""


class Refusal(NamedTuple):
    """What a call is refused with."""

    code: grpc.StatusCode
    message: str
    trailing: Metadata


class Gate(Protocol):
    """Refuses calls on the thread, where that is to be cheap."""

    def at_arrival(self, call: GrpcCall) -> Refusal | None:
        """Why a call is refused before its message is there."""

    def at_message(self, call: GrpcCall, message: bytes) -> Refusal | None:
        """Why a call is refused by its only message."""

    def unknown(self) -> None:
        """A call of a method that there is not was refused."""


Bring = Callable[[bytes, int], None]
"""Told of each message, and of what came beside it: whose connection has brought it, and how many bytes."""


class OpenGate:
    """Lets everything through."""

    def at_arrival(self, call: GrpcCall) -> None:
        """No reason."""

    def at_message(self, call: GrpcCall, message: bytes) -> None:
        """No reason."""

    def unknown(self) -> None:
        """Nobody counts."""


class GrpcCall:
    """A call that is being served. It belongs to the event loop, until it is handed over to the thread of `_Core`."""

    __slots__ = (
        "_code",
        "_core",
        "_deadline_s",
        "_first",
        "_has_begun",
        "_is_over",
        "_is_sending",
        "_metadata",
        "_peer",
        "_reading",
        "_serialize",
        "_server",
        "_task",
        "method",
        "on_end",
        "parsed",
    )

    def __init__(self, server: _Core, event: Any) -> None:
        self._server, self._core = server, event.call
        self._peer: bytes = event.call.peer()
        self.method: str = event.call_details.method.decode("ascii", "replace")
        self._metadata: Metadata = event.invocation_metadata or ()
        self._deadline_s: float = event.call_details.deadline
        self._first: Any = _NOTHING
        self._reading: asyncio.Future[bytes | None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._serialize: Callable[[Any], bytes] = bytes
        self._code: grpc.StatusCode | None = None
        self._has_begun = self._is_sending = self._is_over = False
        self.parsed: Any = None
        """What the gate has made of the first message, where it has looked at it."""
        self.on_end: Callable[..., None] | None = None
        """Told on the event loop that it is over, and whether it was in time: `is_in_time`."""

    def __repr__(self) -> str:
        return f"<GrpcCall {self.method}{' over' if self._is_over else ''}>"

    def invocation_metadata(self) -> Metadata:
        """What the client has sent beside its messages."""
        return self._metadata

    def time_remaining(self) -> float | None:
        """Seconds until the deadline, none below 0; None where there is none."""
        return None if self._deadline_s > _ENDLESS_S else max(0.0, self._deadline_s - time.time())

    def code(self) -> grpc.StatusCode | None:
        """What it has been ended with."""
        return self._code

    async def read(self) -> Any:
        """The next message, as bytes; `grpc.aio.EOF` where none comes any more."""
        first, self._first = self._first, _NOTHING
        if first is _NOTHING:
            if self._reading is None:
                self._reading = self._server.loop.create_future()
                self._server.start(self._core, (cygrpc.ReceiveMessageOperation(_NO_FLAGS),), self._came)
            first = await self._reading
            self._reading = None
        return grpc.aio.EOF if first is None else first

    async def write(self, answer: Any) -> None:
        """Send an answer; done when the core has passed it on, as the client's window allows."""
        await self._send((*self._head(), cygrpc.SendMessageOperation(self._serialize(answer), _NO_FLAGS)))

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Metadata = ()) -> None:
        """End it with an error. Raises `AbortError`, or `CancelledError` where the client cannot be told."""
        if self._is_over or self._is_sending:
            self.cancel()
            raise asyncio.CancelledError
        self._code, self._is_over = code, True
        refusal = Refusal(code, details, trailing_metadata)
        self._server.start(self._core, (*self._head(), _status(refusal)), _ignore)
        raise grpc.aio.AbortError

    def brought(self, size: int) -> None:
        """So many bytes have come for it."""
        self._server.bring(self._peer, size)

    def cancel(self) -> None:
        """End it without a word."""
        self._is_over = True
        self._core.cancel()

    def begin(self, method: GrpcMethod, *, is_waiting: bool) -> None:
        """Serve it. `is_waiting`: the thread waits for its first message."""
        self._serialize = method.serialize
        try:
            if is_waiting:
                self._reading = self._server.loop.create_future()
            self._task = self._server.loop.create_task(self._serve(method))
            self._task.add_done_callback(self._served)  # also where it is cancelled before it begins
        except BaseException:
            self._served()
            raise

    def set_first(self, message: bytes | None) -> None:
        """The thread has read the first message, before the call was handed over."""
        self._first = message

    def came(self, event: Any) -> None:
        """The thread has read the first message, and the call was handed over meanwhile."""
        self._came(event)

    def closed(self, event: Any) -> None:
        """The core is done with it: it was answered, or its client or its deadline ended it."""
        self._is_over = True
        if event.batch_operations[0].cancelled() and self._task is not None:
            self._task.cancel()

    async def _serve(self, method: GrpcMethod) -> None:
        try:
            await self._answer(method)
        except grpc.aio.AbortError:
            pass
        except asyncio.CancelledError:  # whoever cancelled it does not ask what became of it
            pass
        except Exception as error:  # noqa: BLE001 - what methods raise is answered by them: this is a defect
            logs.event(_logger, logging.ERROR, "call_not_served", method=self.method, exc_info=error)
            with suppress(grpc.aio.AbortError, asyncio.CancelledError):
                await self.abort(grpc.StatusCode.INTERNAL, "internal error")

    def _served(self, _: asyncio.Task[None] | None = None) -> None:
        self._task = None
        if not self._is_over:
            self.cancel()
        self._server.num_ended += 1
        if self.on_end is not None:
            self.on_end(is_in_time=self._is_in_time())

    def _is_in_time(self) -> bool:
        """Whether it took no longer than it might: it was answered, whatever the answer, or its client left early."""
        if self._code is None:
            remaining_s = self.time_remaining()
            return remaining_s is None or remaining_s > SLACK_S
        return self._code not in _TOO_LATE

    async def _answer(self, method: GrpcMethod) -> None:
        if not method.gives_several:
            answer = await method.behaviour(None, self)
            await self._end(
                () if answer is None else (cygrpc.SendMessageOperation(self._serialize(answer), _NO_FLAGS),)
            )
            return
        if method.is_generator:
            async with aclosing(method.behaviour(None, self)) as answers:
                async for answer in answers:
                    await self.write(answer)
        else:
            await method.behaviour(None, self)
        await self._end(())

    async def _end(self, last: tuple[Any, ...]) -> None:
        """Send the last answer, where it is not sent yet, and say that all went well."""
        self._code = grpc.StatusCode.OK
        await self._send((*self._head(), *last, _status(_WELL)))
        self._is_over = True

    def _head(self) -> tuple[Any, ...]:
        """What goes before all else."""
        if self._has_begun:
            return ()
        self._has_begun = True
        return (cygrpc.SendInitialMetadataOperation(None, _NO_FLAGS),)

    async def _send(self, operations: Sequence[Any]) -> None:
        sent = self._server.loop.create_future()
        self._is_sending = True
        self._server.start(self._core, operations, partial(self._sent, sent))
        if not await sent:
            raise asyncio.CancelledError  # the client has gone

    def _sent(self, sent: asyncio.Future[bool], event: Any) -> None:
        self._is_sending = False
        if not sent.done():
            sent.set_result(event.success)

    def _came(self, event: Any) -> None:
        message = event.batch_operations[0].message()
        self.brought(len(message or b""))
        if self._reading is not None and not self._reading.done():
            self._reading.set_result(message)


class Rush:
    """Whether calls are being refused so fast that they are looked at together. Of one thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._number, self._since_s, self._until_s = 0, -math.inf, -math.inf

    def __repr__(self) -> str:
        return f"<Rush {'on' if self.is_on() else 'off'}>"

    def refused(self) -> None:
        """A call is refused."""
        now_s = self._clock()
        if now_s - self._since_s > RUSH_S:
            self._number, self._since_s = 0, now_s
        self._number += 1
        if self._number >= RUSH:
            self._until_s = now_s + RUSH_S

    def is_on(self) -> bool:
        """Whether many were refused a moment ago."""
        return self._clock() < self._until_s


class _Core:
    """The core's server, the thread that takes events from it, and the way from there to the event loop."""

    def __init__(
        self, options: Sequence[tuple[str, Any]], gate: Gate, methods: Mapping[str, GrpcMethod], bring: Bring
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self._gate, self._methods, self.bring = gate, methods, bring
        self.queue = cygrpc.CompletionQueue()
        self.server = cygrpc.Server(tuple(options), False)  # noqa: FBT003 - its signature
        self.server.register_completion_queue(self.queue)
        self._handed: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._is_awake = False
        self._first: OrderedDict[GrpcCall, float] = OrderedDict()
        """Calls whose first message the thread waits for, and since when; the oldest first."""
        self._rush = Rush()
        self._look_s = 0.0
        """When it is looked for those that have waited for too long."""
        self._num_requested = 0
        """Calls that the core may hand out now."""
        self.num_begun = self.num_ended = 0
        """Calls that were not refused; the thread counts the former, the event loop the latter."""
        self._is_stopping = False
        self.thread = threading.Thread(target=self._run, name="grpc", daemon=True)

    def begin(self) -> None:
        """Take calls."""
        self.server.start()
        self._request()
        self.thread.start()

    def stop(self, done: Callable[[Any], None]) -> None:
        """Take no more calls; `done` on the event loop when all have ended."""
        self._is_stopping = True
        if not self.thread.is_alive():
            self.begin()  # what listens and was never begun cannot be ended
        self.server.shutdown(self.queue, partial(self.hand_over, done))

    def start(self, core: Any, operations: Sequence[Any], done: Callable[[Any], None]) -> None:
        """Have the core do something for a call, and `done` on the event loop when it has."""
        _start(core, operations, _ignore if done is _ignore else partial(self.hand_over, done))

    def hand_over(self, work: Callable[..., None], *given: Any) -> None:
        """Have something done on the event loop, soon."""
        self._handed.append((work, given))
        if not self._is_awake:
            self._is_awake = True
            try:
                self.loop.call_soon_threadsafe(self._take)
            except RuntimeError:  # the loop is closed, and nobody waits for anything any more
                pass
            except BaseException:
                self._is_awake = False  # else nothing would ever wake it again
                raise

    def _take(self) -> None:
        self._is_awake = False  # first: what is handed over from here on wakes it again
        for _ in range(_TURN):
            try:
                work, given = self._handed.popleft()
            except IndexError:
                return
            try:
                work(*given)
            except Exception as error:  # noqa: BLE001 - the others are handed over all the same
                logs.event(_logger, logging.ERROR, "event_not_handled", exc_info=error)
        if not self._is_awake:
            self._is_awake = True
            self.loop.call_soon(self._take)

    # From here on: the thread.

    def _run(self) -> None:
        ended, nothing = cygrpc.CompletionType.queue_shutdown, cygrpc.CompletionType.queue_timeout
        while True:
            try:
                is_rush = self._rush.is_on()
                event = self.queue.poll(0.0 if is_rush else time.time() + FIRST_S if self._first else None)
                kind = event.completion_type
                if kind == ended:
                    return
                if kind != nothing:
                    event.tag(event)
                elif is_rush:
                    time.sleep(PAUSE_S)
                if self._num_requested <= FEW_REQUESTED:
                    self._request()
                if self._first and time.monotonic() >= self._look_s:
                    self._hand_over_late()
            except Exception as error:  # noqa: BLE001 - one call's, and the others go on
                logs.event(_logger, logging.ERROR, "event_not_handled", exc_info=error)
            event = None  # it may be all that keeps a call

    def _request(self) -> None:
        """As many calls as it may hand out, also where it could not be asked for some of them a moment ago."""
        try:
            while self._num_requested < REQUESTED and not self._is_stopping:
                self.server.request_call(self.queue, self.queue, self._arrived)
                self._num_requested += 1
        except ValueError:  # it is being shut down
            pass

    def _arrived(self, event: Any) -> None:
        self._num_requested -= 1
        if not event.success:
            return
        try:
            self._take_in(event)
        except BaseException:
            self._refuse(event.call, _NOT_TAKEN)  # else its client would wait for nobody
            raise

    def _take_in(self, event: Any) -> None:
        call = GrpcCall(self, event)
        metadata = call.invocation_metadata()
        size = sum(map(len, chain.from_iterable(metadata))) + _ENTRY_BYTES * len(metadata)
        if size > _MOST_METADATA_BYTES:
            self._refuse(event.call, _TOO_MUCH_METADATA)
            return
        call.brought(size)
        method = self._methods.get(call.method)
        if method is None:
            self._gate.unknown()
            self._refuse(event.call, _UNKNOWN)
        elif refusal := self._asked(self._gate.at_arrival, call):
            self._refuse(event.call, refusal)
        elif method.takes_one:
            _start(event.call, (cygrpc.ReceiveMessageOperation(_NO_FLAGS),), partial(self._first_came, call, method))
            self._first[call] = time.monotonic()
            self.num_begun += 1
        else:
            self.num_begun += 1
            self._begin(call, method, is_waiting=False)

    def _first_came(self, call: GrpcCall, method: GrpcMethod, event: Any) -> None:
        if self._first.pop(call, None) is None:
            self.hand_over(call.came, event)
            return
        message = event.batch_operations[0].message()
        call.brought(len(message or b""))
        if message is not None and (refusal := self._asked(self._gate.at_message, call, message)):
            self.num_begun -= 1
            self._refuse(call._core, refusal)
            return
        call.set_first(message)
        self._begin(call, method, is_waiting=False)

    def _asked(self, ask: Callable[..., Refusal | None], *given: Any) -> Refusal | None:
        """What the gate says; a defect of it keeps nobody out."""
        try:
            return ask(*given)
        except Exception as error:  # noqa: BLE001 - whatever it is, the event loop will see
            logs.event(_logger, logging.ERROR, "gate_failed", exc_info=error)
            return None

    def _hand_over_late(self) -> None:
        """What has waited for its first message for too long goes without."""
        now_s = time.monotonic()
        self._look_s, before_s = now_s + _LATE_S, now_s - FIRST_S
        while self._first:
            call, since_s = next(iter(self._first.items()))
            if since_s > before_s:
                return
            del self._first[call]
            self._begin(call, self._methods[call.method], is_waiting=True)

    def _begin(self, call: GrpcCall, method: GrpcMethod, *, is_waiting: bool) -> None:
        try:
            closing = (cygrpc.ReceiveCloseOnServerOperation(_NO_FLAGS),)
            _start(call._core, closing, partial(self.hand_over, call.closed))
            self.hand_over(partial(call.begin, method, is_waiting=is_waiting))
        except Exception as error:  # noqa: BLE001 - one call's, and the others go on
            self.num_begun -= 1
            self._refuse(call._core, _NOT_TAKEN)
            if call.on_end is not None:
                self.hand_over(partial(call.on_end, is_in_time=False))
            logs.event(_logger, logging.ERROR, "event_not_handled", exc_info=error)

    def _refuse(self, core: Any, refusal: Refusal) -> None:
        self._rush.refused()
        _start(core, (cygrpc.SendInitialMetadataOperation(None, _NO_FLAGS), _status(refusal)), _ignore)


class GrpcServer:
    """Methods, the addresses where they are served, and a start and an end."""

    def __init__(
        self,
        options: Sequence[tuple[str, Any]],
        wrapped: Wrap,
        gate: Gate | None = None,
        bring: Bring = lambda _, __: None,
    ) -> None:
        self._wrapped = wrapped
        self._methods: dict[str, GrpcMethod] = {}
        self._core = _Core(options, gate or OpenGate(), self._methods, bring)
        self._is_stopped = False

    def __repr__(self) -> str:
        return f"<GrpcServer {len(self._methods)} methods>"

    @property
    def num_open(self) -> int:
        """Calls that have come and not ended, those among them that the event loop has not seen yet."""
        return self._core.num_begun - self._core.num_ended

    def add(self, register: Callable[[Any, Any], None], servicer: object) -> None:
        """Serve a service: the function of its generated code, and what implements it."""
        register(servicer, self)

    def add_registered_method_handlers(
        self, service: str, handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]
    ) -> None:
        """Serve the methods of a service; what its generated code calls."""
        for name, handler in handlers.items():
            path = f"/{service}/{name}"
            self._methods[path] = self._wrapped(path, handler)

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """The same methods, told in another way: generated code calls both."""

    def add_port(self, address: str, credentials: grpc.ServerCredentials | None = None) -> int:
        """Listen there; the port that was taken. Raises RuntimeError where that cannot be."""
        given = () if credentials is None else (credentials._credentials,)  # type: ignore[attr-defined] # as gRPC's own server
        port: int = self._core.server.add_http2_port(address.encode(), *given)
        if not port:
            raise RuntimeError(f"cannot listen on {address}")
        return port

    async def start(self) -> None:
        """Take calls from now on."""
        self._core.begin()

    async def stop(self, grace_s: float = 0.0) -> None:
        """Take no more calls. Those under way have so long, then they are cancelled. A second call changes nothing."""
        if self._is_stopped:
            return
        self._is_stopped = True
        core = self._core
        stopped = core.loop.create_future()
        core.stop(lambda _: stopped.set_result(None))
        await asyncio.wait({stopped}, timeout=grace_s)
        if not stopped.done():
            core.server.cancel_all_calls()
            await stopped
        core.queue.shutdown()
        await asyncio.to_thread(core.thread.join)
        core.server.destroy()


def _start(core: Any, operations: Sequence[Any], done: Callable[[Any], None]) -> None:
    """Have the core do something for a call. Raises where it will not, which is a defect: then `done` is not told."""
    if error := core.start_server_batch(operations, done):
        raise RuntimeError(f"gRPC's core does not take {operations}: error {error}")


def _status(refusal: Refusal) -> Any:
    return cygrpc.SendStatusFromServerOperation(
        tuple(refusal.trailing), refusal.code.value[0], refusal.message.encode("utf-8", "replace"), _NO_FLAGS
    )


def _ignore(_: Any) -> None:
    """What has happened interests nobody."""


_WELL = Refusal(grpc.StatusCode.OK, "", ())
_NOT_TAKEN = Refusal(grpc.StatusCode.UNAVAILABLE, "the server could not take the call", ())
_TOO_MUCH_METADATA = Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "received metadata size exceeds hard limit", ())
_UNKNOWN = Refusal(grpc.StatusCode.UNIMPLEMENTED, "GrpcMethod not found!", ())

"""Around every RPC: its caller, its request id, its status in case of an error, its metrics and its log line.

The outermost layer, so nothing that goes wrong below reaches the client but as a status made here.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import random
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from dragoman.server.core import logs
from dragoman.server.core.errors import DeadlineUnmeetable, InvalidRequest, Overloaded, ServingError, Shed
from dragoman.server.core.tracing import Trace, continued
from dragoman.server.telemetry.request_metrics import DEADLINE_SLACK_S
from dragoman.server.telemetry.rpc_metrics import MethodMetrics, RpcMetrics
from dragoman.server.transport.arrivals import Arrivals
from dragoman.server.transport.callers import ANYBODY
from dragoman.server.transport.doors import Doors, Visit
from dragoman.server.transport.grpc_server import GrpcMethod
from dragoman.server.transport.status import status_code, status_message, trailing_metadata, usable_id

_logger = logging.getLogger(__name__)
_request_id: ContextVar[str] = ContextVar("request_id")
_visit: ContextVar[Visit] = ContextVar("visit")
_trace: ContextVar[Trace | None] = ContextVar("trace", default=None)
_MOMENT_S = 0.01
OPEN = "/grpc.health.v1.Health/"
"""Methods of this service need no token: who probes has none."""


def request_id() -> str:
    """The id of the call that is being served."""
    return _request_id.get()


def current_visit() -> Visit:
    """Who makes the call that is being served, and whether it may go on."""
    return _visit.get()


def current_trace() -> Trace | None:
    """Where the call belongs in a trace; None where nobody asks."""
    return _trace.get()


class InternalError(ServingError):
    """A defect; the client gets an id that the log has too, and nothing else."""

    def __init__(self, error_id: str) -> None:
        super().__init__(f"internal error {error_id}: the server's log has it under this id")


class CallInterceptor:
    """Wraps every method of the server. `work` names those that cost something.

    Each method reads its messages as bytes: they are parsed and counted here.
    """

    def __init__(
        self,
        metrics: RpcMetrics,
        doors: Doors,
        arrivals: Arrivals,
        *,
        on_refused: Callable[[ServingError], None] = lambda _: None,
        on_overload: Callable[[], None] = lambda: None,
        work: Collection[str] = (),
        trace_ratio: float = 0.0,
    ) -> None:
        self._metrics, self.doors, self.arrivals = metrics, doors, arrivals
        self._on_refused, self._work = on_refused, work
        self.on_overload = on_overload
        """Told that a request was refused for lack of room or time."""
        self.trace_ratio = trace_ratio
        """How many of the traces that begin here are kept."""

    def method(self, name: str, handler: grpc.RpcMethodHandler[Any, Any]) -> GrpcMethod:
        """The method that a handler of a generated service stands for, wrapped."""
        return _Method(name, handler, self, self._metrics.method(name)).served

    def refused(self, method: str, error: ServingError) -> None:
        """Count a call that ended before there was a message to serve."""
        if method in self._work:
            self._on_refused(error)


class _Method:
    """One method of the server: what reads its messages and calls its behaviour."""

    def __init__(self, name: str, handler: Any, calls: CallInterceptor, metrics: MethodMetrics) -> None:
        self.name, self._calls, self._metrics = name, calls, metrics
        self._parse = handler.request_deserializer or (lambda message: message)
        self._doors = Doors() if name.startswith(OPEN) else calls.doors
        self._is_stream = handler.request_streaming
        sides = (handler.request_streaming, handler.response_streaming)
        self._behaviour = getattr(handler, "_".join("stream" if is_stream else "unary" for is_stream in sides))
        is_generator = inspect.isasyncgenfunction(self._behaviour)
        self.served = GrpcMethod(
            behaviour=self._stream if is_generator else self._single,
            serialize=handler.response_serializer or bytes,
            gives_several=handler.response_streaming,
            is_generator=is_generator,
            takes_one=not handler.request_streaming,
        )

    async def _single(self, _: Any, context: Any) -> Any:
        call = _Rpc(self.name, context, self._calls)
        with self._observed(call):
            try:
                with call.entered(self._doors):
                    request = self._messages(context) if self._is_stream else await self._message(call, context)
                    answer = self._behaviour(request, context)
                    response = await answer if inspect.isawaitable(answer) else answer
                if response is not None:  # else it has written what it had to say
                    self._metrics.sent()
                return response
            except Exception as error:  # noqa: BLE001 - the outermost layer
                return await call.abort(error)

    async def _stream(self, _: Any, context: Any) -> AsyncIterator[Any]:
        call = _Rpc(self.name, context, self._calls)
        with self._observed(call):
            try:
                with call.entered(self._doors):
                    request = self._messages(context) if self._is_stream else await self._message(call, context)
                    async for response in self._behaviour(request, context):
                        self._metrics.sent()
                        call.visit.is_away = True
                        yield response
                        call.visit.back()
            except Exception as error:  # noqa: BLE001 - the outermost layer
                await call.abort(error)

    async def _message(self, call: _Rpc, context: Any) -> Any:
        """The call's only message."""
        try:
            raw = await self._calls.arrivals.message(context.read, is_due=True)
            if raw is grpc.aio.EOF:
                # A call that its client has reset looks so, too, for a moment: then there is nobody to tell.
                await asyncio.sleep(_MOMENT_S)
                raise InvalidRequest("", "the call has ended without a message")
            message = getattr(context, "parsed", None)
            if message is None:
                message = self._parsed(raw)
            else:
                self._metrics.received()
        except ServingError as error:
            self._calls.refused(self.name, error)
            raise
        call.take_id(message)
        return message

    async def _messages(self, context: Any) -> AsyncIterator[Any]:
        """The messages of the call's stream, which may take their time."""
        try:
            while (raw := await self._calls.arrivals.message(context.read, is_due=False)) is not grpc.aio.EOF:
                yield self._parsed(raw)
        except ServingError as error:
            self._calls.refused(self.name, error)
            raise

    def _parsed(self, raw: bytes) -> Any:
        try:
            message = self._parse(raw)
        except DecodeError:
            raise InvalidRequest("", f"the message is not what {self.name} takes") from None
        self._metrics.received()
        return message

    @contextmanager
    def _observed(self, call: _Rpc) -> Iterator[None]:
        """Count and time one call."""
        started = time.perf_counter()
        _request_id.set(call.id)  # for good: every call has a context of its own
        self._metrics.started()
        code = "UNKNOWN"
        try:
            yield
            code = "OK"
        except grpc.aio.AbortError:
            code = call.code or "UNKNOWN"
            raise
        except (asyncio.CancelledError, GeneratorExit):
            code = call.code or call.cancelled_code()
            raise
        finally:
            seconds = time.perf_counter() - started
            self._metrics.handled(code, seconds)
            self._metrics.called(call.visit.name, code)
            if _logger.isEnabledFor(logging.DEBUG):
                facts: dict[str, Any] = {"method": self.name, "id": call.id, "caller": call.visit.name}
                logs.event(_logger, logging.DEBUG, "call_ended", **facts, code=code, seconds=seconds)


class _Rpc:
    """One RPC in progress."""

    def __init__(self, method: str, context: Any, calls: CallInterceptor) -> None:
        self.method, self._on_overload = method, calls.on_overload
        self.code: str | None = None
        self._metadata = context.invocation_metadata() or ()
        headers = dict(self._metadata)
        self.id = usable_id(headers.get("x-request-id")) or f"{random.getrandbits(64):016x}"
        traceparent = headers.get("traceparent")
        if calls.trace_ratio or traceparent is not None:
            header = traceparent if isinstance(traceparent, str) else None
            _trace.set(continued(header, ratio=calls.trace_ratio, random_bits=secrets.randbits))
        self.visit = Visit(ANYBODY)
        self._context = context

    @contextmanager
    def entered(self, doors: Doors) -> Iterator[None]:
        """Let the caller in for the time of the call, or raise why it may not."""
        with doors.entered(self._metadata, asyncio.current_task()) as self.visit:
            _visit.set(self.visit)  # for good, as the id
            yield

    def take_id(self, message: Any) -> None:
        """Go by the id that the message names, if it does."""
        if given := usable_id(getattr(getattr(message, "request", message), "request_id", "")):
            self.id = given
            _request_id.set(given)

    async def abort(self, error: Exception) -> Any:
        """End the call with the error's status."""
        if isinstance(error, grpc.aio.AbortError):
            self.code = self._aborted_code()
            raise error
        known = self._known(error)
        if isinstance(known, Overloaded | DeadlineUnmeetable):
            self._on_overload()
        if isinstance(error, ServingError) and error.__cause__ is not None:
            logs.event(_logger, logging.ERROR, "call_failed", id=self.id, method=self.method, exc_info=error.__cause__)
        self.code = known.code
        try:
            trailing = trailing_metadata(known, self.id, self._attempts())
            await self._context.abort(status_code(known), status_message(known), trailing)
        except grpc.aio.InternalError as gone:
            # The call is over for the client already, as after a deadline that passes on both sides: nobody to tell.
            raise asyncio.CancelledError from gone

    def _attempts(self) -> int:
        """How often the call was made before, as gRPC's own retries say."""
        given = dict(self._metadata).get("grpc-previous-rpc-attempts")
        return int(given) if isinstance(given, str) and re.fullmatch("[0-9]", given) else 0

    def cancelled_code(self) -> str:
        """Why the call was cancelled: gRPC does not tell a client that left from a deadline that passed."""
        remaining_s = self._context.time_remaining()
        return "DEADLINE_EXCEEDED" if remaining_s is not None and remaining_s <= DEADLINE_SLACK_S else "CANCELLED"

    def _known(self, error: Exception) -> ServingError:
        """The error as the client may have it."""
        if isinstance(error, ServingError):
            return error
        if isinstance(error, MemoryError):
            logs.event(_logger, logging.ERROR, "out_of_memory", id=self.id, method=self.method, exc_info=error)
            return Shed("memory", "there was not enough memory for this call")
        return self._unexpected(error)

    def _unexpected(self, error: Exception) -> InternalError:
        error_id = secrets.token_hex(8)
        logs.event(
            _logger, logging.ERROR, "internal_error", id=self.id, method=self.method, error_id=error_id, exc_info=error
        )
        return InternalError(error_id)

    def _aborted_code(self) -> str:
        """What a method that aborts by itself (health and reflection do) chose."""
        code = self._context.code()
        return code.name if isinstance(code, grpc.StatusCode) else "UNKNOWN"

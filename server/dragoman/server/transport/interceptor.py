"""Around every RPC: its caller, its request id, its status in case of an error, its metrics and its log line.

The outermost layer, so nothing that goes wrong below reaches the client but as a status made here. gRPC itself would
send the type and text of an unexpected exception.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import grpc

from dragoman.server.core import logs
from dragoman.server.core.errors import ServingError
from dragoman.server.core.limits import MAX_REQUEST_ID_BYTES
from dragoman.server.telemetry.request_metrics import DEADLINE_SLACK_S
from dragoman.server.telemetry.rpc_metrics import MethodMetrics, RpcMetrics
from dragoman.server.transport.callers import ANYBODY, Caller, Doors
from dragoman.server.transport.status import status_code, status_message, trailing_metadata

_logger = logging.getLogger(__name__)
_request_id: ContextVar[str] = ContextVar("request_id")
_caller: ContextVar[Caller] = ContextVar("caller", default=ANYBODY)
OPEN = "/grpc.health.v1.Health/"
"""Methods of this service need no token: who probes has none."""


def request_id() -> str:
    """The id of the call that is being served."""
    return _request_id.get()


def current_caller() -> Caller:
    """Who makes the call that is being served."""
    return _caller.get()


class InternalError(ServingError):
    """A defect; the client gets an id that the log has too, and nothing else."""

    def __init__(self, error_id: str) -> None:
        super().__init__(f"internal error {error_id}: the server's log has it under this id")


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Wraps every method of the server."""

    def __init__(self, metrics: RpcMetrics, doors: Doors) -> None:
        self._metrics, self._doors = metrics, doors

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """The method's handler, wrapped; an unknown method is counted under one label for all."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None:
            self._metrics.unknown()
            return handler
        sides = (handler.request_streaming, handler.response_streaming)
        kind = "_".join("stream" if is_streaming else "unary" for is_streaming in sides)
        make = getattr(grpc, f"{kind}_rpc_method_handler")
        doors = Doors() if method.startswith(OPEN) else self._doors
        behaviour = _wrapped(getattr(handler, kind), method, self._metrics.method(method), doors)
        return make(behaviour, handler.request_deserializer, handler.response_serializer)  # type: ignore[no-any-return]


def _wrapped(behaviour: Any, method: str, metrics: MethodMetrics, doors: Doors) -> Any:
    if inspect.isasyncgenfunction(behaviour):

        async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
            call = _Rpc(method, request, context)
            with _observed(call, metrics):
                try:
                    with call.entered(doors):
                        async for response in behaviour(_received(request, metrics), context):
                            metrics.sent()
                            yield response
                except Exception as error:  # noqa: BLE001 - the outermost layer
                    await call.abort(error)

        return stream

    async def unary(request: Any, context: Any) -> Any:
        call = _Rpc(method, request, context)
        with _observed(call, metrics):
            try:
                with call.entered(doors):
                    answer = behaviour(_received(request, metrics), context)
                    response = await answer if inspect.isawaitable(answer) else answer
                if response is not None:  # else it has written what it had to say
                    metrics.sent()
                return response
            except Exception as error:  # noqa: BLE001 - the outermost layer
                return await call.abort(error)

    return unary


def _received(request: Any, metrics: MethodMetrics) -> Any:
    """A call's message, or its messages to come, counted."""
    if not isinstance(request, AsyncIterator):
        metrics.received()
        return request

    async def messages() -> AsyncIterator[Any]:
        async for message in request:
            metrics.received()
            yield message

    return messages()


@contextmanager
def _observed(call: _Rpc, metrics: MethodMetrics) -> Iterator[None]:
    """Count and time one call."""
    started = time.perf_counter()
    _request_id.set(call.id)  # for good: every call has a context of its own
    metrics.started()
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
        metrics.handled(code, seconds)
        metrics.called(call.caller.name, code)
        facts: dict[str, Any] = {"method": call.method, "id": call.id, "caller": call.caller.name}
        logs.event(_logger, logging.DEBUG, "call_ended", **facts, code=code, seconds=seconds)


class _Rpc:
    """One RPC in progress."""

    def __init__(self, method: str, request: Any, context: Any) -> None:
        self.method = method
        self.code: str | None = None
        self.id = _named_id(request, context.invocation_metadata() or ()) or secrets.token_hex(8)
        self.caller = ANYBODY
        self._context = context

    @contextmanager
    def entered(self, doors: Doors) -> Iterator[None]:
        """Let the caller in for the time of the call, or raise why it may not."""
        with doors.entered(self._context.invocation_metadata() or ()) as self.caller:
            _caller.set(self.caller)  # for good, as the id
            yield

    async def abort(self, error: Exception) -> Any:
        """End the call with the error's status."""
        if isinstance(error, grpc.aio.AbortError):
            self.code = self._aborted_code()
            raise error
        known = error if isinstance(error, ServingError) else self._unexpected(error)
        if isinstance(error, ServingError) and error.__cause__ is not None:
            logs.event(_logger, logging.ERROR, "call_failed", id=self.id, method=self.method, exc_info=error.__cause__)
        self.code = known.code
        try:
            await self._context.abort(status_code(known), status_message(known), trailing_metadata(known, self.id))
        except grpc.aio.InternalError as gone:
            # The call is over for the client already, as after a deadline that passes on both sides: nobody to tell.
            raise asyncio.CancelledError from gone

    def cancelled_code(self) -> str:
        """Why the call was cancelled: gRPC does not tell a client that left from a deadline that passed."""
        remaining_s = self._context.time_remaining()
        return "DEADLINE_EXCEEDED" if remaining_s is not None and remaining_s <= DEADLINE_SLACK_S else "CANCELLED"

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


def _named_id(request: Any, metadata: Sequence[tuple[str, str | bytes]]) -> str:
    """The id that the client gave, in the message or in `x-request-id`; empty where it gave none that is usable."""
    inner = getattr(request, "request", request)
    given = getattr(inner, "request_id", "") or dict(metadata).get("x-request-id", "")
    # It goes back as a header too, and those take printable ASCII only.
    if not isinstance(given, str) or not given.isascii() or not given.isprintable():
        return ""
    return given if len(given) <= MAX_REQUEST_ID_BYTES else ""

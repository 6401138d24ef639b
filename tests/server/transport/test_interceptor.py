"""What is counted of a call that ends otherwise than by its answer."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry

from dragoman.server.core.errors import DeadlineExceeded
from dragoman.server.telemetry.rpc_metrics import RpcMetrics
from dragoman.server.transport.arrivals import Arrivals
from dragoman.server.transport.doors import Doors
from dragoman.server.transport.interceptor import CallInterceptor

pytestmark = pytest.mark.asyncio(loop_scope="session")

METHOD = SimpleNamespace(name="Wait", client_streaming=False, server_streaming=False)


async def cancelled(request: Any, context: Any) -> Any:
    raise asyncio.CancelledError


async def late(request: Any, context: Any) -> Any:
    raise DeadlineExceeded


async def counted(behaviour: Any, call: Any) -> str:
    """The code that a cancelled call of a method counts as."""
    registry = CollectorRegistry()
    arrivals = Arrivals(1, 1.0, lambda _: None)
    calls = CallInterceptor(RpcMetrics(registry, [("test.Service", METHOD)]), Doors(), arrivals)
    method = calls.method("/test.Service/Wait", grpc.unary_unary_rpc_method_handler(behaviour))
    with pytest.raises(asyncio.CancelledError):
        await method.behaviour(None, call)
    samples = (sample for metric in registry.collect() for sample in metric.samples)
    [code] = [one.labels["grpc_code"] for one in samples if one.name == "grpc_server_handled_total" and one.value]
    return code


def context(**methods: Any) -> Any:
    """A call of which one message has come."""

    async def read() -> bytes:
        return b""

    return SimpleNamespace(invocation_metadata=tuple, read=read, **methods)


@pytest.mark.parametrize(
    ("remaining_s", "code"),
    [(None, "CANCELLED"), (0.5, "CANCELLED"), (0.02, "DEADLINE_EXCEEDED"), (0.0, "DEADLINE_EXCEEDED")],
)
async def test_a_deadline_that_passed_is_told_from_a_client_that_left(remaining_s: float | None, code: str) -> None:
    """gRPC cancels both in the same way; what is left of the time says which it was."""
    assert await counted(cancelled, context(time_remaining=lambda: remaining_s)) == code


async def test_an_error_that_finds_nobody_to_tell_is_counted_as_what_it_is() -> None:
    """As when a deadline passes at the server while the client, whose clock began earlier, hangs up."""

    async def abort(*_: object) -> None:
        raise asyncio.CancelledError

    assert await counted(late, context(abort=abort)) == "DEADLINE_EXCEEDED"

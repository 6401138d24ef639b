"""What is counted of a call that gRPC cancels."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry

from dragoman.server.telemetry.rpc_metrics import RpcMetrics
from dragoman.server.transport.interceptor import CallInterceptor

pytestmark = pytest.mark.asyncio(loop_scope="session")

METHOD = SimpleNamespace(name="Wait", client_streaming=False, server_streaming=False)


async def cancelled(request: Any, context: Any) -> Any:
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("remaining_s", "code"),
    [(None, "CANCELLED"), (0.5, "CANCELLED"), (0.02, "DEADLINE_EXCEEDED"), (0.0, "DEADLINE_EXCEEDED")],
)
async def test_a_deadline_that_passed_is_told_from_a_client_that_left(remaining_s: float | None, code: str) -> None:
    """gRPC cancels both in the same way; what is left of the time says which it was."""
    registry = CollectorRegistry()
    interceptor = CallInterceptor(RpcMetrics(registry, [("test.Service", METHOD)]))
    context = SimpleNamespace(invocation_metadata=tuple, time_remaining=lambda: remaining_s)

    async def continuation(_: object) -> Any:
        return grpc.unary_unary_rpc_method_handler(cancelled)

    details: Any = SimpleNamespace(method="/test.Service/Wait")
    handler: Any = await interceptor.intercept_service(continuation, details)
    with pytest.raises(asyncio.CancelledError):
        await handler.unary_unary(None, context)

    labels = {"grpc_type": "unary", "grpc_service": "test.Service", "grpc_method": "Wait"}
    assert registry.get_sample_value("grpc_server_handled_total", {**labels, "grpc_code": code}) == 1

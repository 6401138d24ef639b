"""RPC counts and times under the names that gRPC's middleware for other languages made customary."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Histogram

from dragoman.server.metrics import LATENCY_BUCKETS_S

CODES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
)
OTHER = "_other"
"""Stands for every method that the server does not have, so that nobody outside can make series."""


class Method(Protocol):
    """What a protobuf method descriptor says."""

    name: str
    client_streaming: bool
    server_streaming: bool


class RpcMetrics:
    """Counts and times RPCs. `methods` are pairs of a service's full name and a method."""

    def __init__(self, registry: CollectorRegistry, methods: Iterable[tuple[str, Method]]) -> None:
        labels = ("grpc_type", "grpc_service", "grpc_method")
        self._started = Counter("grpc_server_started", "RPCs started.", labels, registry=registry)
        self._handled = Counter("grpc_server_handled", "RPCs ended.", (*labels, "grpc_code"), registry=registry)
        self._seconds = Histogram(
            "grpc_server_handling_seconds", "Time of RPCs.", labels, buckets=LATENCY_BUCKETS_S, registry=registry
        )
        self._known: dict[str, tuple[str, str, str]] = {}
        for service, method in methods:
            kind = _kind(client=method.client_streaming, server=method.server_streaming)
            self._known[f"/{service}/{method.name}"] = (kind, service, method.name)
        for known in self._known.values():
            self._started.labels(*known)
            self._seconds.labels(*known)
            for code in CODES:
                self._handled.labels(*known, code)
        self._other = ("unary", OTHER, OTHER)
        self._started.labels(*self._other)
        self._handled.labels(*self._other, "UNIMPLEMENTED")

    def started(self, method: str) -> None:
        """A call of a method has begun."""
        self._started.labels(*self._known.get(method, self._other)).inc()

    def handled(self, method: str, code: str, seconds: float) -> None:
        """A call of a method has ended."""
        labels = self._known.get(method, self._other)
        self._handled.labels(*labels, code).inc()
        self._seconds.labels(*labels).observe(seconds)

    def unknown(self) -> None:
        """A call of a method that the server does not have."""
        self._started.labels(*self._other).inc()
        self._handled.labels(*self._other, "UNIMPLEMENTED").inc()


def _kind(*, client: bool, server: bool) -> str:
    if client:
        return "bidi_stream" if server else "client_stream"
    return "server_stream" if server else "unary"

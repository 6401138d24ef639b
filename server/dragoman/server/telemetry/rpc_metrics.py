"""RPC counts and times under the names that gRPC's middleware for other languages made customary."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from google.rpc.code_pb2 import Code
from prometheus_client import CollectorRegistry

from dragoman.server.telemetry.counts import Counts
from dragoman.server.telemetry.histograms import TallyHistogram
from dragoman.server.telemetry.request_metrics import LATENCY_BUCKETS_S

CODES: Sequence[str] = Code.keys()
NOBODY = "_none"
"""The caller of a call without a token, or with one that is not known."""
OTHER = "_other"
"""Stands for every method that the server does not have, so that nobody outside can make series."""


class RpcMethod(Protocol):
    """What a protobuf method descriptor says."""

    name: str
    client_streaming: bool
    server_streaming: bool


class MethodMetrics:
    """One method's series, looked up once, which takes longer than counting."""

    def __init__(
        self,
        counters: tuple[Counts, Counts, Counts],
        handled: Counts,
        seconds: TallyHistogram,
        callers: Counts,
        labels: tuple[str, str, str],
    ) -> None:
        self._started, self._received, self._sent = (counter.labels(*labels) for counter in counters)
        self._handled = {code: handled.labels(*labels, code) for code in CODES}
        self._seconds = seconds.labels(*labels)
        self._callers = callers

    def started(self) -> None:
        """A call has begun."""
        self._started.inc()

    def received(self) -> None:
        """A message came in."""
        self._received.inc()

    def sent(self) -> None:
        """A message went out."""
        self._sent.inc()

    def handled(self, code: str, seconds: float) -> None:
        """A call has ended."""
        self._handled[code].inc()
        self._seconds.add(seconds)

    def called(self, caller: str, code: str) -> None:
        """A call of a caller that was let in by its token, or of one that was not, has ended."""
        self._callers.labels(caller or NOBODY, code).inc()

    def refused(self, code: str, number: int, caller: str = "") -> None:
        """So many calls of a caller were refused as they came."""
        self._started.inc(number)
        self._handled[code].inc(number)
        self._seconds.add(0.0, number=number)
        self._callers.labels(caller or NOBODY, code).inc(number)


class RpcMetrics:
    """Counts and times RPCs. `methods` are pairs of a service's full name and a method."""

    def __init__(self, registry: CollectorRegistry, methods: Iterable[tuple[str, RpcMethod]]) -> None:
        labels = ("grpc_type", "grpc_service", "grpc_method")

        def counter(name: str, text: str, *more: str) -> Counts:
            return Counts(f"grpc_server_{name}", text, (*labels, *more), registry)

        counters = (
            counter("started", "RPCs started."),
            counter("msg_received", "Messages received."),
            counter("msg_sent", "Messages sent."),
        )
        handled = counter("handled", "RPCs ended.", "grpc_code")
        seconds = TallyHistogram("grpc_server_handling_seconds", "Time of RPCs.", labels, LATENCY_BUCKETS_S, registry)
        text = "RPCs ended, by the name of the caller's token."
        callers = Counts("dragoman_caller_calls", text, ("caller", "grpc_code"), registry)
        for code in CODES:
            callers.labels(NOBODY, code)
        self._known: dict[str, MethodMetrics] = {}
        for service, method in methods:
            kind = _kind(client=method.client_streaming, server=method.server_streaming)
            known = (kind, service, method.name)
            self._known[f"/{service}/{method.name}"] = MethodMetrics(counters, handled, seconds, callers, known)
        self._other = MethodMetrics(counters, handled, seconds, callers, ("unary", OTHER, OTHER))

    def method(self, name: str) -> MethodMetrics:
        """The series of a method by its full name; all methods that the server does not have share one."""
        return self._known.get(name, self._other)


def _kind(*, client: bool, server: bool) -> str:
    if client:
        return "bidi_stream" if server else "client_stream"
    return "server_stream" if server else "unary"

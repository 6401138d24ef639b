"""Requests as OpenTelemetry's spans: one for the call, and below it one for each stage that took time.

A request that has ended is kept as it is, with the times that were measured anyway; its spans are made, and leave by
OTLP, on a thread of their own. So neither the request nor the event loop waits for them. The packages are an extra,
loaded only where there is an endpoint.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from importlib import metadata
from typing import Any

from dragoman.server.core.errors import StartError
from dragoman.server.core.tracing import Trace
from dragoman.server.core.translations import Timings
from dragoman.server.telemetry.request_metrics import ANSWERED, FAULTS, RequestRecord

STAGES = [field.name for field in fields(Timings)]
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class _Ended:
    """A request that has ended; its own span's context says that it is kept, which OpenTelemetry's queue asks for."""

    context: Any
    record: RequestRecord
    trace: Trace
    method: str
    ended_ns: int
    seconds: float


@dataclass(slots=True)
class _Span:
    """What the exporter reads of OpenTelemetry's `ReadableSpan`, which takes several times as long to make."""

    resource: Any
    instrumentation_scope: Any
    name: str
    context: Any
    parent: Any
    kind: Any
    start_time: int
    end_time: int
    attributes: Mapping[str, Any] | None = None
    status: Any = None
    events: Sequence[Any] = ()
    links: Sequence[Any] = ()
    dropped_attributes: int = 0
    dropped_events: int = 0
    dropped_links: int = 0

    def get_span_context(self) -> Any:
        """By its name in OpenTelemetry."""
        return self.context


class Traces:
    """Sends the spans of requests to an endpoint of OTLP over HTTP."""

    def __init__(self, endpoint: str, *, exporter: Any = None) -> None:
        try:
            from opentelemetry import trace
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.sdk.util.instrumentation import InstrumentationScope
        except ModuleNotFoundError as error:
            raise StartError(f"--traces {endpoint}: needs {error.name}: pip install 'dragoman[traces]'") from error

        class OwnResource(Resource):
            """The exporter looks for it once a span; OpenTelemetry's writes itself as JSON for its hash."""

            __hash__ = object.__hash__

        version = metadata.version("dragoman")
        self._api = trace
        made = Resource.create({"service.name": "dragoman", "service.version": version})
        self._resource = OwnResource(dict(made.attributes), made.schema_url)
        self._scope = InstrumentationScope("dragoman", version)
        self._flags = trace.TraceFlags(trace.TraceFlags.SAMPLED)
        self._statuses = {code: trace.Status(code) for code in trace.StatusCode}
        self._exporter: Any = exporter or OTLPSpanExporter(endpoint=endpoint)
        unfolding: Any = self
        self._processor: Any = BatchSpanProcessor(unfolding)

    def __repr__(self) -> str:
        return f"<Traces {self._exporter!r}>"

    def request(self, record: RequestRecord, trace: Trace, method: str, ended_ns: int, seconds: float) -> None:
        """A request has ended, and its record changes no more; `ended_ns` is the time of day."""
        if trace.is_sampled:
            context = self._context(trace, trace.span_id)
            self._processor.on_end(_Ended(context, record, trace, method, ended_ns, seconds))

    def close(self) -> None:
        """Send what there is, and stop."""
        self._processor.shutdown()

    def flush(self) -> None:
        """Send what there is."""
        self._processor.force_flush()

    def export(self, batch: Sequence[_Ended]) -> Any:
        """What OpenTelemetry's thread does with requests that have ended."""
        return self._exporter.export([span for ended in batch for span in self._spans(ended)])

    def shutdown(self) -> None:
        """OpenTelemetry's thread has ended."""
        self._exporter.shutdown()

    def _spans(self, ended: _Ended) -> Iterator[_Span]:
        record, trace = ended.record, ended.trace
        facts = {
            "rpc.system": "grpc",
            "rpc.method": ended.method,
            "dragoman.model": record.model,
            "dragoman.outcome": record.outcome,
            "dragoman.engine": record.engine,
            "dragoman.texts": record.texts,
            "dragoman.source_tokens": record.source_tokens,
            "dragoman.target_tokens": record.target_tokens,
        }
        api, kinds = self._api, self._api.SpanKind
        parent = self._context(trace, trace.parent_id, is_remote=True) if trace.parent_id else None
        code = api.StatusCode
        status = code.ERROR if record.outcome in FAULTS else code.OK if record.outcome in ANSWERED else code.UNSET
        at_ns, span_id = ended.ended_ns - round(ended.seconds * _NS), trace.span_id
        times = (at_ns, ended.ended_ns)
        root = self._span(ended.method, ended.context, parent, kinds.SERVER, *times, facts, self._statuses[status])
        yield root
        for name in STAGES:
            took_ns = round(getattr(record.timings, name) * _NS)
            span_id = span_id % (2**64 - 1) + 1  # another one, and never 0
            if took_ns:
                context, until_ns = self._context(trace, span_id), at_ns + took_ns
                yield self._span(name.removesuffix("_s"), context, ended.context, kinds.INTERNAL, at_ns, until_ns)
            at_ns += took_ns

    def _span(self, name: str, *about: Any) -> _Span:
        return _Span(self._resource, self._scope, name, *about)

    def _context(self, trace: Trace, span_id: int, *, is_remote: bool = False) -> Any:
        return self._api.SpanContext(trace.trace_id, span_id, is_remote=is_remote, trace_flags=self._flags)

"""Requests as OpenTelemetry's spans: one for the call, and below it one for each stage that took time.

The spans are made when a request has ended, of the times that were measured anyway, and leave by OTLP from a thread of
their own. The packages are an extra, loaded only where there is an endpoint.
"""

from collections.abc import Mapping
from dataclasses import fields
from importlib import metadata
from typing import Any

from dragoman.server.core.errors import StartError
from dragoman.server.core.tracing import Trace
from dragoman.server.core.translations import Timings
from dragoman.server.telemetry.request_metrics import ANSWERED, FAULTS, RequestRecord

STAGES = [field.name for field in fields(Timings)]
_NS = 1_000_000_000


class Traces:
    """Sends the spans of requests to an endpoint of OTLP over HTTP."""

    def __init__(self, endpoint: str, *, processor: Any = None) -> None:
        try:
            from opentelemetry import trace
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import ReadableSpan
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.sdk.util.instrumentation import InstrumentationScope
        except ModuleNotFoundError as error:
            raise StartError(f"--traces {endpoint}: needs {error.name}: pip install 'dragoman[traces]'") from error
        version = metadata.version("dragoman")
        self._api, self._make = trace, ReadableSpan
        self._resource = Resource.create({"service.name": "dragoman", "service.version": version})
        self._scope = InstrumentationScope("dragoman", version)
        self._processor = processor or BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint))

    def __repr__(self) -> str:
        return f"<Traces {self._processor!r}>"

    def request(self, record: RequestRecord, trace: Trace, method: str, ended_ns: int, seconds: float) -> None:
        """A request has ended; `ended_ns` is the time of day."""
        if not trace.is_sampled:
            return
        started_ns = ended_ns - round(seconds * _NS)
        facts = {
            "rpc.system": "grpc",
            "rpc.method": method,
            "dragoman.model": record.model,
            "dragoman.outcome": record.outcome,
            "dragoman.engine": record.engine,
            "dragoman.texts": record.texts,
            "dragoman.source_tokens": record.source_tokens,
            "dragoman.target_tokens": record.target_tokens,
        }
        own = self._context(trace, trace.span_id)
        parent = self._context(trace, trace.parent_id, is_remote=True) if trace.parent_id else None
        kind, code = self._api.SpanKind.SERVER, self._api.StatusCode
        status = code.ERROR if record.outcome in FAULTS else code.OK if record.outcome in ANSWERED else code.UNSET
        self._end(method, own, parent, kind, facts, self._api.Status(status), started_ns, ended_ns)
        at_ns, span_id = started_ns, trace.span_id
        for name in STAGES:
            took_ns = round(getattr(record.timings, name) * _NS)
            span_id = span_id % (2**64 - 1) + 1  # another one, and never 0
            if took_ns:
                context = self._context(trace, span_id)
                inner, unset = self._api.SpanKind.INTERNAL, self._api.Status(code.UNSET)
                self._end(name.removesuffix("_s"), context, own, inner, {}, unset, at_ns, at_ns + took_ns)
            at_ns += took_ns

    def close(self) -> None:
        """Send what there is, and stop."""
        self._processor.shutdown()

    def _context(self, trace: Trace, span_id: int, *, is_remote: bool = False) -> Any:
        flags = self._api.TraceFlags(self._api.TraceFlags.SAMPLED)
        return self._api.SpanContext(trace.trace_id, span_id, is_remote=is_remote, trace_flags=flags)

    def _end(
        self,
        name: str,
        context: Any,
        parent: Any,
        kind: Any,
        facts: Mapping[str, Any],
        status: Any,
        start_ns: int,
        end_ns: int,
    ) -> None:
        span = self._make(
            name,
            context,
            parent,
            self._resource,
            attributes=facts,
            kind=kind,
            status=status,
            start_time=start_ns,
            end_time=end_ns,
            instrumentation_scope=self._scope,
        )
        self._processor.on_end(span)

"""Requests as spans."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.exposition import generate_latest

from dragoman.server.core.tracing import Trace
from dragoman.server.core.translations import Timings
from dragoman.server.telemetry.request_metrics import Metrics, RequestRecord
from dragoman.server.telemetry.traces import Traces
from dragoman.v1 import translation_pb2 as pb
from dragoman.v1 import translation_pb2_grpc as pb_grpc

ENDED_NS = 1_800_000_000_000_000_000
TRACE = Trace(trace_id=2**100 + 7, span_id=2**64 - 2, parent_id=5, is_sampled=True)
RECORD = RequestRecord("echo", "ok", timings=Timings(0.001, 0.002, 0.0, 0.004, 0.0005), engine="beam", texts=2)


class Kept:
    """An exporter that keeps what it gets."""

    def __init__(self) -> None:
        self.spans: list[Any] = []

    def export(self, spans: Any) -> None:
        self.spans += spans

    def shutdown(self) -> None:
        self.spans.append(None)


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def traces(kept: Kept) -> Iterator[Traces]:
    traces = Traces("http://127.0.0.1:1", exporter=kept)
    yield traces
    traces.close()


def test_a_request_is_a_span_with_a_span_for_each_stage(traces: Traces, kept: Kept) -> None:
    """Below the caller's, with the times that were measured, one after the other; a stage that took none has none."""
    traces.request(RECORD, TRACE, "dragoman.v1.TranslationService/Translate", ENDED_NS, 0.010)
    traces.flush()
    root, *stages = kept.spans

    assert (root.context.trace_id, root.context.span_id, root.parent.span_id) == (2**100 + 7, 2**64 - 2, 5)
    assert (root.start_time, root.end_time) == (ENDED_NS - 10_000_000, ENDED_NS)
    assert root.attributes["dragoman.model"] == "echo"
    assert [(span.name, span.start_time - root.start_time, span.end_time - root.start_time) for span in stages] == [
        ("tokenize", 0, 1_000_000),
        ("queue", 1_000_000, 3_000_000),
        ("decode", 3_000_000, 7_000_000),
        ("detokenize", 7_000_000, 7_500_000),
    ]
    assert {span.parent.span_id for span in stages} == {root.context.span_id}
    ids = [span.context.span_id for span in kept.spans]
    assert len(set(ids)) == 5
    assert 0 not in ids


def test_what_is_not_sampled_leaves_nothing(traces: Traces, kept: Kept) -> None:
    """And a trace that begins here has no parent."""
    traces.request(RECORD, replace(TRACE, is_sampled=False), "m", ENDED_NS, 0.01)
    traces.flush()
    assert not kept.spans
    traces.request(RECORD, replace(TRACE, parent_id=0), "m", ENDED_NS, 0.01)
    traces.flush()
    assert kept.spans[0].parent is None


@pytest.mark.parametrize(
    ("outcome", "status"), [("ok", "OK"), ("partial", "OK"), ("engine_error", "ERROR"), ("invalid", "UNSET")]
)
def test_a_failure_of_the_server_is_an_error(traces: Traces, kept: Kept, outcome: str, status: str) -> None:
    """A caller's mistake is not."""
    traces.request(replace(RECORD, outcome=outcome), TRACE, "m", ENDED_NS, 0.01)
    traces.flush()

    assert kept.spans[0].status.status_code.name == status


def test_what_is_left_is_sent_at_the_end(traces: Traces, kept: Kept) -> None:
    """Requests that ended just before the server does are not lost; then the exporter is told to stop."""
    traces.request(RECORD, TRACE, "m", ENDED_NS, 0.01)
    traces.close()

    *spans, end = kept.spans
    assert len(spans) == 5
    assert end is None


def test_spans_are_made_on_the_thread_that_sends_them(traces: Traces, kept: Kept) -> None:
    """A request leaves one thing in the queue, whatever its stages, and its spans do not exist yet."""
    traces.request(RECORD, TRACE, "m", ENDED_NS, 0.01)

    assert not kept.spans


def test_a_duration_leads_to_its_trace() -> None:
    """The histogram's bucket names the last trace in it, in the exposition that has room for that."""
    metrics = Metrics(CollectorRegistry(), ["echo"])
    with metrics.request() as record:
        record.model, record.outcome, record.trace_id = "echo", "ok", TRACE.hex_id

    assert f'trace_id="{TRACE.hex_id}"' in generate_latest(metrics.registry).decode()


@pytest.fixture
def collector() -> Iterator[tuple[str, list[ExportTraceServiceRequest]]]:
    """An endpoint of OTLP, and what it was sent."""
    received: list[ExportTraceServiceRequest] = []

    class Page(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                import gzip

                body = gzip.decompress(body)
            received.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1/traces", received
    server.shutdown()
    server.server_close()


@pytest.mark.asyncio(loop_scope="session")
async def test_a_collector_receives_the_trees_of_a_server(serve: Any, collector: Any, caplog: Any) -> None:
    """The parent is the caller's; stages are those of the response to the microsecond; the log has the trace."""
    endpoint, received = collector
    caplog.set_level("INFO", "dragoman")
    served = await serve(traces=endpoint)
    header = f"00-{TRACE.hex_id}-{5:016x}-01"
    async with grpc.aio.insecure_channel(served.target) as channel:
        stub = pb_grpc.TranslationServiceStub(channel)
        request = pb.TranslateRequest(texts=[pb.Text(text="The dog.")], request_id="mine")
        answer = await stub.Translate(request, metadata=[("traceparent", header)])
        await stub.Translate(request)
    await served.app.stop()

    spans = [
        span for sent in received for part in sent.resource_spans for one in part.scope_spans for span in one.spans
    ]
    [root] = [span for span in spans if span.parent_span_id == (5).to_bytes(8, "big")]
    assert root.trace_id == TRACE.trace_id.to_bytes(16, "big")
    took = {s.name: s.end_time_unix_nano - s.start_time_unix_nano for s in spans if s.parent_span_id == root.span_id}
    timings = answer.timings
    for name in ("tokenize", "queue", "encode", "decode", "detokenize"):
        assert abs(took.get(name, 0) - getattr(timings, name).ToNanoseconds()) <= 1_000, name
    assert len([span for span in spans if not span.parent_span_id]) == 1

    lines = [record.fields for record in caplog.records if record.msg == "request"]
    assert [(line["id"], line["model"], line["outcome"], line["texts"]) for line in lines] == [
        ("mine", "echo", "ok", 1)
    ] * 2
    assert lines[0]["trace_id"] == TRACE.hex_id
    assert not any("The dog." in str(vars(record)) for record in caplog.records)

"""What is counted, and that all of it is there from the start."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from dragoman.server.app import SERVICE
from dragoman.server.domain import Engine, FinishReason, TextHypothesis, Timings, Translation
from dragoman.server.errors import Draining, InvalidRequest
from dragoman.server.metrics import OUTCOMES, STAGES, Metrics
from dragoman.server.pipeline import Pipeline
from dragoman.server.rpc_metrics import RpcMetrics

README = Path(__file__).parents[2] / "server/README.md"
DONE = Translation((TextHypothesis("a", -1, -1),), FinishReason.STOP, Engine.BEAM, 3, 4, 1, 5, Timings(queue_s=0.25))


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry(), ["echo"])


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def series(metrics: Metrics) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    return {
        (sample.name, tuple(sorted(sample.labels.items())))
        for metric in metrics.registry.collect()
        for sample in metric.samples
        if not sample.name.endswith("_created")
    }


def test_no_series_appears_later(metrics: Metrics, pipeline: Pipeline) -> None:
    """Whatever happens, each series it counts in was there at zero: a rate must not miss the first event."""
    metrics.serve([pipeline])
    before = series(metrics)

    for outcome in OUTCOMES:
        with metrics.request() as record:
            record.model, record.outcome = "echo", outcome
    for reason in FinishReason:
        for engine in (None, *Engine):
            one = Translation(DONE.hypotheses, reason, engine, 1, 1, 1, 1, Timings())
            metrics.answered("echo", [one, InvalidRequest("a", "b")])
    metrics.observer("echo").on_step(8, 4, 0.01)
    metrics.observer("echo").on_encode(2, 30, 40, 0.01)

    assert series(metrics) == before
    assert value(metrics, "dragoman_requests_total", model="none", outcome="draining") == 0


def test_how_a_request_ends_is_counted_once_however_it_ends(metrics: Metrics) -> None:
    """An answer, an error, a cancellation, a passed deadline and a defect each count in one outcome."""

    def failing(error: BaseException, deadline_s: float | None) -> None:
        with metrics.request() as record:
            record.deadline_s = deadline_s
            raise error

    for error, deadline_s in (
        (Draining(), None),
        (asyncio.CancelledError(), None),
        (GeneratorExit(), None),
        (asyncio.CancelledError(), 0.0),
        (ZeroDivisionError(), None),
    ):
        with pytest.raises(type(error)):
            failing(error, deadline_s)
    with metrics.request() as record:
        record.end([DONE, DONE])
    with metrics.request() as record:
        record.end([DONE, InvalidRequest("a", "b")])
    with metrics.request() as record:
        record.end([InvalidRequest("a", "b")])

    counted = {
        outcome: value(metrics, "dragoman_requests_total", model="none", outcome=outcome) for outcome in OUTCOMES
    }
    assert {outcome: number for outcome, number in counted.items() if number} == {
        "ok": 1,
        "partial": 1,
        "invalid": 1,
        "draining": 1,
        "cancelled": 2,
        "deadline": 1,
        "internal": 1,
    }
    assert value(metrics, "dragoman_requests_started_total") == sum(counted.values())  # type: ignore[arg-type]
    assert value(metrics, "dragoman_request_duration_seconds_count", model="none") == 8


def test_an_answer_counts_tokens_reasons_and_stages(metrics: Metrics) -> None:
    """Texts that failed count as texts, not as translations."""
    metrics.answered("echo", [DONE, DONE, InvalidRequest("a", "b")])

    assert value(metrics, "dragoman_source_tokens_total", model="echo") == 6
    assert value(metrics, "dragoman_target_tokens_total", model="echo") == 8
    assert value(metrics, "dragoman_texts_total", model="echo", outcome="ok") == 2
    assert value(metrics, "dragoman_texts_total", model="echo", outcome="invalid") == 1
    assert value(metrics, "dragoman_translations_total", model="echo", engine="beam", reason="stop") == 2
    for stage in STAGES:
        assert value(metrics, "dragoman_request_stage_duration_seconds_count", model="echo", stage=stage) == 1
    assert value(metrics, "dragoman_request_stage_duration_seconds_sum", model="echo", stage="queue") == 0.25


def test_lanes_are_watched(metrics: Metrics) -> None:
    """Rows, useful rows, tokens with and without padding, and when something last happened."""
    observer = metrics.observer("echo")

    observer.on_step(8, 6, 0.004)
    observer.on_encode(2, 30, 40, 0.002)

    assert value(metrics, "dragoman_batch_rows_sum", model="echo") == 8
    assert value(metrics, "dragoman_batch_used_rows_total", model="echo") == 6
    assert value(metrics, "dragoman_step_duration_seconds_bucket", model="echo", le="0.005") == 1
    assert value(metrics, "dragoman_encode_padded_tokens_total", model="echo") == 40
    assert (value(metrics, "dragoman_last_step_timestamp_seconds", model="echo") or 0) > 1e9


def test_gauges_are_read_at_the_scrape(metrics: Metrics, pipeline: Pipeline) -> None:
    """They cannot drift from what they describe."""
    metrics.serve([pipeline])

    with pipeline.admission.reserve(7):
        held = value(metrics, "dragoman_admitted_tokens", model="echo")

    assert (held, value(metrics, "dragoman_admitted_tokens", model="echo")) == (7, 0)
    assert value(metrics, "dragoman_admission_limit_tokens", model="echo") == 2_000


def test_unknown_rpcs_share_one_label() -> None:
    """Methods come from the service's own description; nobody outside can add one."""
    registry = CollectorRegistry()
    rpc = RpcMetrics(registry, [(SERVICE.full_name, method) for method in SERVICE.methods])
    labels = {"grpc_service": SERVICE.full_name, "grpc_method": "TranslateStream", "grpc_type": "server_stream"}

    rpc.started("/dragoman.v1.TranslationService/TranslateStream")
    rpc.handled("/dragoman.v1.TranslationService/TranslateStream", "OK", 0.1)
    for n in range(5):
        rpc.started(f"/x/{n}")

    assert registry.get_sample_value("grpc_server_handled_total", {**labels, "grpc_code": "OK"}) == 1
    assert registry.get_sample_value("grpc_server_handling_seconds_count", labels) == 1
    other = {"grpc_service": "_other", "grpc_method": "_other", "grpc_type": "unary"}
    assert registry.get_sample_value("grpc_server_started_total", other) == 5


def test_names_follow_the_conventions(metrics: Metrics, pipeline: Pipeline) -> None:
    """One prefix, base units, `_total` on counters and nowhere else."""
    metrics.serve([pipeline])

    for metric in metrics.registry.collect():
        assert re.fullmatch(r"dragoman_[a-z][a-z0-9_]*", metric.name)
        assert metric.documentation.endswith(".")
        assert not metric.name.endswith(("_total", "_ms", "_milliseconds"))
    assert b"# TYPE dragoman_requests_total counter" in generate_latest(metrics.registry)


def test_the_readme_has_the_metrics(metrics: Metrics, pipeline: Pipeline) -> None:
    """The README's table is what is exposed."""
    metrics.serve([pipeline])
    metrics.built_with("0", "0", "0")
    RpcMetrics(metrics.registry, [(SERVICE.full_name, method) for method in SERVICE.methods])
    rows = []
    for metric in metrics.registry.collect():
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        labels = {label for sample in metric.samples for label in sample.labels} - {"le"}
        shown = ", ".join(label for label in _order(labels))
        rows.append(f"| `{name}` | {metric.type} | {shown} | {metric.documentation} |")

    assert "\n".join(rows) in README.read_text("utf-8"), "\n".join(rows)


def _order(labels: set[str]) -> list[str]:
    return sorted(labels, key=lambda label: (label != "model", label))

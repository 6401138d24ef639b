"""What is counted, and that all of it is there from the start."""

import asyncio
import re
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from dragoman.server.app.app import SERVICE
from dragoman.server.core.errors import Cancelled, DeadlineExceeded, Draining, EngineFailure, InvalidRequest
from dragoman.server.core.ports import DeviceWork
from dragoman.server.core.protection import Keeping, TextWarning, WarningKind
from dragoman.server.core.segments import FinishReason
from dragoman.server.core.strategies import Engine
from dragoman.server.core.translations import KeepingCounts, MarkCounts, TextHypothesis, Timings, Translation
from dragoman.server.pipeline.cache import Cache
from dragoman.server.pipeline.pipeline import Pipeline
from dragoman.server.telemetry.lane_metrics import FAILURES
from dragoman.server.telemetry.overload import Overload, Resource
from dragoman.server.telemetry.request_metrics import OTHER, OUTCOMES, STAGES, UNANSWERED, Metrics
from dragoman.server.telemetry.rpc_metrics import RpcMetrics
from dragoman.server.telemetry.state_metrics import Build, StateMetrics

PAGE = Path(__file__).parents[3] / "server/reference/metrics.md"
SPANS = "dragoman_protected_spans_total"
DONE = Translation((TextHypothesis("a", -1, -1),), FinishReason.STOP, Engine.BEAM, 3, 4, 1, 5, Timings(queue_s=0.25))


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry(), ["echo"])


def watch(metrics: Metrics, pipeline: Pipeline) -> None:
    cache = Cache(0)
    cache.of(pipeline.name, "abc")
    metrics.registry.register(StateMetrics([pipeline], Build("0", "0", "0", "cpu"), cache))
    Overload([Resource("memory", lambda: 0.0)], metrics.registry)


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
    watch(metrics, pipeline)
    before = series(metrics)

    for outcome in OUTCOMES:
        with metrics.request() as record:
            record.model, record.outcome = "echo", outcome
    for reason in FinishReason:
        for engine in (None, *Engine):
            one = Translation(DONE.hypotheses, reason, engine, 1, 1, 1, 1, Timings())
            metrics.answered("echo", [one, InvalidRequest("a", "b")])
    tally = metrics.tallies["echo"]
    tally.on_step(8, 4, 0.01)
    tally.on_encode(2, 30, 40, 0.01)
    tally.on_failed_round()
    for reason in FAILURES:
        tally.on_failure(reason)
    for error in (Cancelled(), DeadlineExceeded()):
        tally.on_drop(3, error.outcome)

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
    bad, lost = InvalidRequest("a", "b"), EngineFailure("c")
    for outcomes in ([DONE, DONE], [DONE, bad], [bad], [bad, DONE, lost]):
        with metrics.request() as record:
            record.model = "echo"
            record.end(outcomes)

    counted = {
        outcome: sum(
            value(metrics, "dragoman_requests_total", model=model, outcome=outcome) or 0 for model in ("echo", "none")
        )
        for outcome in OUTCOMES
    }
    assert {outcome: number for outcome, number in counted.items() if number} == {
        "ok": 1,
        "partial": 1,
        "invalid": 1,
        "draining": 1,
        "cancelled": 2,
        "deadline": 1,
        "engine_error": 1,  # whoever's fault the other was
        "internal": 1,
    }
    assert value(metrics, "dragoman_requests_started_total") == sum(counted.values())
    durations = ("none", "none", "false"), ("echo", "none", "false"), ("echo", "beam", "true")
    name = "dragoman_request_duration_seconds_count"
    assert [value(metrics, name, model=m, engine=e, answered=a) for m, e, a in durations] == [5, 2, 2]


def total(metrics: Metrics, name: str) -> float:
    """A sample over all labels."""
    return sum(s.value for metric in metrics.registry.collect() for s in metric.samples if s.name == name)


def test_the_stages_of_a_request_add_up_to_its_duration() -> None:
    """Of several texts those of the last one count, what lies between them is `other`, and no answer is a stage too."""
    ticks = iter((100.0, 100.02, 200.0, 200.5))
    metrics = Metrics(CollectorRegistry(), ["echo"], clock=lambda: next(ticks))
    quick = replace(DONE, timings=Timings(tokenize_s=0.001, queue_s=0.002, decode_s=0.001))
    slow = replace(DONE, timings=Timings(tokenize_s=0.001, queue_s=0.001, encode_s=0.002, decode_s=0.005))
    with metrics.request() as record:
        record.model = "echo"
        record.end([quick, slow, quick])
    with metrics.request() as record:
        record.model = "echo"
        record.end([InvalidRequest("a", "b")])

    name = "dragoman_request_stage_duration_seconds"
    stages = {s: value(metrics, f"{name}_sum", model="echo", stage=s) for s in (*STAGES, OTHER, UNANSWERED)}
    assert stages == pytest.approx(
        {
            "tokenize": 0.001,
            "queue": 0.001,
            "encode": 0.002,
            "decode": 0.005,
            "detokenize": 0,
            "other": 0.011,
            "unanswered": 0.5,
        }
    )
    assert total(metrics, f"{name}_sum") == pytest.approx(total(metrics, "dragoman_request_duration_seconds_sum"))
    for stage in (*STAGES, OTHER, UNANSWERED):
        assert value(metrics, f"{name}_count", model="echo", stage=stage) == 1


def test_an_answer_counts_tokens_and_reasons(metrics: Metrics) -> None:
    """Texts that failed count as texts, not as translations; where all failed there is nothing to measure."""
    metrics.answered("echo", [DONE, DONE, InvalidRequest("a", "b")])
    metrics.answered("echo", [InvalidRequest("a", "b")])

    assert value(metrics, "dragoman_source_tokens_total", model="echo") == 6
    assert value(metrics, "dragoman_target_tokens_total", model="echo") == 8
    assert value(metrics, "dragoman_request_source_tokens_bucket", model="echo", le="8.0") == 1
    assert value(metrics, "dragoman_request_target_tokens_sum", model="echo") == 8
    assert value(metrics, "dragoman_texts_total", model="echo", outcome="ok") == 2
    assert value(metrics, "dragoman_texts_total", model="echo", outcome="invalid") == 2
    assert value(metrics, "dragoman_translations_total", model="echo", engine="beam", reason="stop") == 2


def test_marks_are_counted(metrics: Metrics) -> None:
    """By how they were placed; a translation without any adds nothing."""
    metrics.answered("echo", [replace(DONE, marks=MarkCounts(3, 1)), DONE, replace(DONE, marks=MarkCounts(2, 0))])

    placed = [
        value(metrics, "dragoman_marks_total", model="echo", placing=each) for each in ("by_attention", "by_position")
    ]
    assert placed == [5, 1]


def test_protected_spans_and_warnings_are_counted(metrics: Metrics) -> None:
    """By how they were kept, and by what they say; a translation without any adds nothing."""
    spans = replace(DONE, keeping=KeepingCounts(form=2, cut=1), warnings=(TextWarning(WarningKind.UNTRANSLATED),))

    metrics.answered("echo", [spans, DONE, spans])

    kept = {keeping.value: value(metrics, SPANS, model="echo", keeping=keeping.value) for keeping in Keeping}
    assert kept == {keeping.value: {"form": 4, "cut": 2}.get(keeping.value, 0) for keeping in Keeping}
    assert value(metrics, "dragoman_text_warnings_total", model="echo", kind="untranslated") == 2
    assert value(metrics, "dragoman_text_warnings_total", model="echo", kind="repetition") == 0


def test_scores_count_as_texts_and_time_and_as_no_translation(metrics: Metrics) -> None:
    """A scored pair is made by no engine and ends for no reason, and its stages still add up to the request's time."""
    hypotheses, timings = (TextHypothesis("a", -1.0, -0.5),), Timings(queue_s=0.25, decode_s=0.5)
    scored = Translation(hypotheses, FinishReason.STOP, None, 3, 2, 1, 2, timings, is_given=True)

    with metrics.request() as record:
        record.model = "echo"
        metrics.answered("echo", [scored])
        record.end([scored])

    assert value(metrics, "dragoman_texts_total", model="echo", outcome="ok") == 1
    assert value(metrics, "dragoman_target_tokens_total", model="echo") == 2
    stage = "dragoman_request_stage_duration_seconds_sum"
    assert value(metrics, stage, model="echo", stage="decode") == pytest.approx(0.5)
    duration = "dragoman_request_duration_seconds_count"
    assert value(metrics, duration, model="echo", engine="none", answered="true") == 1
    translations = [one for one in metrics.registry.collect() if one.name == "dragoman_translations"]
    assert not any(sample.value for sample in translations[0].samples if sample.name.endswith("_total"))


def test_names_follow_the_conventions(metrics: Metrics, pipeline: Pipeline) -> None:
    """One prefix, base units, `_total` on counters and nowhere else."""
    watch(metrics, pipeline)

    for metric in metrics.registry.collect():
        assert re.fullmatch(r"dragoman_[a-z][a-z0-9_]*", metric.name)
        assert metric.documentation.endswith(".")
        assert not metric.name.endswith(("_total", "_ms", "_milliseconds"))
    assert b"# TYPE dragoman_requests_total counter" in generate_latest(metrics.registry)


def test_the_reference_has_the_metrics(metrics: Metrics, pipeline: Pipeline) -> None:
    """The table of the page is what is exposed."""
    pipeline.lanes.device = DeviceWork({("device.step", True): 1})
    watch(metrics, pipeline)
    RpcMetrics(metrics.registry, [(SERVICE.full_name, method) for method in SERVICE.methods])
    rows = []
    for metric in metrics.registry.collect():
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        labels = {label for sample in metric.samples for label in sample.labels} - {"le"}
        shown = ", ".join(label for label in _order(labels))
        rows.append(f"| `{name}` | {metric.type} | {shown} | {metric.documentation} |")

    assert "\n".join(rows) in PAGE.read_text("utf-8"), "\n".join(rows)


def _order(labels: set[str]) -> list[str]:
    return sorted(labels, key=lambda label: (label != "model", label))

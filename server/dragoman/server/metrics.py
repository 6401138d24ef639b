"""Every metric of the server, declared once; all series exist at zero from the start, and every label is bounded.

Requests are counted in one place, `Metrics.request`: Σ dragoman_requests_total over all labels is the number of
requests started less those in flight.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from dragoman.server.domain import Engine, FinishReason, Scored, Timings, Translation
from dragoman.server.errors import ServingError
from dragoman.server.pipeline import Outcome, Pipeline, ScoreOutcome

# fmt: off
LATENCY_BUCKETS_S = (
    0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5,
    0.75, 1, 1.5, 2, 3, 5, 7.5, 10, 20, 30,
)
STEP_BUCKETS_S = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.5)
# fmt: on
SIZE_BUCKETS = tuple(2**power for power in range(13))

DEADLINE_SLACK_S = 0.05
"""A client's clock for a deadline starts before the server's: a cancellation this near to it is the deadline's."""

NO_MODEL = "none"
"""The model label of a request that ended before it was known which model it means."""

OUTCOMES = (
    "ok",
    "partial",
    "invalid",
    "unsupported",
    "not_found",
    "overloaded",
    "deadline",
    "unmeetable",
    "cancelled",
    "draining",
    "engine_error",
    "internal",
)
"""How a request ends. `partial` is an answer in which some of the texts failed."""

STAGES = tuple(field.name.removesuffix("_s") for field in fields(Timings))


@dataclass
class RequestRecord:
    """What is known about a request while it runs; `Metrics.request` counts it at its end."""

    model: str = NO_MODEL
    outcome: str = "internal"
    deadline_s: float | None = None
    """On the monotonic clock."""

    def end(self, outcomes: Sequence[Outcome | ScoreOutcome]) -> None:
        """Set how the request ended from what became of its texts."""
        errors = [outcome for outcome in outcomes if isinstance(outcome, ServingError)]
        self.outcome = "ok" if not errors else "partial" if len(errors) < len(outcomes) else errors[0].outcome


class Metrics:
    """Counts and times what the server does, into one registry."""

    def __init__(self, registry: CollectorRegistry, models: Sequence[str]) -> None:
        self.registry = registry
        self._models = (*models, NO_MODEL)

        def counter(name: str, text: str, labels: Sequence[str] = ()) -> Counter:
            return Counter(f"dragoman_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str, labels: Sequence[str], buckets: Sequence[float]) -> Histogram:
            return Histogram(f"dragoman_{name}", text, labels, buckets=buckets, registry=registry)

        def gauge(name: str, text: str, labels: Sequence[str] = ()) -> Gauge:
            return Gauge(f"dragoman_{name}", text, labels, registry=registry)

        self._started = counter("requests_started", "Requests to translate or score that arrived.")
        self._requests = counter("requests", "Requests to translate or score by how they ended.", ("model", "outcome"))
        self._duration = histogram(
            "request_duration_seconds", "From arrival to answer, however it ended.", ("model",), LATENCY_BUCKETS_S
        )
        self._stage = histogram(
            "request_stage_duration_seconds",
            "Time of an answered request in each stage; of its segments, the longest.",
            ("model", "stage"),
            LATENCY_BUCKETS_S,
        )
        self._texts = counter("texts", "Texts and scored pairs by what became of them.", ("model", "outcome"))
        self._finished = counter(
            "translations", "Translations by why they ended and what made them.", ("model", "engine", "reason")
        )
        self._source_tokens = counter(
            "source_tokens", "Source tokens translated or scored, end tokens included.", ("model",)
        )
        self._target_tokens = counter(
            "target_tokens", "Target tokens put out or scored, end tokens included.", ("model",)
        )
        self._steps = histogram("step_duration_seconds", "One run of the decoder.", ("model",), STEP_BUCKETS_S)
        self._rows = histogram("batch_rows", "Rows of the batch in one run of the decoder.", ("model",), SIZE_BUCKETS)
        self._used_rows = counter(
            "batch_used_rows", "Rows that did useful work, over all runs of the decoder.", ("model",)
        )
        self._encodes = histogram("encode_duration_seconds", "One run of the encoder.", ("model",), STEP_BUCKETS_S)
        self._sources = histogram("encode_sources", "Segments in one run of the encoder.", ("model",), SIZE_BUCKETS)
        self._encoded = counter("encode_tokens", "Tokens that the encoder read.", ("model",))
        self._padded = counter("encode_padded_tokens", "Tokens that the encoder read, with padding.", ("model",))
        self._progress = gauge(
            "last_step_timestamp_seconds", "When the decoder last finished a run; 0 before.", ("model",)
        )
        self._model_info = gauge(
            "model_info", "1; what is served.", ("model", "version", "bundle_digest", "precision", "pairs")
        )
        self._build_info = gauge("build_info", "1; what serves.", ("version", "python", "onnxruntime"))
        self.ready = gauge("ready", "Whether requests are taken: 1 or 0.")
        self.draining = gauge("draining", "Whether the server is finishing its last requests: 1 or 0.")
        self._show_zeros()

    def _show_zeros(self) -> None:
        """Make every series exist: a rate over a series that appears with its first event misses that event."""
        reasons, engines = [reason.value for reason in FinishReason], [*(engine.value for engine in Engine), "none"]
        for model in self._models:
            for outcome in OUTCOMES:
                self._requests.labels(model, outcome)
            self._duration.labels(model)
        for model in self._models[:-1]:
            for stage in STAGES:
                self._stage.labels(model, stage)
            for outcome in OUTCOMES:
                self._texts.labels(model, outcome)
            for reason in reasons:
                for engine in engines:
                    self._finished.labels(model, engine, reason)
            for metric in (self._source_tokens, self._target_tokens):
                metric.labels(model)
            self.observer(model)

    def observer(self, model: str) -> LaneMetrics:
        """What the lanes of one bundle report to."""
        return LaneMetrics(
            step=self._steps.labels(model),
            rows=self._rows.labels(model),
            used_rows=self._used_rows.labels(model),
            encode=self._encodes.labels(model),
            sources=self._sources.labels(model),
            tokens=self._encoded.labels(model),
            padded_tokens=self._padded.labels(model),
            progress=self._progress.labels(model),
        )

    def serve(self, pipelines: Iterable[Pipeline]) -> None:
        """Describe the served bundles and watch their backlogs from now on."""
        pipelines = tuple(pipelines)
        for pipeline in pipelines:
            manifest = pipeline.bundle.manifest
            pairs = " ".join(map(str, manifest.pairs))
            labels = (pipeline.name, pipeline.version, pipeline.bundle.digest, manifest.precision, pairs)
            self._model_info.labels(*labels).set(1)
        self.registry.register(_Backlogs(pipelines))

    def built_with(self, version: str, python: str, onnxruntime: str) -> None:
        """Say which versions serve."""
        self._build_info.labels(version, python, onnxruntime).set(1)

    @contextmanager
    def request(self) -> Iterator[RequestRecord]:
        """Count a request from its arrival to its end, once, whatever happens in between."""
        record = RequestRecord()
        self._started.inc()
        started = time.perf_counter()
        try:
            yield record
        except ServingError as error:
            record.outcome = error.outcome
            raise
        except (asyncio.CancelledError, GeneratorExit):
            # gRPC cancels a call whose deadline passed as it does one whose client left.
            late = record.deadline_s is not None and time.monotonic() >= record.deadline_s - DEADLINE_SLACK_S
            record.outcome = "deadline" if late else "cancelled"
            raise
        except BaseException:
            record.outcome = "internal"
            raise
        finally:
            self._duration.labels(record.model).observe(time.perf_counter() - started)
            self._requests.labels(record.model, record.outcome).inc()

    def answered(self, model: str, outcomes: Sequence[Outcome | ScoreOutcome]) -> None:
        """Count what became of a request's texts or pairs."""
        done = [outcome for outcome in outcomes if isinstance(outcome, Translation | Scored)]
        for outcome in outcomes:
            name = outcome.outcome if isinstance(outcome, ServingError) else "ok"
            self._texts.labels(model, name).inc()
        for one in done:
            if isinstance(one, Translation):
                engine = one.engine.value if one.engine else "none"
                self._finished.labels(model, engine, one.finish_reason.value).inc()
            self._source_tokens.labels(model).inc(one.source_tokens)
            self._target_tokens.labels(model).inc(one.target_tokens)
        if done:
            longest = Timings.longest(one.timings for one in done)
            for stage in STAGES:
                self._stage.labels(model, stage).observe(getattr(longest, f"{stage}_s"))


@dataclass(frozen=True)
class LaneMetrics:
    """A `LaneObserver` that writes into one bundle's series; bound once, as it runs in every step."""

    step: Histogram
    rows: Histogram
    used_rows: Counter
    encode: Histogram
    sources: Histogram
    tokens: Counter
    padded_tokens: Counter
    progress: Gauge

    def on_step(self, rows: int, used_rows: int, seconds: float) -> None:
        """A run of the decoder."""
        self.step.observe(seconds)
        self.rows.observe(rows)
        self.used_rows.inc(used_rows)
        self.progress.set_to_current_time()

    def on_encode(self, sources: int, tokens: int, padded_tokens: int, seconds: float) -> None:
        """A run of the encoder."""
        self.encode.observe(seconds)
        self.sources.observe(sources)
        self.tokens.inc(tokens)
        self.padded_tokens.inc(padded_tokens)


class _Backlogs(Collector):
    """Gauges that are read from the pipelines at each scrape, so that they cannot drift."""

    def __init__(self, pipelines: Sequence[Pipeline]) -> None:
        self._pipelines = pipelines

    def collect(self) -> Iterator[Metric]:
        """The state at this moment."""
        readings: tuple[tuple[str, str, Callable[[Pipeline], int]], ...] = (
            ("queue_segments", "Segments waiting for a place in a lane.", lambda one: one.lanes.waiting_segments),
            ("queue_tokens", "Source tokens waiting for a place in a lane.", lambda one: one.lanes.waiting_tokens),
            ("running_segments", "Segments being decoded.", lambda one: one.lanes.active_segments),
            ("admitted_requests", "Requests admitted and not yet answered.", lambda one: one.admission.held_requests),
            ("admitted_tokens", "Source tokens admitted and not yet answered.", lambda one: one.admission.held_tokens),
            (
                "admission_limit_tokens",
                "Source tokens that are admitted at most.",
                lambda one: one.admission.limit_tokens,
            ),
        )
        for name, text, read in readings:
            family = GaugeMetricFamily(f"dragoman_{name}", text, labels=("model",))
            for pipeline in self._pipelines:
                family.add_metric((pipeline.name,), read(pipeline))
            yield family

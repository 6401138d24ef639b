"""What becomes of requests, counted and timed; all series exist at zero from the start, and every label is bounded.

A request is counted in one place, `Metrics.request`, at its end. Hence, over all labels,
Σ dragoman_requests_total is the number of requests started less those in flight, and
Σ dragoman_request_stage_duration_seconds_sum is Σ dragoman_request_duration_seconds_sum.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields

from prometheus_client import CollectorRegistry, Counter, Gauge

from dragoman.server.core.errors import ServingError
from dragoman.server.core.protection import Keeping, WarningKind
from dragoman.server.core.segments import FinishReason
from dragoman.server.core.strategies import Engine
from dragoman.server.core.terms import TermUse
from dragoman.server.core.translations import MarkCounts, Outcome, Timings, Translation
from dragoman.server.telemetry.counts import Count, Counts
from dragoman.server.telemetry.histograms import Tally, TallyHistogram
from dragoman.server.telemetry.lane_metrics import SIZE_BUCKETS, LaneMetrics, LaneTally

# fmt: off
LATENCY_BUCKETS_S = (
    0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5,
    0.75, 1, 1.5, 2, 3, 5, 7.5, 10, 20, 30,
)
# fmt: on

DEADLINE_SLACK_S = 0.05
"""A client's clock for a deadline starts before the server's: a cancellation this near to it is the deadline's."""

NO_MODEL = "none"
"""The model label of a request that ended before it was known which model it means."""
NO_ENGINE = "none"
"""The engine label where nothing had to be searched for, or nothing was answered."""

FAULTS = ("internal", "engine_error", "deadline", "unmeetable", "overloaded", "draining")
"""Ends that are the server's, or the load's. A text that ends so makes its request end so, the worst first."""
REFUSALS = (
    "invalid",
    "unsupported",
    "not_found",
    "unauthenticated",
    "forbidden",
    "too_many_calls",
    "cancelled",
    "unread",
)
"""Ends that are the caller's."""
OUTCOMES = ("ok", "partial", *REFUSALS, *FAULTS)
"""How a request ends. `partial` is an answer in which some of the texts could not be taken."""
ANSWERED = frozenset({"ok", "partial"})

BUNDLE_STATES = ("loading", "serving", "draining", "failed")

NO_TIME = Timings()
STAGES = tuple(field.name.removesuffix("_s") for field in fields(Timings))
OTHER, UNANSWERED = "other", "unanswered"
"""Two stages more: what lies between the others, and all the time of a request that got no answer."""


@dataclass
class RequestRecord:
    """What is known about a request while it runs; `Metrics.request` counts it at its end."""

    model: str = NO_MODEL
    outcome: str = "internal"
    deadline_s: float | None = None
    """On the monotonic clock."""
    timings: Timings = NO_TIME
    engine: str = NO_ENGINE
    cut: str = ""
    """How it ends where the server itself has cancelled it."""
    trace_id: str = ""
    """Of a trace whose spans are kept: the exemplar of its duration."""
    texts: int = 0
    source_tokens: int = 0
    target_tokens: int = 0

    def end(self, outcomes: Sequence[Outcome]) -> None:
        """Set how the request ended from what became of its texts."""
        errors = [outcome.outcome for outcome in outcomes if isinstance(outcome, ServingError)]
        if faults := [outcome for outcome in FAULTS if outcome in errors]:
            self.outcome = faults[0]
        else:
            self.outcome = "ok" if not errors else "partial" if len(errors) < len(outcomes) else errors[0]
        done = [outcome for outcome in outcomes if isinstance(outcome, Translation)]
        self.timings = done[0].timings if len(done) == 1 else Timings.last(each.timings for each in done)
        self.engine = next((name for name in map(_engine, done) if name != NO_ENGINE), NO_ENGINE)
        self.texts = len(outcomes)
        self.source_tokens = sum(translation.source_tokens for translation in done)
        self.target_tokens = sum(translation.target_tokens for translation in done)


Ended = Callable[[RequestRecord, float], None]
"""Told of a request that has ended, and how long it took."""


def _engine(outcome: Translation) -> str:
    """What made it; nothing makes an empty or a given translation."""
    return outcome.engine.value if outcome.engine else NO_ENGINE


class _Ends:
    """How one model's requests end: its series, looked up once, which takes longer than counting."""

    def __init__(self, model: str, requests: Counts, durations: TallyHistogram, stages: TallyHistogram) -> None:
        self.requests = {outcome: requests.labels(model, outcome) for outcome in OUTCOMES}
        self.unanswered = durations.labels(model, NO_ENGINE, "false"), stages.labels(model, UNANSWERED)


class _Answers:
    """What one model's requests are answered with."""

    def __init__(self, model: str, durations: TallyHistogram, stages: TallyHistogram) -> None:
        engines = [*(engine.value for engine in Engine), NO_ENGINE]
        self.durations = {engine: durations.labels(model, engine, "true") for engine in engines}
        self.stages = [(f"{stage}_s", stages.labels(model, stage)) for stage in STAGES]
        self.other = stages.labels(model, OTHER)

    def observe(self, record: RequestRecord, seconds: float) -> None:
        """Time an answered request."""
        self.durations[record.engine].add(seconds, record.trace_id)
        for name, stage in self.stages:
            stage.add(getattr(record.timings, name))
        self.other.add(max(0.0, seconds - record.timings.total_s))


@dataclass(frozen=True)
class _Model:
    """The series of one model's answers."""

    answers: _Answers
    passes: Count
    terms: Mapping[TermUse, Count]
    texts: Mapping[str, Count]
    translations: Mapping[tuple[str, str], Count]
    spans: Mapping[str, Count]
    marks: Mapping[str, Count]
    warnings: Mapping[WarningKind, Count]
    sizes: Sequence[Tally]
    """The sizes of sources, and those of targets."""
    tokens: Sequence[Count]


class Metrics:
    """Counts and times what the server does, into one registry."""

    def __init__(
        self, registry: CollectorRegistry, models: Sequence[str], clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.registry = registry
        self._clock = clock

        def counter(name: str, text: str, *labels: str) -> Counts:
            return Counts(f"dragoman_{name}", text, labels, registry)

        def reads(name: str, text: str) -> dict[str, Counter]:
            counts = Counter(f"dragoman_{name}", text, ("outcome",), registry=registry)  # of several threads
            return {outcome: counts.labels(outcome) for outcome in ("taken", "kept_old")}

        def histogram(
            name: str, text: str, *labels: str, buckets: Sequence[float] = LATENCY_BUCKETS_S
        ) -> TallyHistogram:
            return TallyHistogram(f"dragoman_{name}", text, labels, buckets, registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"dragoman_{name}", text, labels, registry=registry)

        self._started = counter("requests_started", "Requests to translate or score that arrived.").labels()
        self._requests = counter("requests", "Requests to translate or score by how they ended.", "model", "outcome")
        self._durations = histogram(
            "request_duration_seconds", "From arrival to answer or end.", "model", "engine", "answered"
        )
        self._stages = histogram(
            "request_stage_duration_seconds",
            "Time of a request in each stage, along its text that was finished last; adds up to its duration.",
            "model",
            "stage",
        )
        self._texts = counter("texts", "Texts and scored pairs by what became of them.", "model", "outcome")
        self._translations = counter(
            "translations", "Translations by why they ended and what made them.", "model", "engine", "reason"
        )
        self._spans = counter(
            "protected_spans", "Protected spans of translated texts by how they were kept.", "model", "keeping"
        )
        self._marks = counter(
            "marks",
            "Tags and other marks within segments of translated texts by how they were placed.",
            "model",
            "placing",
        )
        self._warnings = counter("text_warnings", "Warnings about translations by what they say.", "model", "kind")
        self._sizes = (
            histogram("request_source_tokens", "Source tokens of an answered request.", "model", buckets=SIZE_BUCKETS),
            histogram("request_target_tokens", "Target tokens of an answered request.", "model", buckets=SIZE_BUCKETS),
        )
        self._tokens = (
            counter("source_tokens", "Source tokens translated or scored, end tokens included.", "model"),
            counter("target_tokens", "Target tokens emitted or scored, end tokens included.", "model"),
        )
        self._passes = counter(
            "nat_passes", "Passes over texts without autoregression; the most of its segments.", "model"
        )
        self._terms = counter("terms", "Terms in texts by what became of them.", "model", "use")
        self.loop_lag = histogram("event_loop_lag_seconds", "How late the event loop wakes up what has slept.").labels()
        self.model_load = gauge("model_load_seconds", "How long it took to load the model.", "model")
        self.bundles = gauge(
            "bundles", "Bundles by state; `failed` ones lie where they should be served from.", "state"
        )
        for state in BUNDLE_STATES:
            self.bundles.labels(state)
        self.ready = gauge("ready", "Whether requests are taken: 1 or 0.")
        self.draining = gauge("draining", "Whether the server is finishing its last requests: 1 or 0.")
        self.certificate_expires = gauge(
            "tls_certificate_expires_timestamp_seconds", "When the certificate in use ends; 0 without TLS."
        )
        self.certificate_reads = reads(
            "tls_certificate_reads", "Times that changed certificate files were read, by what was done."
        )
        self.glossary_reads = reads(
            "glossary_reads", "Times that new or changed glossaries were read, by what was done."
        )
        self.unread_bytes = gauge("unread_bytes", "Answers that are ready and that their clients have not taken.")
        unread = counter("unread_calls", "Calls ended as their clients did not read, by which limit.", "limit")
        self.unread_calls = {limit: unread.labels(limit) for limit in ("time", "bytes")}
        """Calls that were ended for what their clients did not take."""
        lanes = LaneMetrics([])
        registry.register(lanes)
        self.tallies: dict[str, LaneTally] = lanes.tallies
        """What the lanes of each model, and the watch over them, report to."""
        self._models: dict[str, _Model] = {}
        self._ends = {NO_MODEL: _Ends(NO_MODEL, self._requests, self._durations, self._stages)}
        for model in models:
            self.add_model(model)

    def add_model(self, model: str) -> None:
        """Make all series of a model: a rate over one that appears with its first event misses that event."""
        if model in self.tallies:
            return
        engines = [*(engine.value for engine in Engine), NO_ENGINE]
        self._ends[model] = _Ends(model, self._requests, self._durations, self._stages)
        self._models[model] = _Model(
            answers=_Answers(model, self._durations, self._stages),
            passes=self._passes.labels(model),
            terms={use: self._terms.labels(model, use.value) for use in TermUse},
            texts={outcome: self._texts.labels(model, outcome) for outcome in OUTCOMES},
            translations={
                (engine, reason.value): self._translations.labels(model, engine, reason.value)
                for engine in engines
                for reason in FinishReason
            },
            spans={keeping.value: self._spans.labels(model, keeping.value) for keeping in Keeping},
            marks={placing: self._marks.labels(model, placing) for placing in vars(MarkCounts())},
            warnings={kind: self._warnings.labels(model, kind.value) for kind in WarningKind},
            sizes=tuple(family.labels(model) for family in self._sizes),
            tokens=tuple(family.labels(model) for family in self._tokens),
        )
        self.model_load.labels(model)
        self.tallies[model] = LaneTally()

    @contextmanager
    def request(self, ended: Ended | None = None) -> Iterator[RequestRecord]:
        """Count a request from its arrival to its end, once, whatever happens in between; then `ended` is told."""
        record = RequestRecord()
        self._started.inc()
        started = self._clock()
        try:
            yield record
        except ServingError as error:
            record.outcome = error.outcome
            raise
        except (asyncio.CancelledError, GeneratorExit):
            # gRPC cancels a call whose deadline passed as it does one whose client left.
            late = record.deadline_s is not None and time.monotonic() >= record.deadline_s - DEADLINE_SLACK_S
            record.outcome = record.cut or ("deadline" if late else "cancelled")
            raise
        except MemoryError:
            record.outcome = "overloaded"
            raise
        except BaseException:
            record.outcome = "internal"
            raise
        finally:
            seconds = self._clock() - started
            self._count(record, seconds)
            if ended is not None:
                ended(record, seconds)

    def refused(self, error: ServingError) -> None:
        """Count a request that was refused before it could be read."""
        self.refused_at_once(NO_MODEL, error.outcome, 1)

    def refused_at_once(self, model: str, outcome: str, number: int) -> None:
        """Count so many requests that were refused in no time."""
        self._started.inc(number)
        ends = self._ends[model]
        ends.requests[outcome].inc(number)
        for series in ends.unanswered:
            series.add(0.0, number=number)

    def _count(self, record: RequestRecord, seconds: float) -> None:
        ends = self._ends[record.model]
        ends.requests[record.outcome].inc()
        if record.outcome in ANSWERED:
            self._models[record.model].answers.observe(record, seconds)
        else:
            for series in ends.unanswered:
                series.add(seconds)

    def answered(self, model: str, outcomes: Sequence[Outcome]) -> None:
        """Count what became of a request's texts or pairs."""
        series = self._models[model]
        source_tokens = target_tokens = 0
        for outcome in outcomes:
            if isinstance(outcome, ServingError):
                series.texts[outcome.outcome].inc()
                continue
            series.texts["ok"].inc()
            if not outcome.is_given:
                series.translations[_engine(outcome), outcome.finish_reason.value].inc()
                series.passes.inc(outcome.work.nat_passes)
                if outcome.keeping is not None:
                    for keeping, number in vars(outcome.keeping).items():
                        series.spans[keeping].inc(number)
                if outcome.marks is not None:
                    for placing, number in vars(outcome.marks).items():
                        series.marks[placing].inc(number)
                for warning in outcome.warnings:
                    series.warnings[warning.kind].inc()
                for use, number in (pair for term in outcome.terms for pair in term.uses.items()):
                    series.terms[use].inc(number)
            source_tokens += outcome.source_tokens
            target_tokens += outcome.target_tokens
        if not target_tokens:
            return
        for number, size, total in zip((source_tokens, target_tokens), series.sizes, series.tokens, strict=True):
            size.add(number)
            total.inc(number)

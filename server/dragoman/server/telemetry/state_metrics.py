"""What is served and how it stands, read from the pipelines at each scrape, so that it cannot drift."""

import platform
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from dragoman.server.core import logs
from dragoman.server.core.segments import LIGHT_COST, Priority
from dragoman.server.pipeline.cache import Cache
from dragoman.server.pipeline.pipeline import Pipeline

Combine = Callable[[Iterable[float]], float]

ENDLESS = 1 << 60
"""What costs so much waits for all else."""


@dataclass(frozen=True)
class Build:
    """What serves."""

    version: str
    python: str
    onnxruntime: str
    onnxruntime_build: str
    """`cpu` or `gpu`: which of its two packages is installed."""

    @classmethod
    def installed(cls) -> "Build":
        """What this process runs on."""
        gpu = _version("onnxruntime-gpu")
        onnxruntime = gpu or _version("onnxruntime") or "none"
        return cls(_version("dragoman") or "none", platform.python_version(), onnxruntime, "gpu" if gpu else "cpu")


def _version(package: str) -> str | None:
    """The version of an installed package; None without it."""
    with suppress(metadata.PackageNotFoundError):
        return metadata.version(package)
    return None


class StateMetrics(Collector):
    """The served bundles, their backlogs and lanes; versions of one model are taken together."""

    def __init__(
        self, pipelines: Iterable[Pipeline], build: Build, cache: Cache, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._pipelines, self._build, self._cache, self._clock = pipelines, build, cache, clock

    def collect(self) -> Iterator[Metric]:
        """The state at this moment."""
        yield self._model_info()
        build = GaugeMetricFamily("dragoman_build_info", "1; what serves.", labels=tuple(vars(self._build)))
        build.add_metric(tuple(vars(self._build).values()), 1)
        yield build
        models: dict[str, list[Pipeline]] = {}
        for pipeline in self._pipelines:
            models.setdefault(pipeline.name, []).append(pipeline)
        for name, text, combine, read in self._readings():
            family = GaugeMetricFamily(f"dragoman_{name}", text, labels=("model",))
            for model, versions in models.items():
                family.add_metric((model,), combine(map(read, versions)))
            yield family
        yield self._stalls(models)
        yield from self._devices(models)
        yield from self._remembered()
        text = "Lines of the log that were dropped because nobody took them."
        yield CounterMetricFamily("dragoman_log_lines_dropped", text, value=logs.dropped())

    def _readings(self) -> tuple[tuple[str, str, Combine, Callable[[Pipeline], float]], ...]:
        oldest = "How long the oldest of the waiting segments has waited; 0 where none waits."
        predicted = "How long the lanes will take for all that waits, by what they did lately."
        return (
            ("queue_segments", "Segments waiting for a slot in a lane.", sum, lambda p: p.lanes.waiting_segments),
            ("queue_tokens", "Cost of the waiting segments, in source tokens.", sum, lambda p: p.lanes.waiting_tokens),
            ("queue_oldest_age_seconds", oldest, max, self._oldest_age_s),
            ("queue_predicted_wait_seconds", predicted, max, _predicted_wait_s),
            ("running_segments", "Segments being decoded.", sum, lambda p: p.lanes.active_segments),
            ("lanes", "Lanes that decode.", sum, lambda p: len(p.lanes.pulses)),
            ("admitted_requests", "Requests admitted and not yet answered.", sum, lambda p: p.admission.held_requests),
            ("admitted_tokens", "Source tokens admitted and not yet answered.", sum, lambda p: p.admission.held_tokens),
            (
                "admission_limit_tokens",
                "Source tokens that are admitted at most.",
                sum,
                lambda p: p.admission.limit_tokens,
            ),
        )

    def _remembered(self) -> Iterator[Metric]:
        lookups = CounterMetricFamily(
            "dragoman_cache_segments",
            "Segments that were looked up among the remembered ones.",
            labels=("model", "found"),
        )
        saved = CounterMetricFamily(
            "dragoman_cache_saved_seconds", "What remembered segments took when they were decoded.", labels=("model",)
        )
        for model, tally in self._cache.tallies.items():
            lookups.add_metric((model, "true"), tally.hits)
            lookups.add_metric((model, "false"), tally.misses)
            saved.add_metric((model,), tally.saved_s)
        yield lookups
        yield saved
        yield GaugeMetricFamily("dragoman_cache_bytes", "What is remembered.", value=self._cache.num_bytes)

    def _devices(self, models: dict[str, list[Pipeline]]) -> Iterator[Metric]:
        """What devices do; no samples where none is used."""

        def counter(name: str, text: str, *labels: str) -> CounterMetricFamily:
            return CounterMetricFamily(f"dragoman_device_{name}", text, labels=("model", *labels))

        runs = counter("runs", "Runs of a graph, by whether captured launches were repeated.", "graph", "replayed")
        captures = counter("captures", "Runs whose launches were captured; lanes wait meanwhile.")
        copies = counter("copies", "Copies between host and device.", "way")
        copied = counter("copied_bytes", "What was copied.", "way")
        text = "What lanes keep in a device's memory, without weights."
        held = GaugeMetricFamily("dragoman_device_held_bytes", text, labels=("model",))
        for model, versions in models.items():
            works = [work for pipeline in versions if (work := pipeline.lanes.device) is not None]
            for key in {key: None for work in works for key in [*work.runs]}:
                labels = model, key[0], str(key[1]).lower()
                runs.add_metric(labels, sum(work.runs.get(key, 0) for work in works))
            for family, name in ((copies, "copies"), (copied, "bytes")) if works else ():
                for way in ("in", "out"):
                    family.add_metric((model, way), sum(getattr(work, name)[way] for work in works))
            if works:
                captures.add_metric((model,), sum(work.captures for work in works))
                held.add_metric((model,), sum(work.held for work in works))
        yield from (runs, captures, copies, copied, held)

    def _oldest_age_s(self, pipeline: Pipeline) -> float:
        arrived_s = pipeline.lanes.oldest_arrived_s
        return 0.0 if arrived_s is None else max(0.0, self._clock() - arrived_s)

    def _stalls(self, models: dict[str, list[Pipeline]]) -> Metric:
        family = GaugeMetricFamily(
            "dragoman_lane_stalled_seconds",
            "How long a lane that has work has not moved; 0 while it is idle.",
            labels=("model", "lane"),
        )
        now_s = self._clock()
        for model, versions in models.items():
            for index, pulse in enumerate(pulse for pipeline in versions for pulse in pipeline.lanes.pulses):
                family.add_metric((model, str(index)), pulse.stalled_s(now_s))
        return family

    def _model_info(self) -> Metric:
        labels = ("model", "version", "bundle_digest", "pairs", "precision", "provider")
        family = GaugeMetricFamily("dragoman_model_info", "1; what is served, and on what it runs.", labels=labels)
        for pipeline in self._pipelines:
            manifest = pipeline.bundle.manifest
            pairs = " ".join(pipeline.directions.names)
            provider = pipeline.lanes.provider
            family.add_metric(
                (pipeline.name, pipeline.version, pipeline.bundle.digest, pairs, manifest.precision, provider), 1
            )
        return family


def _predicted_wait_s(pipeline: Pipeline) -> float:
    """Light and bulk segments are decoded side by side: whichever takes longer."""
    return max(pipeline.lanes.predicted_wait_s(max(Priority), cost) for cost in (LIGHT_COST, ENDLESS))

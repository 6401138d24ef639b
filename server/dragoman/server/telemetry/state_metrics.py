"""What is served and how it stands, read from the pipelines at each scrape, so that it cannot drift."""

import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from dragoman.server.core.segments import Priority
from dragoman.server.pipeline.pipeline import Pipeline


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
    """The served bundles, their backlogs and lanes."""

    def __init__(
        self, pipelines: Sequence[Pipeline], build: Build, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._pipelines, self._build, self._clock = pipelines, build, clock

    def collect(self) -> Iterator[Metric]:
        """The state at this moment."""
        yield self._model_info()
        build = GaugeMetricFamily("dragoman_build_info", "1; what serves.", labels=tuple(vars(self._build)))
        build.add_metric(tuple(vars(self._build).values()), 1)
        yield build
        for name, text, read in self._readings():
            family = GaugeMetricFamily(f"dragoman_{name}", text, labels=("model",))
            for pipeline in self._pipelines:
                family.add_metric((pipeline.name,), read(pipeline))
            yield family
        yield self._stalls()

    def _readings(self) -> tuple[tuple[str, str, Callable[[Pipeline], float]], ...]:
        oldest = "How long the oldest of the waiting segments has waited; 0 where none waits."
        predicted = "How long the lanes will take for all that waits, by what they did lately."
        return (
            ("queue_segments", "Segments waiting for a slot in a lane.", lambda p: p.lanes.waiting_segments),
            ("queue_tokens", "Source tokens waiting for a slot in a lane.", lambda p: p.lanes.waiting_tokens),
            ("queue_oldest_age_seconds", oldest, self._oldest_age_s),
            ("queue_predicted_wait_seconds", predicted, lambda p: p.lanes.predicted_wait_s(max(Priority))),
            ("running_segments", "Segments being decoded.", lambda p: p.lanes.active_segments),
            ("lanes", "Lanes that decode.", lambda p: len(p.lanes.pulses)),
            ("admitted_requests", "Requests admitted and not yet answered.", lambda p: p.admission.held_requests),
            ("admitted_tokens", "Source tokens admitted and not yet answered.", lambda p: p.admission.held_tokens),
            ("admission_limit_tokens", "Source tokens that are admitted at most.", lambda p: p.admission.limit_tokens),
        )

    def _oldest_age_s(self, pipeline: Pipeline) -> float:
        arrived_s = pipeline.lanes.oldest_arrived_s
        return 0.0 if arrived_s is None else max(0.0, self._clock() - arrived_s)

    def _stalls(self) -> Metric:
        family = GaugeMetricFamily(
            "dragoman_lane_stalled_seconds",
            "How long a lane that has work has not moved; 0 while it is idle.",
            labels=("model", "lane"),
        )
        now_s = self._clock()
        for pipeline in self._pipelines:
            for index, pulse in enumerate(pipeline.lanes.pulses):
                family.add_metric((pipeline.name, str(index)), pulse.stalled_s(now_s))
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

"""The state of bundles, backlogs and lanes, read at each scrape."""

import platform
import time
from collections.abc import Callable
from importlib import metadata

import pytest
from prometheus_client import CollectorRegistry

from dragoman.bundle.manifest import Decoding
from dragoman.server.core.ports import DeviceWork
from dragoman.server.core.segments import Priority, Segment
from dragoman.server.pipeline.cache import Cache
from dragoman.server.pipeline.pipeline import Pipeline
from dragoman.server.telemetry.state_metrics import Build, StateMetrics
from dragoman.server.testing import FakeLanes

BUILD = Build("1.2", "3.11.7", "1.31.1", "gpu")


def value(pipeline: Pipeline, name: str, clock: Callable[[], float] = time.monotonic, **labels: str) -> float | None:
    registry = CollectorRegistry()
    registry.register(StateMetrics([pipeline], BUILD, Cache(0), clock))
    return registry.get_sample_value(name, labels)


def test_gauges_are_read_at_the_scrape(pipeline: Pipeline) -> None:
    """They cannot drift from what they describe."""
    with pipeline.admission.reserve(7):
        held = value(pipeline, "dragoman_admitted_tokens", model="echo")

    assert (held, value(pipeline, "dragoman_admitted_tokens", model="echo")) == (7, 0)
    assert value(pipeline, "dragoman_admission_limit_tokens", model="echo") == 2_000


def test_the_age_of_what_waits_and_of_a_stall_are_taken_at_the_scrape(pipeline: Pipeline, lanes: FakeLanes) -> None:
    """Both grow while nobody touches them: a metric that only a working lane updates would hide a lane that hangs."""
    lanes.hold()
    ticket = lanes.submit(Segment((5, 0), Decoding()), lambda _: None)
    lanes.pulses[0].beat(ticket.submitted_s, is_busy=True)

    def later() -> float:
        return ticket.submitted_s + 40

    assert value(pipeline, "dragoman_queue_oldest_age_seconds", later, model="echo") == pytest.approx(40)
    assert value(pipeline, "dragoman_lane_stalled_seconds", later, model="echo", lane="0") == pytest.approx(40)


def test_an_empty_backlog_has_no_age(pipeline: Pipeline) -> None:
    """Nothing waits, however late it is."""
    assert value(pipeline, "dragoman_queue_oldest_age_seconds", lambda: 1e9, model="echo") == 0


def test_the_predicted_wait_is_that_of_a_newcomer_behind_all(pipeline: Pipeline, lanes: FakeLanes) -> None:
    """The one that the lanes turn requests away by: a batch's, as all others go before it."""
    lanes.waits_s = {Priority.INTERACTIVE: 0.1, Priority.NORMAL: 0.2, Priority.BATCH: 0.4}

    assert value(pipeline, "dragoman_queue_predicted_wait_seconds", model="echo") == pytest.approx(0.4)


def test_what_is_served_and_what_serves_are_labels(pipeline: Pipeline) -> None:
    """A bundle by its digest, the process by its versions."""
    bundle = pipeline.bundle
    labels = {
        "model": "echo",
        "version": pipeline.version,
        "bundle_digest": bundle.digest,
        "pairs": "en-pt",
        "precision": bundle.manifest.precision,
        "provider": pipeline.lanes.provider,
    }

    assert value(pipeline, "dragoman_model_info", **labels) == 1
    assert value(pipeline, "dragoman_build_info", **vars(BUILD)) == 1


def test_the_installed_build_is_that_of_this_process() -> None:
    """Python's own version, and one of the two packages of the runtime."""
    build = Build.installed()

    assert build.python == platform.python_version()
    package = "onnxruntime-gpu" if build.onnxruntime_build == "gpu" else "onnxruntime"
    assert build.onnxruntime == metadata.version(package)


def test_what_a_device_does_is_counted_where_there_is_one(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs by whether they were repeated, captures, copies, and what is held; no samples without a device."""
    assert value(pipeline, "dragoman_device_captures_total", model="echo") is None

    work = DeviceWork(captures=2, held=77)
    work.note("device.step", replayed=False, sent=5, fetched=0)
    for _ in range(3):
        work.note("device.step", replayed=True, sent=10, fetched=4)
    monkeypatch.setattr(pipeline.lanes, "device", work)

    runs = [
        value(pipeline, "dragoman_device_runs_total", model="echo", graph="device.step", replayed=replayed)
        for replayed in ("true", "false")
    ]
    assert runs == [3, 1]
    assert value(pipeline, "dragoman_device_captures_total", model="echo") == 2
    assert value(pipeline, "dragoman_device_held_bytes", model="echo") == 77
    assert value(pipeline, "dragoman_device_copies_total", model="echo", way="out") == 3
    assert value(pipeline, "dragoman_device_copied_bytes_total", model="echo", way="in") == 35

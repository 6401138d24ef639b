"""What lanes report, as metrics."""

import pytest
from prometheus_client import CollectorRegistry

from dragoman.server.telemetry.lane_metrics import DROP_REASONS, FAILURES, LaneMetrics
from dragoman.server.telemetry.liveness import Fault


@pytest.fixture
def metrics() -> LaneMetrics:
    return LaneMetrics(["echo", "other"])


def value(metrics: LaneMetrics, name: str, **labels: str) -> float | None:
    registry = CollectorRegistry()
    registry.register(metrics)
    return registry.get_sample_value(name, labels)


def test_lanes_are_watched(metrics: LaneMetrics) -> None:
    """Rows, useful rows, tokens with and without padding, and what was done for nothing."""
    tally = metrics.tallies["echo"]

    tally.on_step(8, 6, 0.004)
    tally.on_encode(2, 30, 40, 0.002)
    tally.on_drop(7, "cancelled")
    tally.on_drafts(4, 12, 9, None)
    tally.on_drafts(2, 8, 0, 16)

    assert value(metrics, "dragoman_batch_rows_sum", model="echo") == 8
    assert value(metrics, "dragoman_batch_used_rows_total", model="echo") == 6
    assert value(metrics, "dragoman_step_duration_seconds_bucket", model="echo", le="0.005") == 1
    assert value(metrics, "dragoman_step_duration_seconds_count", model="echo") == 1
    assert value(metrics, "dragoman_encode_padded_tokens_total", model="echo") == 40
    assert value(metrics, "dragoman_wasted_target_tokens_total", model="echo", reason="cancelled") == 7
    assert value(metrics, "dragoman_speculation_rounds_total", model="echo") == 6
    assert value(metrics, "dragoman_drafted_tokens_total", model="echo") == 20
    assert value(metrics, "dragoman_accepted_tokens_total", model="echo") == 9
    assert value(metrics, "dragoman_speculation_stops_at_sources", model="echo") == 16


def test_each_model_has_numbers_of_its_own(metrics: LaneMetrics) -> None:
    """What the lanes of one do is not told of the other, which stands at zero."""
    metrics.tallies["echo"].on_encode(2, 30, 40, 0.002)

    assert value(metrics, "dragoman_encode_sources_count", model="echo") == 1
    assert value(metrics, "dragoman_encode_sources_count", model="other") == 0


def test_speculation_that_pays_everywhere_stops_nowhere(metrics: LaneMetrics) -> None:
    """The last round says where it stops: a batch size, or none."""
    metrics.tallies["echo"].on_drafts(2, 8, 0, 16)
    metrics.tallies["echo"].on_drafts(2, 8, 8, None)

    assert value(metrics, "dragoman_speculation_stops_at_sources", model="echo") == 0


def test_every_failure_and_every_reason_is_counted_apart(metrics: LaneMetrics) -> None:
    """A failed round is no lost lane."""
    tally = metrics.tallies["echo"]

    tally.on_failed_round()
    tally.on_failure(Fault.HANG.value)
    for number, reason in enumerate(DROP_REASONS, 1):
        tally.on_drop(number, reason)

    counted = [value(metrics, "dragoman_lane_failures_total", model="echo", reason=reason) for reason in FAILURES]
    assert dict(zip(FAILURES, counted, strict=True)) == {"round": 1, "hang": 1, "crash": 0, "failure": 0}
    wasted = [
        value(metrics, "dragoman_wasted_target_tokens_total", model="echo", reason=reason) for reason in DROP_REASONS
    ]
    assert wasted == [1, 2]

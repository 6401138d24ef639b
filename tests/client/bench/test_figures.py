"""Rates, percentiles and outcomes of calls."""

import math
import random

import pytest

from dragoman.client.bench.figures import figures, quantile
from dragoman.client.bench.load import Call


def call(due_s: float, latency_s: float, outcome: str = "OK", lateness_s: float = 0.0) -> Call:
    return Call(due_s, due_s + lateness_s, due_s + latency_s, outcome, (("queue", latency_s / 2),))


@pytest.mark.parametrize("count", [1, 2, 3, 10, 99, 100, 101, 999, 1000])
@pytest.mark.parametrize("share", [0.5, 0.9, 0.95, 0.99, 0.999, 1.0])
def test_a_quantile_is_the_smallest_value_that_enough_do_not_exceed(count: int, share: float) -> None:
    """Beside the definition, word by word; counted in thousandths, where shares are whole."""
    values = random.Random(count).choices(range(50), k=count)

    enough = [one for one in values if 1000 * sum(other <= one for other in values) >= round(1000 * share) * count]

    assert quantile(values, share) == min(enough)


def test_a_quantile_of_nothing_is_infinite() -> None:
    """Nothing was answered, so nothing was answered in time."""
    assert quantile([], 0.5) == math.inf


def test_latency_counts_from_when_a_call_was_due() -> None:
    """A call that left a second late and was answered at once made its user wait for a second."""
    late = Call(due_s=1.0, sent_s=2.0, ended_s=2.01, outcome="OK")

    measured = figures([late], warmup_s=0, duration_s=2)

    assert measured.latency_ms["p50"] == pytest.approx(1010)
    assert measured.lateness_ms["p50"] == pytest.approx(1000)


def test_a_stall_is_charged_with_every_call_that_came_meanwhile() -> None:
    """A server that stops for a second in ten has a p90 of a tenth of a second, not the quick answer of the others."""
    stalled_s, quick_s = (4.0, 5.0), 0.001
    calls = [
        call(due_s, max(quick_s, stalled_s[1] - due_s if due_s >= stalled_s[0] else 0))
        for due_s in (index / 100 for index in range(500))
    ] + [call(5 + index / 100, quick_s) for index in range(500)]

    measured = figures(calls, warmup_s=0, duration_s=10)

    assert measured.latency_ms["p50"] == pytest.approx(1)
    assert measured.latency_ms["p95"] == pytest.approx(500, abs=20)
    assert measured.latency_ms["p99"] == pytest.approx(900, abs=20)


def test_warm_up_is_sent_and_not_counted() -> None:
    """What was due before its end is in no figure but its own."""
    calls = [call(0.5, 9.0, "UNAVAILABLE"), *(call(1 + index / 10, 0.1) for index in range(20))]

    measured = figures(calls, warmup_s=1.0, duration_s=2.0)

    assert (measured.calls, measured.warmup_calls) == (20, 1)
    assert measured.outcomes == {"OK": 20}
    assert measured.offered_per_s == 10
    assert measured.latency_ms["max"] == pytest.approx(100)


def test_calls_that_failed_count_for_the_promise_and_not_for_the_latency() -> None:
    """Two failures in a hundred break every p99, however quick they were."""
    calls = [call(index / 10, 0.1) for index in range(98)]

    well = figures([*calls, call(9.8, 0.1), call(9.9, 0.001, "RESOURCE_EXHAUSTED")], warmup_s=0, duration_s=10)
    ill = figures(calls + [call(9.8, 0.001, "RESOURCE_EXHAUSTED")] * 2, warmup_s=0, duration_s=10)

    assert well.p99_with_failures_ms == pytest.approx(100)
    assert ill.p99_with_failures_ms == math.inf
    assert ill.latency_ms["p99"] == pytest.approx(100)
    assert ill.outcomes == {"OK": 98, "RESOURCE_EXHAUSTED": 2}
    assert sum(ill.outcomes.values()) == ill.calls


def test_answers_after_the_end_lower_the_rate() -> None:
    """A server that took 20 seconds for the calls of 10 answered half as fast as they came."""
    calls = [call(index / 10, 20 - index / 10) for index in range(100)]

    measured = figures(calls, warmup_s=0, duration_s=10)

    assert (measured.offered_per_s, measured.answered_per_s) == (10, 5)
    assert measured.max_in_flight == 100


def test_one_call_after_the_other_is_never_two_at_once() -> None:
    """A call that leaves at the moment that another ends has it behind it."""
    calls = [Call(i, i, i + 1, "OK") for i in range(5)]

    assert figures(calls, warmup_s=0, duration_s=5).max_in_flight == 1


def test_stages_are_the_servers_own() -> None:
    """Only of calls that it answered."""
    measured = figures([call(0, 0.2), call(1, 9.0, "DEADLINE_EXCEEDED")], warmup_s=0, duration_s=2)

    assert measured.stages_ms["queue"]["max"] == pytest.approx(100)


def test_no_call_no_percentile() -> None:
    """A load so small that chance made no call of it is reported, not crashed upon."""
    measured = figures([], warmup_s=0, duration_s=1)

    assert (measured.calls, measured.latency_ms, measured.p99_with_failures_ms) == (0, {}, math.inf)

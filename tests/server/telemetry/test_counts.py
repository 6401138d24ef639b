"""Counts, which become metrics when they are scraped."""

from prometheus_client import CollectorRegistry, generate_latest

from dragoman.server.telemetry.counts import Counts


def test_a_count_is_shown_as_a_counter_from_the_moment_it_is_asked_for() -> None:
    """At zero at first; the same labels are the same count."""
    registry = CollectorRegistry()
    counts = Counts("eaten", "What was eaten.", ("fruit",), registry)
    counts.labels("fig")
    counts.labels("plum").inc()
    counts.labels("plum").inc(2)

    assert registry.get_sample_value("eaten_total", {"fruit": "fig"}) == 0
    assert registry.get_sample_value("eaten_total", {"fruit": "plum"}) == 3
    assert b"# TYPE eaten_total counter" in generate_latest(registry)


def test_a_count_without_labels_is_one_series() -> None:
    """It needs no label to be asked for."""
    registry = CollectorRegistry()
    Counts("calls", "Calls.", (), registry).labels().inc(5)

    assert registry.get_sample_value("calls_total") == 5

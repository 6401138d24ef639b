"""Metrics read from text."""

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from dragoman.client.commands.exposition import Change, Exposition

BOUNDS = (0.1, 0.2, 0.4)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def scrape(registry: CollectorRegistry) -> Exposition:
    return Exposition(generate_latest(registry).decode())


def test_labels_are_read_as_they_were_written(registry: CollectorRegistry) -> None:
    """Quotes, backslashes, line ends, commas and braces in a value are part of it."""
    strange = 'a"b\\c\nd,e="f"}'
    Counter("calls", "Calls.", ("who",), registry=registry).labels(strange).inc(3)

    [sample] = scrape(registry).get("calls_total")

    assert (sample.labels, sample.value) == ({"who": strange}, 3.0)


def test_a_line_that_is_no_sample_is_passed_over() -> None:
    """Comments, empty lines, and what another version may add."""
    found = Exposition('# HELP a b\n\nnonsense\na 1\na{x="1"} +Inf 1700000000\nb NaN')

    assert [one.value for one in found.get("a")] == [1.0, float("inf")]
    assert found.get("nothing") == []
    assert found.sum("nothing") == 0


def test_a_change_counts_what_came_between(registry: CollectorRegistry) -> None:
    """By label, and without what was there before."""
    calls = Counter("calls", "Calls.", ("how",), registry=registry)
    calls.labels("well").inc(10)
    before = scrape(registry)
    calls.labels("well").inc(4)
    calls.labels("badly").inc()

    change = Change(before, scrape(registry))

    assert change.of("calls_total") == 5
    assert change.by("calls_total", "how") == {"well": 4, "badly": 1}


@pytest.mark.parametrize(
    ("values", "q", "expected"),
    [
        ([], 0.5, None),
        ([0.15] * 4, 0.5, 0.15),  # half-way through the bucket from 0.1 to 0.2
        ([0.05, 0.15, 0.15, 0.3], 0.5, 0.15),
        ([0.05] * 99 + [0.3], 0.99, 0.1),
        ([9.0] * 3, 0.5, 0.4),  # above the last bound: no more is known
        ([0.05, 0.3], 1.0, 0.4),
    ],
)
def test_quantiles_are_prometheus_own(
    registry: CollectorRegistry, values: list[float], q: float, expected: float | None
) -> None:
    """Straight within a bucket, of the observations between the two scrapes alone."""
    histogram = Histogram("seconds", "Time.", ("model",), buckets=BOUNDS, registry=registry)
    histogram.labels("a").observe(0.01)
    before = scrape(registry)
    for value in values:
        histogram.labels("a").observe(value)

    found = Change(before, scrape(registry)).quantile(q, "seconds", model="a")

    assert found == (None if expected is None else pytest.approx(expected))


def test_a_mean_of_nothing_is_nothing(registry: CollectorRegistry) -> None:
    """Not zero, and no error."""
    histogram = Histogram("seconds", "Time.", buckets=BOUNDS, registry=registry)
    before = scrape(registry)
    assert Change(before, before).mean("seconds") is None

    histogram.observe(0.1)
    histogram.observe(0.3)

    assert Change(before, scrape(registry)).mean("seconds") == pytest.approx(0.2)

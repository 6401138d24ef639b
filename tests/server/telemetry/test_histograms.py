"""Tallies beside the histograms of the Prometheus client, which are slow and well known."""

import random

import pytest
from prometheus_client import CollectorRegistry, Histogram

from dragoman.server.telemetry.histograms import TallyHistogram

BOUNDS = (0.001, 0.0025, 0.5, 1, 30)


def samples(registry: CollectorRegistry) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if not sample.name.endswith("_created")
    }


@pytest.mark.parametrize("seed", range(10))
def test_a_tally_is_exposed_as_the_clients_own_histogram(seed: int) -> None:
    """The same samples with the same numbers; values on a bound, beyond all bounds and zero included."""
    chance = random.Random(seed)
    values = [*BOUNDS, 0.0, 31.0, 1e9, *(chance.expovariate(2) for _ in range(200))]
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    tallies = TallyHistogram("seconds", "Time.", ("model", "stage"), BOUNDS, ours)
    histogram = Histogram("seconds", "Time.", ("model", "stage"), buckets=BOUNDS, registry=theirs)

    for value in values:
        labels = ("a", chance.choice("xy"))
        tallies.labels(*labels).add(value)
        histogram.labels(*labels).observe(value)

    found, expected = samples(ours), samples(theirs)
    assert found == pytest.approx(expected)
    assert {key: number for key, number in found.items() if not key[0].endswith("_sum")} == {
        key: number for key, number in expected.items() if not key[0].endswith("_sum")
    }


def test_a_combination_is_there_once_it_was_asked_for() -> None:
    """At zero, in every bucket; a wrong number of labels is a defect."""
    registry = CollectorRegistry()
    tallies = TallyHistogram("seconds", "Time.", ("model",), BOUNDS, registry)
    assert samples(registry) == {}

    tallies.labels("a")

    assert len(samples(registry)) == len(BOUNDS) + 3
    assert set(samples(registry).values()) == {0.0}
    with pytest.raises(AssertionError):
        tallies.labels("a", "b")

"""Counters that cost next to nothing: a count is a number, and becomes a metric when it is scraped.

The library's own counters take a lock, and five times as long; a request is counted a dozen times. Each count has one
writer, which is the event loop for all that has to do with requests.
"""

from collections.abc import Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry


class Count:
    """A number that only grows."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def inc(self, number: float = 1) -> None:
        """So many more."""
        self.value += number


class Counts(Collector):
    """A counter with labels, a count for each of their combinations that was asked for."""

    def __init__(self, name: str, text: str, labels: Sequence[str], registry: CollectorRegistry) -> None:
        self._name, self._text, self._labels = name, text, labels
        self._counts: dict[tuple[str, ...], Count] = {}
        registry.register(self)

    def labels(self, *values: str) -> Count:
        """The count of a combination; it is shown from now on."""
        count = self._counts.get(values)
        if count is None:
            assert len(values) == len(self._labels), f"{self._name} has {len(self._labels)} labels, not {len(values)}"
            count = self._counts.setdefault(values, Count())
        return count

    def collect(self) -> Iterator[Metric]:
        """The numbers of this moment."""
        family = CounterMetricFamily(self._name, self._text, labels=self._labels)
        for values, count in tuple(self._counts.items()):  # others may be added meanwhile
            family.add_metric(values, count.value)
        yield family

"""Histograms that cost next to nothing: a tally is a list of counts, and becomes a metric when it is scraped.

The library's own histograms take three times as long to observe a value, and a request is observed a dozen times.
Each tally has one writer, or its writers share a lock; a scrape in between may miss the half of one observation.
"""

import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString

Bucket = tuple[str, float] | tuple[str, float, Exemplar]


class Tally:
    """A histogram in the making."""

    __slots__ = ("bounds", "counts", "exemplars", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0
        self.exemplars: dict[int, Exemplar] = {}
        """By bucket the last value that belongs to a trace."""

    def add(self, value: float, trace_id: str = "", *, number: int = 1) -> None:
        """Count a value, or a number of the same. A value on a bound belongs below it."""
        bucket = bisect_left(self.bounds, value)
        self.counts[bucket] += number
        self.sum += number * value
        if trace_id:
            self.exemplars[bucket] = Exemplar({"trace_id": trace_id}, value, time.time())

    def buckets(self) -> list[Bucket]:
        """Bounds and cumulative counts, as the exposition has them, with exemplars where there are any."""
        names = [*map(floatToGoString, self.bounds), "+Inf"]
        rows = zip(names, map(float, accumulate(self.counts)), strict=True)
        return [(*row, self.exemplars[n]) if n in self.exemplars else row for n, row in enumerate(rows)]


class TallyHistogram(Collector):
    """A histogram with labels, a tally for each of their combinations that was asked for."""

    def __init__(
        self, name: str, text: str, labels: Sequence[str], bounds: Sequence[float], registry: CollectorRegistry
    ) -> None:
        self._name, self._text, self._labels, self._bounds = name, text, labels, bounds
        self._tallies: dict[tuple[str, ...], Tally] = {}
        registry.register(self)

    def labels(self, *values: str) -> Tally:
        """The tally of a combination; it is shown from now on."""
        assert len(values) == len(self._labels), f"{self._name} has {len(self._labels)} labels, not {len(values)}"
        return self._tallies.setdefault(values, Tally(self._bounds))

    def collect(self) -> Iterator[Metric]:
        """The numbers of this moment."""
        family = HistogramMetricFamily(self._name, self._text, labels=self._labels)
        for values, tally in tuple(self._tallies.items()):  # others may be added meanwhile
            family.add_metric(values, tally.buckets(), tally.sum)
        yield family

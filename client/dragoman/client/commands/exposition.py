"""A server's metrics as Prometheus would see them: read from text, compared with those of a moment before."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_SAMPLE = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)(?: \d+)?")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_ESCAPES = {r"\\": "\\", r"\"": '"', r"\n": "\n"}

Labels = Mapping[str, str]


@dataclass(frozen=True)
class Sample:
    """One number of a series."""

    labels: Labels
    value: float


class Exposition:
    """All samples of one scrape, by name."""

    def __init__(self, text: str) -> None:
        self._samples: dict[str, list[Sample]] = {}
        for line in text.splitlines():
            match = None if line.startswith("#") else _SAMPLE.fullmatch(line)
            if match is not None:
                name, labels, value = match.groups()
                self._samples.setdefault(name, []).append(Sample(dict(_labels(labels or "")), float(value)))

    def __repr__(self) -> str:
        return f"<Exposition {len(self._samples)} names>"

    def get(self, name: str, **wanted: str) -> list[Sample]:
        """The samples of a name that have all these labels."""
        samples = self._samples.get(name, [])
        return [sample for sample in samples if wanted.items() <= sample.labels.items()]

    def sum(self, name: str, **wanted: str) -> float:
        """The sum of these samples; 0 where there are none."""
        return math.fsum(sample.value for sample in self.get(name, **wanted))

    def values(self, name: str, label: str) -> list[str]:
        """What a label of a name has for values, in the order of the samples."""
        return list(dict.fromkeys(sample.labels[label] for sample in self.get(name) if label in sample.labels))


@dataclass(frozen=True)
class Change:
    """What counters counted between two scrapes of the same process."""

    before: Exposition
    after: Exposition

    def of(self, name: str, **wanted: str) -> float:
        """How much a series grew."""
        return self.after.sum(name, **wanted) - self.before.sum(name, **wanted)

    def by(self, name: str, label: str) -> dict[str, float]:
        """The same for each value of a label."""
        return {value: self.of(name, **{label: value}) for value in self.after.values(name, label)}

    def ratio(self, over: str, under: str, **wanted: str) -> float | None:
        """The quotient of two growths; None where the second is 0."""
        growth = self.of(under, **wanted)
        return self.of(over, **wanted) / growth if growth else None

    def mean(self, histogram: str, **wanted: str) -> float | None:
        """The mean of what a histogram observed; None where it observed nothing."""
        return self.ratio(f"{histogram}_sum", f"{histogram}_count", **wanted)

    def quantile(self, q: float, histogram: str, **wanted: str) -> float | None:
        """A quantile of what a histogram observed, interpolated as Prometheus does; None where it observed nothing.

        What lies above the last finite bound counts as that bound.
        """
        name = f"{histogram}_bucket"
        bounds = sorted(self.after.values(name, "le"), key=float)
        counts = [self.of(name, le=bound, **wanted) for bound in bounds]
        if not counts or counts[-1] <= 0:
            return None
        rank = q * counts[-1]
        bucket = next(index for index, count in enumerate(counts) if count >= rank)
        low = float(bounds[bucket - 1]) if bucket else 0.0
        below = counts[bucket - 1] if bucket else 0.0
        if math.isinf(float(bounds[bucket])):
            return low
        inside = counts[bucket] - below
        return low + (float(bounds[bucket]) - low) * ((rank - below) / inside if inside else 1.0)


def _labels(text: str) -> Iterator[tuple[str, str]]:
    for name, value in _LABEL.findall(text):
        yield name, re.sub(r"\\[\\\"n]", lambda match: _ESCAPES[match[0]], value)

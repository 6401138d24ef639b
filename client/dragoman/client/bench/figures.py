"""The figures of a load: how many, how fast, how long. Exact, from every call: no buckets, no averaged percentiles."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dragoman.client.bench.load import OK, Call

QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999, "max": 1.0}


@dataclass(frozen=True)
class Figures:
    """What was measured, warm-up aside. Percentiles are in milliseconds, by name; empty where nothing was answered."""

    duration_s: float
    """For how long calls were due."""
    calls: int
    offered_per_s: float
    answered_per_s: float
    """Calls that ended well, over the time until the last call ended."""
    outcomes: Mapping[str, int]
    latency_ms: Mapping[str, float]
    """How long calls that ended well took, from the moment that they were due."""
    lateness_ms: Mapping[str, float]
    """How long after they were due calls left: what this machine, and not the server, adds."""
    stages_ms: Mapping[str, Mapping[str, float]]
    """Where the server says that the time of calls that ended well went."""
    max_in_flight: int
    warmup_calls: int
    """Calls made before those that are counted."""
    p99_with_failures_ms: float
    """As if a call that failed had taken for ever: what is compared with a promise about p99."""


def figures(calls: Iterable[Call], warmup_s: float, duration_s: float) -> Figures:
    """The figures of the calls that were due after the warm-up."""
    calls = list(calls)
    counted = [call for call in calls if call.due_s >= warmup_s]
    well = [call for call in counted if call.outcome == OK]
    last_s = max((call.ended_s for call in counted), default=0.0)
    latencies = [call.latency_s for call in well]
    stages: dict[str, list[float]] = {}
    for call in well:
        for name, seconds in call.stages_s:
            stages.setdefault(name, []).append(seconds)
    return Figures(
        duration_s=duration_s,
        calls=len(counted),
        offered_per_s=len(counted) / duration_s,
        answered_per_s=len(well) / max(duration_s, last_s - warmup_s),
        outcomes=dict(Counter(call.outcome for call in counted).most_common()),
        latency_ms=_quantiles(latencies),
        lateness_ms=_quantiles([call.lateness_s for call in counted]),
        stages_ms={name: _quantiles(values) for name, values in stages.items()},
        max_in_flight=_max_in_flight(counted),
        warmup_calls=len(calls) - len(counted),
        p99_with_failures_ms=1e3 * quantile(latencies + [math.inf] * (len(counted) - len(well)), 0.99),
    )


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed; infinite where there is none."""
    if not values:
        return math.inf
    # Rounded first, as 0.99 of 100 is a little more than 99 to a computer.
    return sorted(values)[max(1, math.ceil(round(share * len(values), 9))) - 1]


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    values = sorted(values)
    return {name: 1e3 * quantile(values, share) for name, share in QUANTILES.items()} if values else {}


def _max_in_flight(calls: Sequence[Call]) -> int:
    """Most calls that were under way at the same moment."""
    # At the same moment an end goes before a start.
    changes = sorted([(call.sent_s, 1) for call in calls] + [(call.ended_s, -1) for call in calls])
    now = most = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most

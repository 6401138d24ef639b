"""What lanes do, counted. A step takes less than a millisecond, so counting it must take next to nothing: numbers are
kept in plain lists under one lock for each bundle, and become metrics when they are scraped.
"""

import threading
from collections.abc import Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from dragoman.server.core.ports import LaneObserver
from dragoman.server.telemetry.histograms import Tally
from dragoman.server.telemetry.liveness import Fault

# fmt: off
STEP_BUCKETS_S = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.5)
# fmt: on
SIZE_BUCKETS = tuple(2.0**power for power in range(13))

DROP_REASONS = ("cancelled", "deadline")
FAILED_ROUND = "round"
FAILURES = (FAILED_ROUND, *(fault.value for fault in Fault))
"""How lanes fail: a round that was lost, and what ends the process."""


class LaneTally(LaneObserver):
    """What the lanes of one bundle have done so far."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.step_s, self.rows = Tally(STEP_BUCKETS_S), Tally(SIZE_BUCKETS)
        self.encode_s, self.sources = Tally(STEP_BUCKETS_S), Tally(SIZE_BUCKETS)
        self.used_rows = self.tokens = self.padded_tokens = 0
        self.rounds = self.drafted = self.accepted = self.stops_at = 0
        self.dropped = dict.fromkeys(DROP_REASONS, 0)
        self.failures = dict.fromkeys(FAILURES, 0)

    def __repr__(self) -> str:
        return f"<LaneTally {sum(self.step_s.counts)} steps, {sum(self.encode_s.counts)} encoder runs>"

    def on_step(self, rows: int, used_rows: int, seconds: float) -> None:
        """A run of the decoder."""
        with self._lock:
            self.step_s.add(seconds)
            self.rows.add(rows)
            self.used_rows += used_rows

    def on_encode(self, sources: int, tokens: int, padded_tokens: int, seconds: float) -> None:
        """A run of the encoder."""
        with self._lock:
            self.encode_s.add(seconds)
            self.sources.add(sources)
            self.tokens += tokens
            self.padded_tokens += padded_tokens

    def on_drafts(self, sources: int, drafted: int, accepted: int, stops_at: int | None) -> None:
        """A round of speculation."""
        with self._lock:
            self.rounds += sources
            self.drafted += drafted
            self.accepted += accepted
            self.stops_at = stops_at or 0

    def on_drop(self, steps: int, reason: str) -> None:
        """A segment left unfinished."""
        with self._lock:
            self.dropped[reason] += steps

    def on_failed_round(self) -> None:
        """A round failed."""
        self.on_failure(FAILED_ROUND)

    def on_failure(self, reason: str) -> None:
        """A round failed, or a lane was lost."""
        with self._lock:
            self.failures[reason] += 1


HISTOGRAMS = (
    ("step_duration_seconds", "One run of the decoder.", "step_s"),
    ("batch_rows", "Rows of the batch in one run of the decoder.", "rows"),
    ("encode_duration_seconds", "One run of the encoder.", "encode_s"),
    ("encode_sources", "Segments in one run of the encoder.", "sources"),
)
COUNTERS = (
    ("batch_used_rows", "Rows that did useful work, over all runs of the decoder.", "used_rows"),
    ("encode_tokens", "Tokens that the encoder read.", "tokens"),
    ("encode_padded_tokens", "Tokens that the encoder read, with padding.", "padded_tokens"),
    ("speculation_rounds", "Drafts that were verified: one for each source in each round of speculation.", "rounds"),
    ("drafted_tokens", "Tokens that were drafted for verification.", "drafted"),
    (
        "accepted_tokens",
        "Drafted tokens that verification kept; divided by the rounds, their mean for each draft.",
        "accepted",
    ),
)
STOPS_AT = "Fewest sources in a batch at which speculation last did not pay and is left out; 0 while it always did."
COUNTERS_BY_REASON = (
    ("wasted_target_tokens", "Target positions decoded for segments that nobody waited for any more.", "dropped"),
    (
        "lane_failures",
        "Rounds of a lane that failed or had no finite number, and lanes that hung, crashed or failed every round.",
        "failures",
    ),
)


class LaneMetrics(Collector):
    """The tallies of all bundles as metrics."""

    def __init__(self, models: Sequence[str]) -> None:
        self.tallies = {model: LaneTally() for model in models}
        """By model; one more may be added at any time."""

    def collect(self) -> Iterator[Metric]:
        """The numbers of this moment."""
        tallies = tuple(self.tallies.items())  # others may be added meanwhile
        for name, text, part in HISTOGRAMS:
            histogram = HistogramMetricFamily(f"dragoman_{name}", text, labels=("model",))
            for model, tally in tallies:
                observed: Tally = getattr(tally, part)
                histogram.add_metric((model,), observed.buckets(), observed.sum)
            yield histogram
        for name, text, part in COUNTERS:
            counter = CounterMetricFamily(f"dragoman_{name}", text, labels=("model",))
            for model, tally in tallies:
                counter.add_metric((model,), getattr(tally, part))
            yield counter
        stops_at = GaugeMetricFamily("dragoman_speculation_stops_at_sources", STOPS_AT, labels=("model",))
        for model, tally in tallies:
            stops_at.add_metric((model,), tally.stops_at)
        yield stops_at
        for name, text, part in COUNTERS_BY_REASON:
            counter = CounterMetricFamily(f"dragoman_{name}", text, labels=("model", "reason"))
            for model, tally in tallies:
                for reason, number in getattr(tally, part).items():
                    counter.add_metric((model, reason), number)
            yield counter

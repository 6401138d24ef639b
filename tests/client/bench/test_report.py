"""What a load's figures look like in words, in JSON and as a picture."""

import json
import math
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest

from dragoman.client.bench import report
from dragoman.client.bench.figures import QUANTILES, Figures

ARGS = Namespace(
    rate=50.0,
    duration=10.0,
    file=None,
    arrivals="poisson",
    connections=4,
    timeout=10.0,
    warmup=1.0,
    seed=0,
    target_p99=200.0,
)
MEASURED = Figures(
    duration_s=10.0,
    calls=500,
    offered_per_s=50.0,
    answered_per_s=49.5,
    outcomes={"OK": 495, "UNAVAILABLE": 5},
    latency_ms={name: 100 * share for name, share in QUANTILES.items()},
    lateness_ms=dict(QUANTILES),
    stages_ms={name: dict.fromkeys(QUANTILES, 1.0) for name in ("total", "decode")},
    max_in_flight=7,
    warmup_calls=50,
    p99_with_failures_ms=99.0,
)
BROKEN = replace(MEASURED, p99_with_failures_ms=math.inf)


def test_a_load_is_said_in_tables() -> None:
    """Outcomes with their shares, and a row of percentiles for the latency and for each stage but the total."""
    lines = report.load(ARGS, "here:1", MEASURED).splitlines()

    assert lines[0] == "here:1: 50 calls a second for 10 s; short texts, poisson arrivals, 4 connections"
    assert lines[1] == "offered 50.0 a second, answered 49.5 a second, at most 7 in flight"
    assert [line.split() for line in lines if line.startswith(("OK", "UNAVAILABLE"))] == [
        ["OK", "495", "99.00%"],
        ["UNAVAILABLE", "5", "1.00%"],
    ]
    assert [line.split()[0] for line in lines[-3:]] == ["latency", "decode", "left"]
    assert lines[-3].split()[1:] == ["50.0", "90.0", "95.0", "99.0", "99.9", "100.0"]


def test_a_machine_that_sends_late_is_told_of() -> None:
    """Where lateness is more than a tenth of the latency, the figures are its own."""
    late = replace(MEASURED, lateness_ms=dict.fromkeys(QUANTILES, 20.0))

    warning = "this machine sends too slowly: one call in a hundred left 20.0 ms late or more"
    assert report.load(ARGS, "here:1", late).endswith(f"\n{warning}")
    assert report.trial(ARGS, 50.0, late).endswith(f"; {warning}")
    assert "too slowly" not in report.load(ARGS, "here:1", MEASURED)


@pytest.mark.parametrize(("p99_ms", "verdict"), [(200.0, "held"), (200.1, "not held"), (math.inf, "not held")])
def test_a_trial_is_held_where_p99_is_at_most_the_target(p99_ms: float, verdict: str) -> None:
    """Calls that failed count in it."""
    line = report.trial(ARGS, 50.0, replace(MEASURED, p99_with_failures_ms=p99_ms))

    assert line == f"        50 a second: p50 50.0 ms, p99 {p99_ms:,.1f} ms, 5 failed: {verdict}"


def test_a_limit_is_said_with_its_target() -> None:
    """Also that there is none."""
    assert report.limit(ARGS, 123.456) == "holds 123.5 calls a second with p99 under 200 ms"
    assert report.limit(ARGS, None) == "no load was held with p99 under 200 ms"


def test_json_knows_no_infinity() -> None:
    """A p99 that cannot be said is null, in a load and in each step of a search."""
    one = json.loads(report.load_json(ARGS, "here:1", BROKEN))
    found = json.loads(report.limit_json(ARGS, "here:1", [(50.0, MEASURED), (100.0, BROKEN)], 50.0))

    assert (one["server"], one["rate"], one["p99_with_failures_ms"]) == ("here:1", 50.0, None)
    assert [(step["rate_per_s"], step["held"], step["p99_with_failures_ms"]) for step in found["trials"]] == [
        (50.0, True, 99.0),
        (100.0, False, None),
    ]
    assert (found["limit_per_s"], found["target_p99_ms"], found["file"]) == (50.0, 200.0, None)


def test_a_picture_names_the_texts_and_has_a_curve_for_each_percentile() -> None:
    """The file's name, not where it lies."""
    args = Namespace(**{**vars(ARGS), "file": Path("/somewhere/english.txt")})

    picture = report.picture(args, [(50.0, MEASURED), (100.0, BROKEN)], 50.0)

    assert "Latency against load: english.txt, poisson arrivals, 4 connections" in picture
    assert "/somewhere" not in picture
    assert picture.count("<polyline") == len(report.CURVES)

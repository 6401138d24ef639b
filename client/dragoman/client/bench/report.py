"""What `dragoman bench` says: tables for people, JSON for programs, a picture for both."""

import dataclasses
import json
import math
from argparse import Namespace
from collections.abc import Mapping, Sequence

from dragoman.client.bench.figures import QUANTILES, Figures
from dragoman.client.bench.load import OK
from dragoman.client.bench.plot import Point, latency_plot

CURVES = ("p50", "p90", "p99")
LATE_SHARE = 0.1
"""The share of p99 above which lateness makes the figures about this machine."""

Trial = tuple[float, Figures]
"""A load that was tried, in calls a second, and what was measured."""


def load(args: Namespace, server: str, measured: Figures) -> str:
    """The tables of one load."""
    rows: list[tuple[str, Mapping[str, float]]] = [
        ("latency", measured.latency_ms),
        *((f"  {name}", values) for name, values in measured.stages_ms.items() if name != "total"),
        ("left late", measured.lateness_ms),
    ]
    shown = [
        f"{server}: {args.rate:g} calls a second for {args.duration:g} s; {_what(args)}",
        f"offered {measured.offered_per_s:,.1f} a second, answered {measured.answered_per_s:,.1f} a second, "
        f"at most {measured.max_in_flight:,} in flight",
        "",
        *(f"{name:20}{n:8,}{n / measured.calls:10.2%}" for name, n in measured.outcomes.items()),
        "",
        f"{'milliseconds':14}{''.join(f'{name:>10}' for name in QUANTILES)}",
        *(f"{label:14}{''.join(f'{values[name]:10,.1f}' for name in QUANTILES)}" for label, values in rows if values),
    ]
    return "\n".join([*shown, *(f"\n{warning}" for warning in _warnings(measured))])


def load_json(args: Namespace, server: str, measured: Figures) -> str:
    """One load as JSON."""
    return json.dumps(_facts(args, server) | _plain(measured))


def trial(args: Namespace, rate: float, measured: Figures) -> str:
    """A line for each step of a search."""
    p50, p99 = measured.latency_ms.get("p50", math.inf), measured.p99_with_failures_ms
    failed = measured.calls - measured.outcomes.get(OK, 0)
    verdict = "held" if _holds(args, measured) else "not held"
    said = f"{rate:10,.4g} a second: p50 {p50:,.1f} ms, p99 {p99:,.1f} ms, {failed} failed: {verdict}"
    return "; ".join([said, *_warnings(measured)])


def limit(args: Namespace, held: float | None) -> str:
    """The end of a search."""
    if held is None:
        return f"no load was held with p99 under {args.target_p99:g} ms"
    return f"holds {held:,.4g} calls a second with p99 under {args.target_p99:g} ms"


def limit_json(args: Namespace, server: str, trials: Sequence[Trial], held: float | None) -> str:
    """A search as JSON."""
    steps = [{"rate_per_s": rate, "held": _holds(args, measured)} | _plain(measured) for rate, measured in trials]
    end = {"limit_per_s": held, "target_p99_ms": args.target_p99, "trials": steps}
    return json.dumps(_facts(args, server) | end)


def picture(args: Namespace, trials: Sequence[Trial], held: float | None) -> str:
    """A search as SVG. p99 is that of all calls, those that failed included."""
    points = []
    for rate, measured in trials:
        curves = {name: measured.latency_ms.get(name, math.inf) for name in CURVES[:-1]}
        curves[CURVES[-1]] = measured.p99_with_failures_ms
        points.append(Point(rate, curves, held=_holds(args, measured)))
    return latency_plot(points, args.target_p99, held, f"Latency against load: {_what(args)}")


def _holds(args: Namespace, measured: Figures) -> bool:
    return bool(measured.p99_with_failures_ms <= args.target_p99)


def _facts(args: Namespace, server: str) -> dict[str, object]:
    """What was asked for."""
    names = ("arrivals", "rate", "connections", "timeout", "warmup", "seed")
    asked = {name: getattr(args, name) for name in names}
    return {"server": server, "file": str(args.file) if args.file else None} | asked


def _plain(measured: Figures) -> dict[str, object]:
    """The figures as JSON can say them, which knows no infinity."""
    facts = dataclasses.asdict(measured)
    if math.isinf(measured.p99_with_failures_ms):
        facts["p99_with_failures_ms"] = None
    return facts


def _what(args: Namespace) -> str:
    texts = args.file.name if args.file else "short texts"
    return f"{texts}, {args.arrivals} arrivals, {args.connections} connections"


def _warnings(measured: Figures) -> list[str]:
    """What a reader must know before relying on the figures."""
    late_ms, p99_ms = measured.lateness_ms.get("p99", 0.0), measured.latency_ms.get("p99", math.inf)
    if late_ms <= LATE_SHARE * p99_ms:
        return []
    return [f"this machine sends too slowly: one call in a hundred left {late_ms:.1f} ms late or more"]

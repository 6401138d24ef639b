"""`dragoman top`: what a server does, live, for those who have no Grafana at hand."""

import argparse
import http.client
import json
import os
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from typing import Any

from dragoman.cli.arguments import count, positive
from dragoman.client.commands.exposition import Change, Exposition

DESCRIPTION = """\
Show what a server does: requests and how they end, latency and where it goes, lanes and batches of each model.

Figures are of the time between two looks at the server's /metrics. Ctrl-C ends it.
"""
DEFAULT_METRICS = "127.0.0.1:9464"
TIMEOUT_S = 5.0
CLEAR = "\x1b[H\x1b[2J"
STAGES = ("tokenize", "queue", "encode", "decode", "detokenize", "other")
DURATION, STAGE = "dragoman_request_duration_seconds", "dragoman_request_stage_duration_seconds"
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


def register(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.description = DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--metrics",
        metavar="HOST:PORT",
        help=f"the server's --metrics-listen (default: the variable DRAGOMAN_METRICS, or else {DEFAULT_METRICS})",
    )
    parser.add_argument(
        "--interval", type=positive, default=2.0, metavar="S", help="seconds between looks (default: 2)"
    )
    parser.add_argument("--frames", type=count, metavar="N", help="stop after so many (default: go on)")
    parser.add_argument("--json", action="store_true", help="one JSON object a frame")


def run(args: argparse.Namespace) -> int:
    """Show it; the process's exit code."""
    if sys.stdout is None:
        print("dragoman top: the standard output is closed", file=sys.stderr)
        return 2
    address = args.metrics or os.environ.get("DRAGOMAN_METRICS") or DEFAULT_METRICS
    url = f"http://{address}/metrics"
    try:
        for frame in _frames(url, args.interval, args.frames):
            if args.json:
                print(json.dumps(frame), flush=True)
            else:
                print((CLEAR if sys.stdout.isatty() else "") + _text(address, frame), flush=True)
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        print(f"dragoman top: {url} does not answer as a dragoman server does: {reason}", file=sys.stderr)
        return 1
    return 0


def _frames(url: str, interval_s: float, most: int | None) -> Iterator[dict[str, Any]]:
    """The figures of each interval."""
    before, before_s = _scrape(url), time.monotonic()
    number = 0
    while most is None or number < most:
        time.sleep(max(0.0, before_s + interval_s - time.monotonic()))
        after, after_s = _scrape(url), time.monotonic()
        if after.sum("process_start_time_seconds") == before.sum("process_start_time_seconds"):
            yield figures(Change(before, after), after_s - before_s)
            number += 1
        before, before_s = after, after_s  # of a server that was started again nothing can be told yet


def _scrape(url: str) -> Exposition:
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310 - `run` made it, for HTTP
        exposition = Exposition(answer.read().decode("utf-8", "replace"))
    if not exposition.get("dragoman_build_info"):
        raise ValueError("there is no dragoman_build_info among its metrics")
    return exposition


def figures(change: Change, seconds: float) -> dict[str, Any]:
    """What a frame shows; times in seconds, None where there was nothing to measure."""
    now = change.after
    [build] = now.get("dragoman_build_info")
    outcomes = change.by("dragoman_requests_total", "outcome")
    answered = {"answered": "true"}
    return {
        "version": build.labels["version"],
        "state": "draining" if now.sum("dragoman_draining") else "ready" if now.sum("dragoman_ready") else "not ready",
        "up_s": time.time() - now.sum("process_start_time_seconds"),
        "requests_per_s": change.of("dragoman_requests_started_total") / seconds,
        "in_flight": now.sum("dragoman_requests_started_total") - now.sum("dragoman_requests_total"),
        "outcomes_per_s": {name: number / seconds for name, number in outcomes.items() if number},
        "latency_s": {
            **{name: change.quantile(q, DURATION, **answered) for name, q in QUANTILES.items()},
            "mean": change.mean(DURATION, **answered),
        },
        "stages_s": {stage: change.mean(STAGE, stage=stage) for stage in STAGES},
        "cpu_cores": change.of("process_cpu_seconds_total") / seconds,
        "memory_bytes": now.sum("process_resident_memory_bytes"),
        "event_loop_p99_s": change.quantile(0.99, "dragoman_event_loop_lag_seconds"),
        "models": {model: _model(change, seconds, model) for model in now.values("dragoman_model_info", "model")},
    }


def _model(change: Change, seconds: float, model: str) -> dict[str, float | None]:
    def now(name: str) -> float:
        return change.after.sum(f"dragoman_{name}", model=model)

    stalled = [sample.value for sample in change.after.get("dragoman_lane_stalled_seconds", model=model)]
    runs = ("dragoman_step_duration_seconds_sum", "dragoman_encode_duration_seconds_sum")
    busy_s = sum(change.of(name, model=model) for name in runs)
    read = change.ratio("dragoman_encode_tokens_total", "dragoman_encode_padded_tokens_total", model=model)
    return {
        "waiting": now("queue_segments"),
        "running": now("running_segments"),
        "oldest_s": now("queue_oldest_age_seconds"),
        "predicted_wait_s": now("queue_predicted_wait_seconds"),
        "busy": busy_s / seconds / (now("lanes") or 1),
        "rows": change.mean("dragoman_batch_rows", model=model),
        "padding": None if read is None else 1 - read,
        "target_tokens_per_s": change.of("dragoman_target_tokens_total", model=model) / seconds,
        "stalled_s": max(stalled, default=0.0),
    }


COLUMNS = (
    ("MODEL", ""),
    ("WAITING", "waiting"),
    ("RUNNING", "running"),
    ("OLDEST", "oldest_s"),
    ("PREDICTED", "predicted_wait_s"),
    ("BUSY", "busy"),
    ("ROWS", "rows"),
    ("PADDING", "padding"),
    ("TOKENS/S", "target_tokens_per_s"),
    ("STALLED", "stalled_s"),
)
PERCENT = {"busy", "padding"}


def _text(address: str, frame: dict[str, Any]) -> str:
    """A frame for people."""
    outcomes = "  ".join(f"{name} {number:.1f}" for name, number in frame["outcomes_per_s"].items())
    stages = "  ".join(f"{name} {_time(seconds)}" for name, seconds in frame["stages_s"].items())
    latency = "  ".join(f"{name} {_time(seconds)}" for name, seconds in frame["latency_s"].items())
    rows = [tuple(title for title, _ in COLUMNS)]
    for name, model in frame["models"].items():
        rows.append((name, *(_cell(key, model[key]) for _, key in COLUMNS[1:])))
    lines = [
        f"dragoman {frame['version']} at {address}: {frame['state']}, up {_long(frame['up_s'])}",
        "",
        f"requests  {frame['requests_per_s']:.1f} a second, {frame['in_flight']:.0f} in flight",
        f"outcomes  {outcomes or '-'}",
        f"latency   {latency}",
        f"stages    {stages}",
        f"process   cpu {frame['cpu_cores']:.2f} cores  memory {frame['memory_bytes'] / 1e6:,.0f} MB"
        f"  event loop {_time(frame['event_loop_p99_s'])} late (p99)",
        "",
        *_table(rows),
    ]
    return "\n".join([*lines, ""])


def _table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """The first column to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        yield "  ".join([first.ljust(widths[0]), *cells])


def _cell(key: str, value: float | None) -> str:
    if value is None:
        return "-"
    if key in PERCENT:
        return f"{value:.0%}"
    if key == "stalled_s" and value < 1:  # in the middle of a round
        return "-"
    return (
        _time(value)
        if key.endswith("_s") and not key.endswith("per_s")
        else f"{value:,.3g}"
        if value < 100
        else f"{value:,.0f}"
    )


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.{0 if seconds >= 0.01 else 1}f} ms"


def _long(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"

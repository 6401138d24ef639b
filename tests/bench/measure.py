"""What the comparisons share: paired rounds, processes bound to processors, and how results are shown."""

import json
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
"""Processor time says the same of a process that has one processor to itself, and can be trusted on a busy machine."""


def timed(work: Callable[[], object], clock: str = "wall") -> float:
    """Seconds that it takes."""
    now_s = CLOCKS[clock]
    started_s = now_s()
    work()
    return now_s() - started_s


def alternate(rounds: int, ours: Callable[[], float], theirs: Callable[[], float]) -> list[tuple[float, float]]:
    """Both in turn, after one uncounted turn each; who goes first alternates."""
    ours(), theirs()
    pairs = []
    for n in range(rounds):
        if n % 2:
            b = theirs()
            pairs.append((ours(), b))
        else:
            a = ours()
            pairs.append((a, theirs()))
    return pairs


def geometric_mean(values: Iterable[float]) -> float:
    """Of positive numbers."""
    logs = [math.log(value) for value in values]
    return math.exp(sum(logs) / len(logs))


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of them does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def in_own_process(
    script: str, arguments: Sequence[str], processors: Sequence[int], environment: dict[str, str] | None = None
) -> Any:
    """Run a script's phase in a fresh process that is bound to these processors; it prints JSON."""
    bind = lambda: os.sched_setaffinity(0, processors)  # noqa: E731
    threads = {"OMP_NUM_THREADS": str(len(processors))}
    done = subprocess.run(
        [sys.executable, script, *arguments],
        stdout=subprocess.PIPE,
        check=True,
        preexec_fn=bind,
        env={**os.environ, **threads, **(environment or {})},
    )
    return json.loads(done.stdout)


def usable(count: int) -> list[int]:
    """The first so many processors that this process may use; refuses where there are fewer."""
    processors = sorted(os.sched_getaffinity(0))
    if len(processors) < count:
        raise SystemExit(f"{count} processors are needed, and this process may use {len(processors)}")
    return processors[:count]


def processor() -> str:
    """What the figures were measured on."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def progress(text: str) -> None:
    """Say on a terminal what is being measured; say nothing in a pipe."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def verdict(value: float, bar: float, *, most: bool = False) -> str:
    """The bar, and whether it is reached."""
    reached = value <= bar if most else value >= bar
    return f"{'<=' if most else '>='} {bar:g} {'reached' if reached else 'MISSED'}"


__all__ = [
    "CLOCKS",
    "alternate",
    "geometric_mean",
    "in_own_process",
    "median",
    "percentile",
    "processor",
    "progress",
    "timed",
    "usable",
    "verdict",
]

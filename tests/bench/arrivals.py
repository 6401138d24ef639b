"""Requests that arrive one by one: continuous batching beside the best static batcher for CTranslate2.

Single sentences of 5 to 80 tokens arrive at random (Poisson) on two processors. First CTranslate2's saturation
throughput for this mix is measured, everything offered at once and its workers, threads and batch size chosen for it;
then both engines get the same arrivals at 70 % of that rate, in turn. The load is open: a request is sent at its time,
however far behind the engine is, and its latency counts from that time.

In front of CTranslate2 stands a static batcher. Whenever one of its workers is free, it takes the oldest request that
waits and those nearest to it in length, up to a batch; with a window, it waits that long for the batch to fill. Batch
size and window are chosen by trying all combinations on arrivals of their own at the same rate; the one with the lowest
product of p50 and p99 is used. dragoman runs as its server does, with nothing tuned to the load.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any, Protocol

import against_ctranslate2 as saturated
import floor
import numpy as np
import random_model
from engines import CACHE, FORMS, MAX_BATCH, CTranslate2, Dragoman, bundle_of, ctranslate2_of
from measure import in_own_process, median, percentile, processor, progress, usable, verdict

MODEL = random_model.BIG
SHORTEST, LONGEST = 5, 80
LOAD = 0.7
LATENCY_BAR, SATURATION_BAR = 0.6, 1.8
BATCHES, WINDOWS_S = [4, 8, 16, 32], [0.0, 0.01]


@dataclass(frozen=True)
class Arrivals:
    """What is sent when."""

    times_s: list[float]
    sources: list[tuple[int, ...]]

    @classmethod
    def poisson(cls, rate: float, duration_s: float, seed: int) -> Arrivals:
        """So many requests a second, for about so long."""
        rng = np.random.default_rng(seed)
        times = np.cumsum(rng.exponential(1 / rate, max(20, round(rate * duration_s)))).tolist()
        lengths = rng.integers(SHORTEST, LONGEST + 1, len(times)).tolist()
        return cls(times, random_model.texts(MODEL, lengths, seed))


class Server(Protocol):
    """What requests are sent to."""

    def send(self, source: tuple[int, ...], done: Callable[[], None]) -> None:
        """Have it translated; returns at once, and `done` is called when it is."""

    def close(self) -> None:
        """Finish and stop."""


class Continuous:
    """dragoman's lanes."""

    def __init__(self, bundle: Path, beam: int, max_batch: int) -> None:
        self.engine, self.beam = Dragoman(bundle, lanes=2, max_batch=max_batch), beam

    def send(self, source: tuple[int, ...], done: Callable[[], None]) -> None:
        """See `Server`."""

        def answered(answer: object) -> None:
            if isinstance(answer, Exception):
                raise answer
            done()

        # Each is a request of its own.
        self.engine.lanes.submit(self.engine.segment(source, self.beam), answered, flow=object())

    def close(self) -> None:
        """See `Server`."""
        self.engine.close()


class Batcher:
    """A static batcher: a thread for each of CTranslate2's workers, which sends it one batch after the other."""

    def __init__(self, engine: CTranslate2, beam: int, workers: int, batch: int, window_s: float) -> None:
        self.engine, self.beam, self.batch, self.window_s = engine, beam, batch, window_s
        self.waiting: list[tuple[float, list[str], Callable[[], None]]] = []
        self.changed, self.is_closed = threading.Condition(), False
        self.threads = [threading.Thread(target=self.run) for _ in range(workers)]
        for thread in self.threads:
            thread.start()

    def send(self, source: tuple[int, ...], done: Callable[[], None]) -> None:
        """See `Server`."""
        [tokens] = self.engine.tokens([source])
        with self.changed:
            self.waiting.append((time.perf_counter(), tokens, done))
            self.changed.notify()

    def run(self) -> None:
        """One worker's batches."""
        while taken := self.take():
            self.engine.run([tokens for _, tokens, _ in taken], self.beam)
            for _, _, done in taken:
                done()

    def take(self) -> list[tuple[float, list[str], Callable[[], None]]]:
        """The oldest and its like; nothing once all is done and no more will come."""
        with self.changed:
            while True:
                if len(self.waiting) >= self.batch:
                    break
                left_s = self.waiting[0][0] + self.window_s - time.perf_counter() if self.waiting else None
                if self.is_closed or (left_s is not None and left_s <= 0):
                    break
                self.changed.wait(left_s)
            if not self.waiting:
                return []
            oldest = len(self.waiting[0][1])
            alike = sorted(range(len(self.waiting)), key=lambda n: (n > 0, abs(len(self.waiting[n][1]) - oldest)))
            chosen = set(alike[: self.batch])
            taken = [self.waiting[n] for n in sorted(chosen)]
            self.waiting = [one for n, one in enumerate(self.waiting) if n not in chosen]
            return taken

    def close(self) -> None:
        """See `Server`."""
        with self.changed:
            self.is_closed = True
            self.changed.notify_all()
        for thread in self.threads:
            thread.join()


def latencies(server: Server, arrivals: Arrivals) -> list[float]:
    """Seconds from each request's time to its answer."""
    took = [0.0] * len(arrivals.times_s)
    answered = threading.Semaphore(0)
    started_s = time.perf_counter()
    for n, (at_s, source) in enumerate(zip(arrivals.times_s, arrivals.sources, strict=True)):
        if (early_s := started_s + at_s - time.perf_counter()) > 0:
            time.sleep(early_s)

        def done(n: int = n, due_s: float = started_s + at_s) -> None:
            took[n] = time.perf_counter() - due_s
            answered.release()

        server.send(source, done)
    for _ in took:
        answered.acquire()
    return took


def tuned(engine: CTranslate2, args: argparse.Namespace) -> tuple[int, float, list[dict[str, float]]]:
    """The batcher's batch size and window, and how all that were tried did."""
    tried = []
    arrivals = Arrivals.poisson(args.rate, args.duration / 2, seed=99)
    for batch, window_s in product(BATCHES, WINDOWS_S):
        progress(f"static batcher: batches of {batch}, window {1e3 * window_s:.0f} ms")
        batcher = Batcher(engine, args.beam, args.workers, batch, window_s)
        took = latencies(batcher, arrivals)
        batcher.close()
        tried.append(
            {"batch": batch, "window_s": window_s, "p50": percentile(took, 0.5), "p99": percentile(took, 0.99)}
        )
    best = min(tried, key=lambda one: one["p50"] * one["p99"])
    return int(best["batch"]), best["window_s"], tried


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Both under the same arrivals, in turn."""
    directory = ctranslate2_of(MODEL, args.cache)
    engine = CTranslate2(MODEL, directory, args.precision, workers=args.workers, threads=args.threads)
    batch, window_s, tried = tuned(engine, args)
    ours = Continuous(args.bundle or bundle_of(MODEL, args.precision, args.cache), args.beam, args.max_batch)
    theirs = Batcher(engine, args.beam, args.workers, batch, window_s)
    runs = []
    for n in range(args.runs + 1):
        arrivals = Arrivals.poisson(args.rate, args.duration if n else 5.0, seed=n)
        progress(f"run {n} of {args.runs}: {len(arrivals.times_s)} requests, {args.rate:.1f} a second")
        pair = {}
        for name, server in sorted({"dragoman": ours, "batcher": theirs}.items(), reverse=bool(n % 2)):
            took = latencies(server, arrivals)  # type: ignore[arg-type]
            pair[name] = {"p50": percentile(took, 0.5), "p99": percentile(took, 0.99), "mean": fmean(took)}
        if n:  # the first run warms both up
            runs.append(pair)
    ours.close()
    theirs.close()
    return {"runs": runs, "batch": batch, "window_s": window_s, "tried": tried}


def saturate(args: argparse.Namespace) -> dict[str, Any]:
    """Saturation of both for the same mix of lengths."""
    given = ["--phase", "saturation", "--phase-precision", args.precision, "--beam", args.beam, "--rounds", args.rounds]
    given += ["--cache", args.cache, "--max-batch", args.max_batch, *(["--bundle", args.bundle] if args.bundle else [])]
    found: dict[str, Any] = in_own_process(saturated.__file__, list(map(str, given)), usable(2))
    return found


def main() -> int:
    """Saturation first, then the arrivals, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", choices=FORMS, default="int8")
    parser.add_argument("--beam", type=int, default=1)
    parser.add_argument(
        "--load", type=float, default=LOAD, help="share of CTranslate2's saturation (default: %(default)s)"
    )
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument(
        "--duration", type=float, default=40.0, help="seconds of arrivals in a run (default: %(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="of measuring saturation (default: %(default)s)")
    parser.add_argument(
        "--max-batch", type=int, default=MAX_BATCH, help="sources a lane (default: the server's, %(default)s)"
    )
    parser.add_argument("--bundle", type=Path, help="measure this bundle of the model instead of exporting it")
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--json", type=Path, metavar="FILE")
    for name, kind in (("rate", float), ("workers", int), ("threads", int)):
        parser.add_argument(f"--{name}", type=kind, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.rate:
        print(json.dumps(measure(args)))
        return 0
    args.bundle = args.bundle or bundle_of(MODEL, args.precision, args.cache)
    ctranslate2_of(MODEL, args.cache)
    saturation = saturate(args)
    rate = args.load * saturation["other"] / ((SHORTEST + LONGEST) / 2)
    best = saturation["best"]
    given = [*sys.argv[1:], "--rate", str(rate), "--workers", str(best["workers"]), "--threads", str(best["threads"])]
    given += ["--bundle", str(args.bundle)]
    lowest = floor.beside()
    report = {"processor": processor(), "floor": vars(lowest), "rate": rate, "saturation": saturation}
    report |= in_own_process(__file__, given, usable(2))
    progress("")
    print(lowest.line())
    show(report, args)
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def show(report: dict[str, Any], args: argparse.Namespace) -> None:
    """The table."""
    saturation = report["saturation"]
    print(f"{args.precision}, beam {args.beam}, {SHORTEST} to {LONGEST} tokens, two processors, {report['processor']}")
    print("CTranslate2: {workers} workers x {threads} threads; ".format(**saturation["best"]), end="")
    print(f"its batcher: up to {report['batch']}, window {1e3 * report['window_s']:.0f} ms")
    print(f"{'':34}{'dragoman':>10}{'batcher':>10}{'ratio':>8}   bar")
    line = "{:34}{:10.0f}{:10.0f}{:8.2f}   {}"
    bar = verdict(saturation["ratio"], SATURATION_BAR)
    speeds = saturation["dragoman"], saturation["other"], saturation["ratio"]
    print(line.format("saturation, tokens a second", *speeds, bar))
    for share in ("p50", "p99"):
        ours, theirs = ([1e3 * run[name][share] for run in report["runs"]] for name in ("dragoman", "batcher"))
        ratio = median(a / b for a, b in zip(ours, theirs, strict=True))
        what = f"{share} at {report['rate']:.1f} requests a second, ms"
        print(line.format(what, median(ours), median(theirs), ratio, verdict(ratio, LATENCY_BAR, most=True)))


if __name__ == "__main__":
    sys.exit(main())

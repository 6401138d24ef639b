"""Minutes of mixed load with cancellations: memory must not grow, and every answer must be the right one.

Sentences and paragraphs of 1 to about 200 tokens, of several beam sizes, are offered to two lanes in waves of changing
height; a third is cancelled at random moments. Every answer is compared with what the same segment became when it was
decoded alone, before the soak. Memory is what the process holds resident.
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from engines import MAX_BATCH
from load import Answer, Load, Offer, alone, differs
from measure import progress
from under_load import DATA, read, segments_of, strangers

from dragoman.bundle.reader import open_bundle
from dragoman.server.core.ports import LaneObserver
from dragoman.server.core.segments import Segment
from dragoman.server.lanes.opening import open_lanes

SAMPLE_S, SHOWN_S = 1.0, 30.0
WAVES, WAVE_S = (128, 2, 64, 8, 32), 4.0
GROWTH_BAR, STEPS_BAR = 0.02, 1


def resident() -> int:
    """Bytes of this process that are in memory."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")))


class Soak:
    """The load, its clock and its memory."""

    def __init__(self, segments: list[Segment], expected: list[Answer], duration_s: float, seed: int) -> None:
        self.segments, self.expected, self.duration_s = segments, expected, duration_s
        self.rng = random.Random(seed)
        self.samples: list[tuple[float, int]] = []
        self.answered = self.wrong = 0
        self.started_s = time.monotonic()
        self.shown = 0.0

    def offers(self) -> Iterator[Offer]:
        """Until the time is over."""
        while (now_s := time.monotonic() - self.started_s) < self.duration_s:
            self.sample(now_s)
            n = self.rng.randrange(len(self.segments))
            yield Offer(self.segments[n], n, is_doomed=self.rng.random() < 1 / 3)

    def most_open(self) -> int:
        """Some seconds at one height, then the next: every minute sees all of them."""
        return WAVES[int((time.monotonic() - self.started_s) / WAVE_S) % len(WAVES)]

    def take(self, key: int, answer: Answer) -> None:
        """An answer."""
        self.answered += 1
        self.wrong += differs(self.expected[key], answer)

    def sample(self, now_s: float) -> None:
        """Note the memory, once a second, and show it, twice a minute."""
        if self.samples and now_s < self.samples[-1][0] + SAMPLE_S:
            return
        self.samples.append((now_s, resident()))
        if now_s >= self.shown:
            self.shown += SHOWN_S
            print(f"{now_s:6.0f} s  {self.samples[-1][1] / 2**20:8.1f} MiB  {self.answered} answered", flush=True)

    def mean(self, start_s: float, end_s: float) -> float:
        """Resident bytes between two moments."""
        return fmean(size for at_s, size in self.samples if start_s <= at_s < end_s)


def main() -> int:
    """Soak, and say whether the bars are reached; 1 where one is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True, help="the en-pt bundle")
    parser.add_argument(
        "--file", type=Path, default=DATA, help="one sentence a line, may be .gz (default: %(default)s)"
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="at least 4 (default: %(default)s)")
    parser.add_argument("--texts", type=int, default=600, help="different texts (default: %(default)s)")
    parser.add_argument("--lanes", type=int, default=2)
    parser.add_argument("--max-batch", type=int, default=MAX_BATCH)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    if args.minutes < 4:
        parser.error(f"--minutes {args.minutes:g}: the last minute is compared with the third; at least 4 are needed")
    bundle, rng = open_bundle(args.bundle), random.Random(args.seed)
    plain = segments_of(bundle, read(args.file, args.texts), 1)
    others = strangers(plain, rng)
    segments = [next(others) for _ in range(args.texts)]
    if bundle.manifest.shortlist is not None:  # half of them over the shortlist, as a batch of its own
        segments[::2] = [replace(s, decoding=replace(s.decoding, shortlist=True)) for s in segments[::2]]
    lanes = open_lanes(
        bundle, num_lanes=args.lanes, threads_per_lane=1, max_batch=args.max_batch, observer=LaneObserver()
    )
    expected = []
    for n, segment in enumerate(segments):
        progress(f"alone: {n} of {len(segments)}")
        expected.append(alone(lanes, segment))
    progress("")
    soak = Soak(segments, expected, 60 * args.minutes, args.seed)
    outcome = Load(lanes, soak.take, args.seed).run(soak.offers(), soak.most_open)
    lanes.close()
    third, last = soak.mean(120, 180), soak.mean(soak.duration_s - 60, soak.duration_s)
    report = {
        "minutes": args.minutes,
        "answered": outcome.answered,
        "cancelled": outcome.cancelled,
        "cancelled_in_lanes": outcome.cancelled_in_lanes,
        "wrong": soak.wrong,
        "most_steps_after_cancellation": outcome.most_steps_after,
        "third_minute_bytes": third,
        "last_minute_bytes": last,
        "growth": last / third - 1,
        "samples": soak.samples,
    }
    print(
        f"memory: third minute {third / 2**20:.1f} MiB, last {last / 2**20:.1f} MiB: {report['growth']:+.1%} "
        f"(bar {GROWTH_BAR:.0%})\n{outcome.cancelled} cancelled, {outcome.cancelled_in_lanes} of them in lanes; "
        f"steps run after a cancellation: "
        f"{outcome.most_steps_after} at most (bar {STEPS_BAR})\n"
        f"{soak.wrong} of {outcome.answered} answers differ from those computed alone"
    )
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    missed = abs(last / third - 1) > GROWTH_BAR or outcome.most_steps_after > STEPS_BAR or soak.wrong
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())

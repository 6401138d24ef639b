"""What is around the engine: the server beside a bare lane, for callers of one sentence each.

The server has one lane and is bound to one processor; its callers are on another one. A bare lane, bound to the first
one too, is kept as full as so many callers keep it, with the same segments: no socket, no event loop, no text. Both
translate the same lines, in rounds that alternate, each in a process of its own.

  callers     words a second with so many callers at a time, beside the bare lane's
  parts       processor time of a request by thread: the lane's, the event loop's, and those of gRPC
  alone       one caller at a time: how much longer a call takes than the engine says that it took
"""

import argparse
import asyncio
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import floor
import grpc
from callers import request
from measure import median, processor, progress, usable, verdict
from serving import ServerProcess, serving

from dragoman.v1 import translation_pb2 as pb
from dragoman.v1.translation_pb2_grpc import TranslationServiceStub

DATA = Path(__file__).parents[3] / "shared" / "data" / "en-pt" / "dev.en"
SHARE_BAR, AHEAD_BAR_MS = 0.85, 1.5
TICKS = os.sysconf("SC_CLK_TCK")


def bare(bundle: Path, lines: Sequence[str], callers: int, pipe: Any) -> None:
    """A lane alone: seconds that all lines take, as often as it is asked."""
    from dragoman.server.app.translator import LocalTranslator
    from dragoman.server.core.requests import Request, Splitting

    with LocalTranslator(bundle, threads=1) as translator:
        lanes, seen = translator.pipeline.lanes, []
        submit = lanes.submit
        lanes.submit = lambda segment, done, flow=None: (seen.append(segment), submit(segment, done, flow))[1]
        translator.outcomes(Request(tuple(lines), splitting=Splitting.NONE))
        segments = [*seen]
        lanes.submit = submit
        while pipe.recv():
            pipe.send(_kept_full(lanes, segments, callers))


def _kept_full(lanes: Any, segments: Sequence[Any], callers: int) -> float:
    """Seconds of so many segments at a time: each answer is followed by the next one."""
    following, left, ended = iter(segments), [len(segments)], threading.Event()

    def done(_: object) -> None:
        left[0] -= 1
        if not left[0]:
            ended.set()
        for segment in following:
            lanes.submit(segment, done)
            break

    started_s = time.perf_counter()
    for _, segment in zip(range(callers), following, strict=False):
        lanes.submit(segment, done)
    ended.wait()
    return time.perf_counter() - started_s


async def called(address: str, lines: Sequence[str], callers: int) -> tuple[float, list[float]]:
    """Seconds of all lines by so many callers, and how much longer than the engine took each call was, in ms."""
    following, extra = iter(lines), list[float]()

    async def caller(stub: TranslationServiceStub) -> None:
        for line in following:
            started_s = time.perf_counter()
            answer = await stub.Translate(request(line, splitting=pb.SPLITTING_NONE))
            took_s = time.perf_counter() - started_s
            times = answer.timings
            engine_ms = sum(part.ToMicroseconds() / 1e3 for part in (times.queue, times.encode, times.decode))
            extra.append(1e3 * took_s - engine_ms)

    async with grpc.aio.insecure_channel(address) as channel:
        stub = TranslationServiceStub(channel)
        started_s = time.perf_counter()
        await asyncio.gather(*(caller(stub) for _ in range(callers)))
        return time.perf_counter() - started_s, extra


def threads_s(pid: int) -> dict[str, float]:
    """Seconds of processor time of a process's threads so far: the event loop's, the lane's (the busiest other one of
    Python's), and all others together.
    """
    ticks = dict[str, int]()
    for task in Path(f"/proc/{pid}/task").iterdir():
        fields = (task / "stat").read_text("ascii", "replace").rpartition(")")[2].split()
        ticks[task.name] = int(fields[11]) + int(fields[12])
    loop = ticks.pop(str(pid))
    lane = max(ticks.values())
    return {"lane": lane / TICKS, "event loop": loop / TICKS, "others": (sum(ticks.values()) - lane) / TICKS}


class Bare:
    """The process of the bare lane."""

    def __init__(self, bundle: Path, lines: Sequence[str], callers: int, processor: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_bound, args=(processor, bundle, lines, callers, other), daemon=True)
        self._process.start()

    def seconds(self) -> float:
        """How long all lines take."""
        self._pipe.send(True)
        return float(self._pipe.recv())


def _bound(processor: int, *arguments: Any) -> None:
    os.sched_setaffinity(0, {processor})
    bare(*arguments)


def measured(
    server: ServerProcess, lane: Bare, lines: Sequence[str], callers: int, rounds: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Throughput of both in words a second, and microseconds of the server's processor time a call, by thread."""
    words, pairs, used = sum(len(line.split()) for line in lines), list[tuple[float, float]](), list[dict[str, float]]()
    for number in range(rounds + 1):
        before = threads_s(server.pid)
        served_s, _ = asyncio.run(called(server.address, lines, callers))
        after = threads_s(server.pid)
        if number:  # the first one makes both warm
            pairs.append((served_s, lane.seconds()))
            used.append({name: 1e6 * (after[name] - before[name]) / len(lines) for name in after})
        else:
            lane.seconds()
    speeds = {
        "server": words / median(served for served, _ in pairs),
        "lane": words / median(alone for _, alone in pairs),
        "share": median(alone / served for served, alone in pairs),
    }
    return speeds, {name: median(each[name] for each in used) for name in used[0]}


def main() -> int:
    """Measure, print, and say whether the bars are reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--file", type=Path, default=DATA, help="one text a line (default: %(default)s)")
    parser.add_argument("--lines", type=int, default=400)
    parser.add_argument("--callers", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    lines = args.file.read_text(encoding="utf-8").splitlines()[: args.lines]
    first, second = usable(2)
    lowest = floor.beside()
    os.sched_setaffinity(0, {second})
    lane = Bare(args.bundle, lines, args.callers, first)
    with serving(args.bundle, options=("--lanes", "1"), processors=(first,)) as server:
        progress(f"{args.callers} callers")
        speeds, parts = measured(server, lane, lines, args.callers, args.rounds)
        progress("one caller")
        _, extra = asyncio.run(called(server.address, lines, 1))
    print(f"{len(lines)} lines, {args.rounds} rounds, {processor()}\n{lowest.line()}\n")
    bar = verdict(speeds["share"], SHARE_BAR)
    print(f"{args.callers} callers: server {speeds['server']:.0f} words/s, bare lane {speeds['lane']:.0f}, ", end="")
    print(f"share {speeds['share']:.2f}   {bar}")
    print(f"processor time a call: {', '.join(f'{name} {us:.0f} us' for name, us in parts.items())}")
    ahead = median(extra)
    print(f"one caller: {ahead:.2f} ms above the engine's own time   {verdict(ahead, AHEAD_BAR_MS, most=True)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

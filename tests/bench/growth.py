"""What a request costs as it has more texts, and as the server has more models and more connections.

The server has one lane for each model and is bound to one processor, its callers are on another one. Costs are in
microseconds of the server's processor time: the lanes', and all that is beside them (the event loop, gRPC, the log).

  texts         a request of so many texts of one sentence: what is beside the lanes should be a straight line, so much
                for a request and so much for each text
  models        a request of one text while so many models are served, which are copies of one
  connections   the same while so many connections are open; 32 callers take turns with them
"""

import argparse
import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
from callers import request
from measure import median, processor, progress, usable
from service import DATA, threads_s
from serving import ServerProcess, serving

from dragoman.v1 import translation_pb2 as pb
from dragoman.v1.translation_pb2_grpc import TranslationServiceStub

TEXTS, MODELS, CONNECTIONS = (1, 2, 4, 8, 16, 32, 64), (1, 2, 4), (1, 32, 256)
CALLERS = 32
Costs = tuple[float, float]
"""Microseconds of a request: the lane's, and all that is beside it."""


def copies(bundle: Path, number: int, folder: Path) -> list[Path]:
    """So many bundles of one, under names of their own; the files are linked, where that can be."""
    made = [folder / f"{bundle.name}-{n}" for n in range(number)]
    for directory in made:
        shutil.copytree(bundle, directory, copy_function=_linked)
        path = directory / "manifest.json"
        facts = json.loads(path.read_text("utf-8")) | {"name": directory.name}
        path.unlink()  # else the first one's would change, too
        path.write_text(json.dumps(facts, indent=2) + "\n", "utf-8")
    return made


def _linked(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target


async def called(server: ServerProcess, requests: Sequence[pb.TranslateRequest], connections: int) -> dict[str, float]:
    """Seconds of processor time of the server's threads for all requests, which 32 callers send over so many
    connections that are open before.
    """
    following = iter(enumerate(requests))
    async with AsyncExitStack() as stack:
        options = [("grpc.use_local_subchannel_pool", 1)]
        channels = [
            await stack.enter_async_context(grpc.aio.insecure_channel(server.address, options))
            for _ in range(connections)
        ]
        for channel in channels:
            await channel.channel_ready()
        stubs = list(map(TranslationServiceStub, channels))

        async def caller() -> None:
            for number, each in following:
                await stubs[number % connections].Translate(each)

        before = threads_s(server.pid)
        await asyncio.gather(*(caller() for _ in range(min(CALLERS, len(requests)))))
        after = threads_s(server.pid)
        return {name: after[name] - before[name] for name in after}


def cost_us(server: ServerProcess, requests: Sequence[pb.TranslateRequest], rounds: int, connections: int = 1) -> Costs:
    """The processor time of a request: the lane's, and all that is beside it; medians of rounds behind a first one."""
    found = list[Costs]()
    for _ in range(rounds + 1):
        seconds = asyncio.run(called(server, requests, connections))
        used = {name: 1e6 * each / len(requests) for name, each in seconds.items()}
        found.append((used["lane"], used["event loop"] + used["others"]))
    lanes, beside = zip(*found[1:], strict=True)
    return median(lanes), median(beside)


def line(points: Sequence[tuple[float, float]]) -> tuple[float, float, float]:
    """Where the straight line begins that is closest to points, each by its share, its slope, and how far the farthest
    point is from it, as a share of the point.
    """
    weights = [1 / y**2 for _, y in points]
    total = sum(weights)
    x = sum(w * point[0] for w, point in zip(weights, points, strict=True)) / total
    y = sum(w * point[1] for w, point in zip(weights, points, strict=True)) / total
    spread = sum(w * (point[0] - x) ** 2 for w, point in zip(weights, points, strict=True))
    slope = sum(w * (point[0] - x) * (point[1] - y) for w, point in zip(weights, points, strict=True)) / spread
    start = y - slope * x
    return start, slope, max(abs(start + slope * at - value) / value for at, value in points)


def table(what: str, costs: dict[int, Costs]) -> None:
    """Print what requests cost."""
    print(f"{what:>12} {'lane us':>10} {'beside us':>10}")
    for number, (lane, beside) in costs.items():
        print(f"{number:>12} {lane:>10.0f} {beside:>10.0f}")


def of_texts(lines: Sequence[str], number: int) -> list[pb.TranslateRequest]:
    """All lines in requests of so many."""
    starts = range(0, len(lines) - number + 1, number)
    return [request(*lines[n : n + number], splitting=pb.SPLITTING_NONE) for n in starts]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--file", type=Path, default=DATA, help="one text a line (default: %(default)s)")
    parser.add_argument("--lines", type=int, default=384)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    lines = args.file.read_text(encoding="utf-8").splitlines()[: args.lines]
    first, second = usable(2)
    os.sched_setaffinity(0, {second})
    options = ("--lanes", "1")
    print(f"{len(lines)} lines, {args.rounds} rounds, {processor()}\n")
    with serving(args.bundle, options=options, processors=(first,)) as server:
        costs = dict[int, Costs]()
        for number in TEXTS:
            progress(f"{number} texts")
            costs[number] = cost_us(server, of_texts(lines, number), args.rounds)
        table("texts", costs)
        start, slope, off = line([(number, beside) for number, (_, beside) in costs.items()])
        print(f"beside: {start:.0f} us a request and {slope:.0f} us a text, no point is more than {off:.0%} off\n")
        alone = of_texts(lines, 1)
        connected = dict[int, Costs]()
        for number in CONNECTIONS:
            progress(f"{number} connections")
            connected[number] = cost_us(server, alone, args.rounds, number)
        table("connections", connected)
    served = dict[int, Costs]()
    with tempfile.TemporaryDirectory(dir=args.bundle.parent) as folder:
        bundles = copies(args.bundle, MODELS[-1], Path(folder))
        for message in alone:
            message.model = bundles[0].name
        for number in MODELS:
            progress(f"{number} models")
            with serving(*bundles[:number], options=options, processors=(first,)) as server:
                served[number] = cost_us(server, alone, args.rounds)
    print()
    table("models", served)
    return 0


if __name__ == "__main__":
    sys.exit(main())

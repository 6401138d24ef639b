"""Minutes of mixed load through the wire, with clients that cancel, dawdle, crash and talk nonsense.

A server in a process of its own gets texts of one word to some paragraphs, by every kind of search, in waves of
changing height. A fifth of the calls are cancelled, some have deadlines that cannot be kept; streams are read slowly or
not at all, connections are opened, broken off and reset in the middle of a message. Every answer that is due is
compared with what the same request became when it was asked for alone. Memory, threads and descriptors are what /proc
says of the server. Every few minutes all callers rest until nothing is left to answer, and what the server then holds,
apart from what it works with, must not grow after a warm-up: the slope is fitted to the least of each rest.
"""

import argparse
import asyncio
import json
import math
import random
import socket
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median

import grpc
from callers import request
from measure import progress
from raw_http2 import SERVICE, RawConnection, framed
from serving import ServerProcess, serving
from under_load import DATA, read

from dragoman.v1 import translation_pb2 as pb
from dragoman.v1 import translation_pb2_grpc as pb_grpc

ROOT = Path(__file__).parents[2]
SMALL = ROOT / "models/en-pt"
WAVES, WAVE_S = (24, 2, 12, 1, 6), 5.0
SAMPLE_S, SHOWN_S = 1.0, 30.0
WORK_S, REST_S = 105.0, 15.0
"""All work for so long, and rest for so long behind the last answer."""
FEWEST_MINUTES = 7
"""With three rests at the least."""
MIB, HOUR_S = 2**20, 3600
SLOPE_BAR_MIB, DESCRIPTORS_BAR, THREADS_BAR = 1.0, 8, 4
PATIENCE_S, IMPATIENCE_S = 60, 0.05
"""Deadlines of ordinary calls: only the shorter may pass."""
LATE = (grpc.StatusCode.DEADLINE_EXCEEDED.value[0], grpc.StatusCode.RESOURCE_EXHAUSTED.value[0])
"""What some of the texts of a call may end as, which is OK then."""
RESET = b"\1\0\0\0\0\0\0\0"

DECODING = (
    {"engine": pb.ENGINE_PREFERENCE_GREEDY},
    {"engine": pb.ENGINE_PREFERENCE_GREEDY, "splitting": pb.SPLITTING_NONE},
    {"engine": pb.ENGINE_PREFERENCE_NAT},
    {"engine": pb.ENGINE_PREFERENCE_NAT, "nat": pb.NatOptions(rescore=True)},
    {"decoding": pb.DecodingOptions(beam_size=4), "engine": pb.ENGINE_PREFERENCE_BEAM},
    {"decoding": pb.DecodingOptions(beam_size=6, num_hypotheses=3, length_penalty=0.6, shortlist=False)},
    {"decoding": pb.DecodingOptions(beam_size=4, diversity=pb.Diversity(groups=2, penalty=0.5))},
    {"decoding": pb.DecodingOptions(num_hypotheses=3, sampling=pb.Sampling(top_k=20, seed=7))},
    {"decoding": pb.DecodingOptions(minimum_bayes_risk=pb.MinimumBayesRisk(samples=8, sampling=pb.Sampling(seed=3)))},
    {"decoding": pb.DecodingOptions(no_repeat_ngram_size=2, repetition_penalty=1.2, suppressed_tokens=["▁a"])},
    {"output": pb.OutputOptions(token_scores=True, sentence_spans=True), "engine": pb.ENGINE_PREFERENCE_GREEDY},
    {"priority": pb.PRIORITY_BATCH, "engine": pb.ENGINE_PREFERENCE_BEAM},
)
"""Kinds of search that no deadline turns into another, so that there is one right answer."""


@dataclass
class Sample:
    """What the process held at a moment."""

    at_s: float
    resident: int
    threads: int
    descriptors: int


@dataclass
class Tally:
    """What came of everything."""

    ended: Counter[str] = field(default_factory=Counter)
    unexpected: Counter[str] = field(default_factory=Counter)
    answered: int = 0
    wrong: int = 0
    latencies_s: list[float] = field(default_factory=list)


def texts_of(answer: pb.TranslateResponse) -> list[list[str]]:
    """What is compared: every hypothesis of every text."""
    return [[hypothesis.text for hypothesis in result.hypotheses] or [result.text] for result in answer.results]


def requests_of(lines: Sequence[str], count: int, rng: random.Random) -> list[pb.TranslateRequest]:
    """Requests of one to eight texts, most of a line, some of several."""
    made = []
    for _ in range(count):
        texts = [
            " ".join(rng.choices(lines, k=rng.choice((1, 1, 1, 2, 8)))) for _ in range(rng.choice((1, 1, 1, 2, 8)))
        ]
        if rng.random() < 0.1:
            texts[0] = texts[0].split()[0]
        made.append(request(*texts, **rng.choice(DECODING)))
    return made


class Soak:
    """Everybody who calls, and the notes that are taken."""

    def __init__(self, server: ServerProcess, asked: list[pb.TranslateRequest], duration_s: float, seed: int) -> None:
        self.server, self.asked, self.duration_s = server, asked, duration_s
        self.rng, self.tally = random.Random(seed), Tally()
        self.samples: list[Sample] = []
        self.rests: list[tuple[float, float]] = []
        """When nobody called, from and to."""
        self.expected: list[list[list[str]]] = []
        self._channel = server.channel()
        self._started_s = time.monotonic()
        self._may_call = asyncio.Event()
        self._may_call.set()

    @property
    def now_s(self) -> float:
        """Since the soak began."""
        return time.monotonic() - self._started_s

    async def ask_alone(self) -> None:
        """Each request on its own, before there is any load."""
        stub = pb_grpc.TranslationServiceStub(self._channel)
        for n, message in enumerate(self.asked):
            progress(f"alone: {n} of {len(self.asked)}")
            self.expected.append(texts_of(await stub.Translate(message, timeout=60)))
        progress("")

    async def run(self) -> None:
        """All of them at once until the time is over."""
        self._started_s = time.monotonic()
        others = (
            self._resting,
            self._dawdling,
            self._silent,
            self._crashing,
            self._nonsense,
            self._sampling,
            self._strangers,
        )
        tasks = [asyncio.create_task(self._ordinary(n)) for n in range(max(WAVES))]
        tasks += [asyncio.create_task(other()) for other in others]
        await asyncio.gather(*tasks)
        await self._channel.close()

    async def _until_over(self, act: Callable[[], Awaitable[object]], pause_s: float) -> None:
        while self.now_s < self.duration_s:
            await self._may_call.wait()
            await act()
            await asyncio.sleep(pause_s * self.rng.uniform(0.5, 1.5))

    async def _resting(self) -> None:
        """Times at which nobody begins a call, until the server is idle and has been for a while."""
        while self.now_s + WORK_S + REST_S < self.duration_s:
            await asyncio.sleep(WORK_S)
            self._may_call.clear()
            await left_over(self.server)
            self.rests.append((self.now_s, self.now_s + REST_S))
            await asyncio.sleep(REST_S)
            self._may_call.set()

    async def _ordinary(self, place: int) -> None:
        """A caller that is there while the wave is high enough for it."""

        async def act() -> None:
            if place < WAVES[int(self.now_s / WAVE_S) % len(WAVES)]:
                await self._call(self._channel)

        await self._until_over(act, 0.02)

    async def _strangers(self) -> None:
        """Callers that connect for a single call."""

        async def act() -> None:
            async with self.server.channel() as channel:
                await self._call(channel)

        await self._until_over(act, 0.5)

    async def _call(self, channel: grpc.aio.Channel) -> None:
        n, chance = self.rng.randrange(len(self.asked)), self.rng.random()
        stub, start_s = pb_grpc.TranslationServiceStub(channel), time.monotonic()
        told_off = ["RESOURCE_EXHAUSTED"]  # overload may be said
        is_impatient, leaves = chance > 0.95, chance < 0.2
        call = stub.Translate(self.asked[n], timeout=IMPATIENCE_S if is_impatient else PATIENCE_S)
        # The lowest priority waits for as long as others come: on a machine with other work, that may be for ever.
        if is_impatient or self.asked[n].priority == pb.PRIORITY_BATCH:
            told_off.append("DEADLINE_EXCEEDED")
        if leaves:
            await asyncio.sleep(self.rng.expovariate(10))
            call.cancel()
            told_off.append("CANCELLED")
        try:
            answer = await call
        except grpc.aio.AioRpcError as error:
            self._ends(error.code().name, told_off, error.details())
        except asyncio.CancelledError:
            self._ends("CANCELLED", told_off, "")
        else:
            self._ends("OK", ("OK",), "")
            self.tally.answered += 1
            self._compare(n, answer)
            self.tally.latencies_s.append(time.monotonic() - start_s)

    def _compare(self, n: int, answer: pb.TranslateResponse) -> None:
        """Whether an answer is the one that was given alone; one that is not is shown."""
        late = [result.status.code in LATE for result in answer.results]
        self.tally.ended["OK, some texts late"] += any(late)
        pairs = zip(self.expected[n], texts_of(answer), late, strict=True)
        got = [alone if is_late else mine for alone, mine, is_late in pairs]
        if got == self.expected[n]:
            return
        self.tally.wrong += 1
        asked = pb.TranslateRequest()
        asked.CopyFrom(self.asked[n])
        del asked.texts[:]
        whole = zip(self.asked[n].texts, got, self.expected[n], answer.results, strict=True)
        for text, mine, alone, result in whole:
            if mine != alone:
                print(f"WRONG {asked!s}\n  of    {text.text}\n  is    {mine}\n  alone {alone}\n{result!s}", flush=True)

    def _ends(self, code: str, allowed: Sequence[str], details: str | None) -> None:
        self.tally.ended[code] += 1
        if code not in allowed:
            self.tally.unexpected[f"{code}: {(details or '')[:100]}"] += 1

    async def _dawdling(self) -> None:
        """Streams of many texts that are read with pauses, or left in the middle."""

        async def act() -> None:
            texts = [text.text for message in self.rng.sample(self.asked, 10) for text in message.texts]
            stub = pb_grpc.TranslationServiceStub(self._channel)
            call = stub.TranslateStream(pb.TranslateStreamRequest(request=request(*texts)), timeout=120)
            leaves = self.rng.random() < 0.5
            with suppress(grpc.aio.AioRpcError, asyncio.CancelledError):
                async for _ in call:
                    await asyncio.sleep(0.1)
                    if leaves and self.rng.random() < 0.1:
                        call.cancel()

        await self._until_over(act, 1.0)

    async def _silent(self) -> None:
        """Streams and pipes whose client opens no window, and goes away after some seconds."""

        def talk() -> None:
            stream_request = pb.TranslateStreamRequest(
                request=request(*[text.text for text in self.asked[0].texts] * 20)
            )
            with RawConnection(self.server.address, window=0) as client:
                stream = client.call("TranslateStream")
                client.send(stream, framed(stream_request.SerializeToString()), ends=True)
                client.receive(3.0)

        await self._until_over(lambda: self._threaded(talk), 2.0)

    async def _crashing(self) -> None:
        """Clients that are killed in the middle of a message: the connection is reset."""

        def crash() -> None:
            with RawConnection(self.server.address) as client:
                for _ in range(5):
                    message = framed(self.rng.choice(self.asked).SerializeToString())
                    client.send(client.call("Translate"), message[: self.rng.randrange(1, len(message))])
                    client.send(client.call("Translate"), message, ends=True)
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

        await self._until_over(lambda: self._threaded(crash), 1.0)

    async def _threaded(self, act: Callable[[], None]) -> None:
        with suppress(OSError):
            await asyncio.to_thread(act)

    async def _nonsense(self) -> None:
        """Bytes that do not parse, and options that contradict each other."""

        async def act() -> None:
            for path in ("Translate", "Score", "GetModel"):
                try:
                    await self._channel.unary_unary(SERVICE + path, bytes, bytes)(self.rng.randbytes(40), timeout=30)
                except grpc.aio.AioRpcError as error:
                    self._ends(error.code().name, ("INVALID_ARGUMENT", "UNIMPLEMENTED"), error.details())

        await self._until_over(act, 1.0)

    async def _sampling(self) -> None:
        """What the process holds, once a second; shown twice a minute."""
        shown_s = 0.0
        while self.now_s < self.duration_s:
            server = self.server
            self.samples.append(Sample(self.now_s, server.resident(), server.threads(), server.descriptors()))
            if self.now_s >= shown_s:
                shown_s += SHOWN_S
                last, tally = self.samples[-1], self.tally
                print(
                    f"{last.at_s:6.0f} s  {last.resident / MIB:8.1f} MiB  {last.threads} threads  {last.descriptors} "
                    f"descriptors  {tally.answered} answered, {tally.wrong} wrong  {tally.unexpected or ''}",
                    flush=True,
                )
            await asyncio.sleep(SAMPLE_S)


def slope(samples: Sequence[Sample], rests: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """MiB an hour, and its standard error, fitted to the least memory of each rest."""
    held = {end: [sample.resident for sample in samples if start < sample.at_s <= end] for start, end in rests}
    xs = [at_s / HOUR_S for at_s, sizes in held.items() if sizes]
    ys = [min(sizes) / MIB for sizes in held.values() if sizes]
    mean_x, mean_y = fmean(xs), fmean(ys)
    spread = sum((x - mean_x) ** 2 for x in xs)
    rise = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / spread
    rest = sum((y - mean_y - rise * (x - mean_x)) ** 2 for x, y in zip(xs, ys, strict=True))
    return rise, math.sqrt(rest / max(1, len(xs) - 2) / spread)


async def left_over(server: ServerProcess) -> tuple[float, float]:
    """Tokens that are still held, and requests that have begun and not ended, when nobody calls any more."""
    for _ in range(60):
        held = server.total("dragoman_admitted_tokens")
        open_requests = server.total("dragoman_requests_started_total") - server.total("dragoman_requests_total")
        if held == open_requests == 0:
            break
        await asyncio.sleep(1)
    return held, open_requests


async def soak(args: argparse.Namespace) -> int:
    """Soak, and say whether the bars are reached; 1 where one is missed."""
    rng = random.Random(args.seed)
    lines = [line.strip() for line in read(args.file, 2000) if line.strip()]
    with serving(args.bundle, options=["--stall-seconds", "30"]) as server:
        run = Soak(server, requests_of(lines, args.requests, rng), 60 * args.minutes, args.seed)
        await run.ask_alone()
        await run.run()
        held, open_requests = await left_over(server)
        fate = server.fate()
    warm = [sample for sample in run.samples if sample.at_s >= 60 * args.warm_up]
    rise, error = slope(warm, [rest for rest in run.rests if rest[0] >= 60 * args.warm_up])
    first, tally = warm[: len(warm) // 4], run.tally
    descriptors = median(s.descriptors for s in warm[-len(first) :]) - median(s.descriptors for s in first)
    threads = median(s.threads for s in warm[-len(first) :]) - median(s.threads for s in first)
    print(
        f"memory: {rise:+.1f} MiB an hour, standard error {error:.1f} (bar {SLOPE_BAR_MIB:g} beyond twice the error); "
        f"from the first to the last quarter {threads:+.0f} threads, {descriptors:+.0f} descriptors\n"
        f"{tally.answered} answered, {tally.wrong} wrong, median {1e3 * median(tally.latencies_s):.0f} ms; "
        f"{dict(tally.ended)}\nunexpected: {dict(tally.unexpected) or 'nothing'}; afterwards {held:.0f} tokens held, "
        f"{open_requests:.0f} requests open; {fate}"
    )
    if args.json:
        report = {"slope_mib_per_hour": rise, "standard_error": error, "threads": threads, "descriptors": descriptors}
        report |= {
            "answered": tally.answered,
            "wrong": tally.wrong,
            "ended": tally.ended,
            "unexpected": tally.unexpected,
        }
        report["rests"] = run.rests
        report["samples"] = [vars(sample) for sample in run.samples]
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    grows = rise - 2 * error > SLOPE_BAR_MIB or threads > THREADS_BAR or descriptors > DESCRIPTORS_BAR
    return int(bool(grows or tally.wrong or tally.unexpected or held or open_requests or fate != "alive"))


def main() -> int:
    """Read the command line, and soak."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=SMALL, help="an en-pt bundle (default: %(default)s)")
    parser.add_argument(
        "--file", type=Path, default=DATA, help="one sentence a line, may be .gz (default: %(default)s)"
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="default: %(default)s")
    parser.add_argument("--warm-up", type=float, metavar="MINUTES", help="default: a sixth of --minutes")
    parser.add_argument("--requests", type=int, default=300, help="different requests (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    if args.warm_up is None:
        args.warm_up = args.minutes / 6
    if args.minutes < args.warm_up + FEWEST_MINUTES:
        parser.error(f"--minutes {args.minutes:g}: at least {FEWEST_MINUTES} more than --warm-up are needed")
    return asyncio.run(soak(args))


if __name__ == "__main__":
    sys.exit(main())

"""Five times as many calls as the server takes, by the clock and not by its answers; either side has its own core."""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from callers import RETRIED, Calls, call, one_by_one, request, sentences
from serving import serving

from dragoman.v1 import translation_pb2_grpc as pb_grpc

pytestmark = pytest.mark.asyncio

SMALL = Path(__file__).parents[2] / "models/en-pt"
TIMES, OVERLOAD_S = 5, 60.0
PEAK_S, PEAK_CALLERS = 8.0, 32
DEADLINE_S = 2.0
SHARE = 0.9
CLIENTS_OWN = 1.2
"""What a client on a busy core sees beyond the deadline: its own lateness."""
NORMAL_S = 2.0


@pytest.fixture
def processors() -> Iterator[tuple[int, int]]:
    """One for the server, and one for this process until the test is over."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        pytest.skip("two processors are needed")
    os.sched_setaffinity(0, {usable[1]})
    yield usable[0], usable[1]
    os.sched_setaffinity(0, usable)


def percentile(values: list[float], share: float) -> float:
    """The smallest value that at least this share does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)] if values else math.inf


async def most_a_second(stub: pb_grpc.TranslationServiceStub) -> float:
    """Calls a second that are answered where so many callers each wait for their answer."""
    texts, calls, end_s = sentences(1000), Calls(), time.monotonic() + PEAK_S

    async def caller(n: int) -> None:
        while time.monotonic() < end_s:
            n += PEAK_CALLERS
            message = request(texts[n % 1000])
            await call(calls, lambda m=message: stub.Translate(m, timeout=60))

    await asyncio.gather(*map(caller, range(PEAK_CALLERS)))
    return calls.codes["OK"] / PEAK_S


async def offer(stub: pb_grpc.TranslationServiceStub, rate: float, duration_s: float) -> Calls:
    """Calls at a fixed rate, whatever becomes of them."""
    texts, calls, tasks, start_s, n = sentences(1000), Calls(), set(), time.monotonic(), 0
    while (now_s := time.monotonic() - start_s) < duration_s:
        while n < rate * now_s:
            message = request(texts[n % 1000])
            task = asyncio.create_task(call(calls, lambda m=message: stub.Translate(m, timeout=DEADLINE_S)))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            n += 1
        await asyncio.sleep(0.005)
    await asyncio.gather(*tasks)
    return calls


async def test_five_times_as_much_as_it_takes(fault, processors):
    """Nine tenths of the peak are answered in time, the rest is told when to come again, and then all is as before."""
    row = fault(f"{TIMES} times the load for {OVERLOAD_S:.0f} s")
    with serving(SMALL, processors={processors[0]}) as server:
        # The client is not to repeat by itself what was refused: each call is one that was offered.
        async with server.channel(**{"grpc.enable_retries": 0}) as channel:
            stub = pb_grpc.TranslationServiceStub(channel)
            await one_by_one(channel, 2.0)
            alone = await one_by_one(channel, 2.0)
            peaks = [await most_a_second(stub)]
            before = server.resident(), server.threads(), server.descriptors()
            calls = await offer(stub, TIMES * peaks[0], OVERLOAD_S)
            start_s = time.monotonic()
            normal_s = math.inf
            while time.monotonic() - start_s < 20:
                recent = await one_by_one(channel, 0.0, fewest=5)
                if recent.codes.keys() == {"OK"} and recent.p50_s <= 2 * alone.p50_s:
                    normal_s = time.monotonic() - start_s
                    break
            after = server.resident(), server.threads(), server.descriptors()
            peaks.append(await most_a_second(stub))
    peak = max(peaks)
    goodput = calls.codes["OK"] / OVERLOAD_S
    p99_s = percentile([latency_s for latency_s in calls.latencies_s if latency_s < math.inf], 0.99)
    row.happens = f"{goodput:.0f} of {peak:.0f} a second in time ({goodput / peak:.0%}), p99 {p99_s:.2f} s; {calls}, "
    row.happens += f"{calls.unmeetable} of them at once, {calls.without_retry} without a time to come again; normal "
    row.happens += f"after {normal_s:.1f} s; memory {(after[0] - before[0]) / 2**20:+.0f} MiB, "
    row.happens += f"{after[1] - before[1]:+} threads, {after[2] - before[2]:+} descriptors"
    row.seen, row.lost = "at once", f"{1 - goodput / peak:.0%} of the peak"
    allowed = {"OK", grpc.StatusCode.DEADLINE_EXCEEDED.name, *(code.name for code in RETRIED)}
    assert calls.codes.keys() <= allowed, calls.messages
    assert goodput >= SHARE * peak
    assert p99_s <= CLIENTS_OWN * DEADLINE_S
    assert calls.without_retry == 0
    assert normal_s <= NORMAL_S
    assert after[0] <= 1.2 * before[0]
    assert after[1] <= before[1] + 4
    assert after[2] <= before[2] + 8

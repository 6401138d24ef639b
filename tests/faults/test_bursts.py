"""More calls at once than can be taken, and clients that do not take their answers."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from pathlib import Path
from threading import Thread

import pytest
from callers import Calls, call, one_by_one, request, sentences
from raw_http2 import RawConnection, framed
from serving import serving

from dragoman.v1 import translation_pb2 as pb
from dragoman.v1 import translation_pb2_grpc as pb_grpc

pytestmark = pytest.mark.asyncio

SMALL = Path(__file__).parents[2] / "models/en-pt"
CALLS = 6_000
UNREAD = 8
BOUND_S = 100.0
"""In which what nobody reads must be let go."""


@pytest.mark.parametrize("connections", [1, 6])
async def test_every_call_of_a_burst_is_answered_and_counted(connections, fault):
    """6,000 calls at once: each is OK, or refused with a time to come again, and the metrics have every one."""
    row = fault(f"{CALLS:,} calls at once over {connections} connection{'s'[: connections - 1]}")
    with serving(SMALL) as server:
        before = server.total("grpc_server_handled_total", grpc_method="Translate")
        channels = [server.channel() for _ in range(connections)]
        calls, stubs = Calls(), [pb_grpc.TranslationServiceStub(channel) for channel in channels]
        message = request("Nothing is cut.")
        start_s = time.monotonic()
        await asyncio.gather(
            *(call(calls, lambda n=n: stubs[n % connections].Translate(message, timeout=100)) for n in range(CALLS))
        )
        seconds = time.monotonic() - start_s
        for channel in channels:
            await channel.close()
        await asyncio.sleep(1.0)
        counted = server.total("grpc_server_handled_total", grpc_method="Translate") - before

    row.happens = f"{calls} in {seconds:.0f} s; {counted:.0f} counted; {calls.without_retry} refused without a time"
    row.lost = f"{CALLS - calls.codes['OK'] - calls.codes['RESOURCE_EXHAUSTED'] - calls.codes['UNAVAILABLE']} calls"
    assert calls.codes.keys() <= {"OK", "RESOURCE_EXHAUSTED", "UNAVAILABLE"}, calls.messages.most_common(3)
    assert calls.without_retry == 0
    assert counted == CALLS


async def unread(row, method: str, message: bytes) -> None:
    """Calls that fill the backlog and open no window; others are served, and what the calls hold is given back."""
    with serving(SMALL) as server, ExitStack() as stack:
        clients = [stack.enter_context(RawConnection(server.address, window=0)) for _ in range(UNREAD)]
        async with server.channel() as channel:
            await one_by_one(channel, 1.0)
            for client in clients:
                stream = client.call(method)
                await asyncio.to_thread(client.send, stream, framed(message), ends=method != "TranslatePipe")
                Thread(target=client.live_on, daemon=True).start()
            start_s = time.monotonic()
            first = await one_by_one(channel, 5.0, deadline_s=10.0)
            held = server.total("dragoman_admitted_tokens")
            while held and time.monotonic() - start_s < BOUND_S:
                await asyncio.sleep(1.0)
                held = server.total("dragoman_admitted_tokens")
            given_back_s = time.monotonic() - start_s
            later = await one_by_one(channel, 3.0, deadline_s=10.0)
    row.happens = f"others at first: {first}; later: {later}; {held:.0f} tokens held after {given_back_s:.0f} s"
    row.seen, row.lost = f"{given_back_s:.0f} s", f"{first.codes.total() - first.codes['OK']} of others' calls"
    assert held == 0
    assert first.codes.keys() == {"OK"}
    assert later.codes.keys() == {"OK"}


async def test_streams_that_nobody_reads(fault):
    """Others are served beside streams of 500 texts without a window, and the reservations are given back."""
    row = fault(f"{UNREAD} streams whose client opens no window")
    message = pb.TranslateStreamRequest(request=request(*sentences(500)))
    await unread(row, "TranslateStream", message.SerializeToString())


async def test_pipes_that_nobody_reads(fault):
    """Others are served beside pipes of 500 texts without a window, and the reservations are given back."""
    row = fault(f"{UNREAD} pipes whose client opens no window")
    settings = pb.TranslateRequest(source_language="en", target_language="pt")
    message = pb.TranslatePipeRequest(settings=settings, texts=request(*sentences(500)).texts)
    await unread(row, "TranslatePipe", message.SerializeToString())


async def test_cancelled_calls_leave_nothing(fault):
    """2,000 calls that are cancelled in flight leave no backlog, and as many have ended as were started."""
    row = fault("2,000 calls cancelled in flight")
    with serving(SMALL) as server:
        async with server.channel() as channel:
            stub = pb_grpc.TranslationServiceStub(channel)
            for _ in range(10):
                open_calls = [stub.Translate(request(text), timeout=30) for text in sentences(200)]
                await asyncio.sleep(0.05)
                for open_call in open_calls:
                    open_call.cancel()
                await asyncio.gather(*open_calls, return_exceptions=True)
            start_s, seconds, held, started, ended = time.monotonic(), 0.0, 1.0, 1.0, 0.0
            # Nothing is held, too, while the last ones have not begun.
            while (held or started != ended) and seconds < 10:
                await asyncio.sleep(0.1)
                held = server.total("dragoman_admitted_tokens")
                ended = server.total("dragoman_requests_total")
                started = server.total("dragoman_requests_started_total")
                seconds = time.monotonic() - start_s
            after = await one_by_one(channel, 1.0)
    row.happens = (
        f"{held:.0f} tokens held after {seconds:.1f} s; {started:.0f} started, {ended:.0f} ended; then {after}"
    )
    row.seen = f"{seconds:.1f} s"
    assert held == 0
    assert started == ended
    assert after.codes.keys() == {"OK"}

"""Requests that make no sense, or too much of it: each is answered by a status that says so, and holds nobody up."""

from __future__ import annotations

import asyncio
import gzip
import random
from pathlib import Path

import grpc
import pytest
from callers import SENTENCES, Calls, call, one_by_one, probing, request
from raw_http2 import SERVICE, RawConnection, framed
from serving import ServerProcess, serving

from dragoman.v1 import translation_pb2 as pb
from dragoman.v1 import translation_pb2_grpc as pb_grpc

pytestmark = pytest.mark.asyncio

SMALL = Path(__file__).parents[2] / "models/en-pt"
DEFECTS = {"INTERNAL", "UNKNOWN"}
UNARY = ("Translate", "Score", "ListModels", "GetModel")
METHODS = (*UNARY, "TranslateStream", "TranslatePipe")
HELD_UP_S = 0.1
"""The longest that the event loop may be held up by one request, beyond what the machine holds it up by itself."""
BESIDE_RESETS_S = 0.5

BANNED = {
    "no word twice in 511": pb.DecodingOptions(min_length=511, max_length=512, no_repeat_ngram_size=1),
    "the same, beam 4": pb.DecodingOptions(min_length=511, max_length=512, no_repeat_ngram_size=1, beam_size=4),
    "the same, drawn": pb.DecodingOptions(
        min_length=511, max_length=512, no_repeat_ngram_size=1, sampling=pb.Sampling(seed=1)
    ),
    "the same, from the shortlist": pb.DecodingOptions(
        min_length=511, max_length=512, no_repeat_ngram_size=1, max_length_factor=100, shortlist=True
    ),
    "the same, over all words": pb.DecodingOptions(
        min_length=511, max_length=512, no_repeat_ngram_size=1, max_length_factor=100, shortlist=False
    ),
}


@pytest.mark.parametrize("kind", BANNED)
async def test_options_that_ban_every_word(kind, fault):
    """A client's options never make the server fail: the text ends early, or is refused for its options."""
    row = fault(f"options that ban every word: {kind}")
    with serving(SMALL) as server:
        async with server.channel() as channel:
            stub, calls = pb_grpc.TranslationServiceStub(channel), Calls()
            for text in ("House", SENTENCES[0], "Nothing is cut. " * 20):
                await call(calls, lambda t=text: stub.Translate(request(t, decoding=BANNED[kind]), timeout=60))
        row.happens = f"{calls}: {next(iter(calls.messages), '-')}"
        row.lost = "nothing" if not calls.codes.keys() & DEFECTS else "an operator's sleep"
        assert calls.codes.keys() <= {"OK", "INVALID_ARGUMENT", "FAILED_PRECONDITION"}


@pytest.mark.parametrize("method", METHODS)
async def test_bytes_that_do_not_parse(method, fault):
    """A message that is none is INVALID_ARGUMENT, names nothing of the server's inside, and is counted."""
    row = fault(f"bytes that do not parse: {method}")
    broken = [b"\xff" * 20, b"\x0a\xff\xff\xff\xff\x0f", random.Random(3).randbytes(500), b"\x0a\x02\xc3\x28"]
    with serving(SMALL) as server:
        counted = server.total("grpc_server_handled_total", grpc_method=method, grpc_code="INVALID_ARGUMENT")
        async with server.channel() as channel:
            calls = Calls()
            for data in broken:
                await call(calls, lambda d=data: raw_call(channel, method, d))
        counted = server.total("grpc_server_handled_total", grpc_method=method, grpc_code="INVALID_ARGUMENT") - counted
        row.happens = f"{calls}, {counted:.0f} counted: {next(iter(calls.messages), '-')}"
        assert calls.codes == {"INVALID_ARGUMENT": len(broken)}
        assert counted == len(broken)
        assert not any(word in message for message in calls.messages for word in ("class", "Error", "Exception"))


async def raw_call(channel: grpc.aio.Channel, method: str, data: bytes) -> None:
    """Send these bytes as the message of a call."""
    path, plain = SERVICE + method, bytes
    if method in UNARY:
        await channel.unary_unary(path, plain, plain)(data, timeout=10)
    elif method == "TranslateStream":
        async for _ in channel.unary_stream(path, plain, plain)(data, timeout=10):
            pass
    else:
        piped = channel.stream_stream(path, plain, plain)(iter([data]), timeout=10)
        async for _ in piped:
            pass


@pytest.mark.parametrize("method", METHODS)
async def test_a_call_without_a_message(method, fault):
    """A call whose client ends it without a message is answered, and counted."""
    row = fault(f"half-closed without a message: {method}")
    with serving(SMALL) as server, RawConnection(server.address) as client:
        status = await asyncio.to_thread(client.end_of, client.call(method, ends=True), 5.0)
        counted = server.total("grpc_server_handled_total", grpc_method=method)
        row.happens = f"grpc-status {status}, {counted:.0f} counted"
        row.lost = "nothing" if status else "a stream of the connection, for good"
        assert status is not None
        assert status not in {"2", "13"}
        assert counted == 1


LATE = {
    "65,536 lines in a text": request("a\n" * 65_536),
    "65,536 lines, split at lines": request("a\n" * 65_536, splitting=pb.SPLITTING_LINES),
    "4 MB of prefixes": pb.TranslateRequest(
        texts=[pb.Text(text="House", target_prefix="casa " * 800) for _ in range(1000)],
        source_language="en",
        target_language="pt",
    ),
    "31 prefixes of 128 KB": pb.TranslateRequest(
        texts=[pb.Text(text="House", target_prefix="casa " * 26_000) for _ in range(31)],
        source_language="en",
        target_language="pt",
    ),
    "1,024 texts of 4 KB": request(*[SENTENCES[0] * 80] * 1024),
    "131,072 spaces and marks": request(" ." * 65_536),
    "256 suppressed tokens, 1,000 texts": request(
        *["House"] * 1000, decoding=pb.DecodingOptions(suppressed_tokens=["▁casa"] * 256)
    ),
    "4 MB of one field": pb.TranslateRequest(texts=[pb.Text(text="a")], model="m" * (4 * 2**20 - 100)),
    "4 MB of unknown fields": pb.TranslateRequest.FromString(b"\xfa\x3f\x80\x80\xc0\x01" + bytes(3 * 2**20)),
}


@pytest.mark.parametrize("kind", LATE)
async def test_no_request_holds_up_the_event_loop(kind, fault):
    """While a request is read, cut and refused or taken, another's call that needs no lane is not late."""
    row = fault(f"event loop beside {kind}")
    with serving(SMALL) as server:
        async with server.channel() as loud, server.channel() as quiet:
            stub, calls, worst = pb_grpc.TranslationServiceStub(loud), Calls(), []
            data = LATE[kind].SerializeToString()
            translate = loud.unary_unary(SERVICE + "Translate", bytes, bytes)
            await call(calls, lambda: stub.Translate(request("x"), timeout=10))
            over = asyncio.Event()
            probe = asyncio.create_task(probing(quiet, over))
            await asyncio.sleep(2.0)
            over.set()
            machines_s = max(await probe)
            for _ in range(3):
                over = asyncio.Event()
                probe = asyncio.create_task(probing(quiet, over))
                await asyncio.sleep(0.2)
                await call(calls, lambda: translate(data, timeout=4))
                over.set()
                worst.append(max(await probe))
        late_s = sorted(worst)[1]
        row.happens = (
            f"late by {1e3 * late_s:.0f} ms at most, median of 3, and by {1e3 * machines_s:.0f} alone; {calls}"
        )
        assert late_s <= HELD_UP_S + machines_s
        assert not calls.codes.keys() & DEFECTS, calls.messages


async def test_a_model_name_of_a_megabyte(fault):
    """It is not found, in a message and a log of ordinary length."""
    row = fault("a model name of 1 MB in a request")
    with serving(SMALL, options=["--log-level", "debug"]) as server:
        async with server.channel() as channel:
            stub, calls, name = pb_grpc.TranslationServiceStub(channel), Calls(), "m" * 2**20
            await call(calls, lambda: stub.Translate(request("House", model=name), timeout=10))
            await call(calls, lambda: stub.GetModel(pb.GetModelRequest(name=name), timeout=10))
            await call(calls, lambda: stub.Translate(request("House", request_id="r" * 2**20), timeout=10))
            versioned = request("House", model="en-pt", model_version=name)
            await call(calls, lambda: stub.Translate(versioned, timeout=10))
            after = await one_by_one(channel, 0.5)
        log = server.log()
        row.happens = f"{calls}: {next(iter(calls.messages), '-')[:60]}...; {len(log):,} bytes of log; then {after}"
        assert calls.codes.keys() <= {"NOT_FOUND", "INVALID_ARGUMENT"}
        assert len(log) < 20_000
        assert after.codes.keys() == {"OK"}


async def send(server: ServerProcess, data: bytes, *, headers: tuple[tuple[str, str], ...] = ()) -> str | None:
    """The status of a Translate whose body is these bytes."""
    with RawConnection(server.address) as client:
        stream = client.call("Translate", headers=headers)
        await asyncio.to_thread(client.send, stream, data, ends=True)
        return await asyncio.to_thread(client.end_of, stream, 4.0)


async def test_frames_that_lie(fault):
    """Lengths that lie, flags that mean nothing and bombs end their own call, and nothing else."""
    row = fault("lying lengths, unknown compression, bombs")
    whole = request("House").SerializeToString()
    with serving(SMALL) as server:
        async with server.channel() as channel:
            before = server.resident()
            statuses = [
                await send(server, framed(whole, len(whole) + 9)),
                await send(server, framed(whole, 2**32 - 1)),
                await send(server, framed(whole)[:3]),
                await send(server, framed(whole) * 2),
                await send(server, b"\x01" + framed(whole)[1:]),
                await send(server, b"\x07" + framed(whole)[1:], headers=(("grpc-encoding", "none-such"),)),
                await send(
                    server, b"\x01" + framed(gzip.compress(bytes(2**30), 1))[1:], headers=(("grpc-encoding", "gzip"),)
                ),
            ]
            after = await one_by_one(channel, 1.0)
            grown = server.peak() - before
        row.happens = f"{statuses}; memory {grown / 2**20:+.0f} MiB; then {after}; {server.fate()}"
        row.lost = "nothing" if None not in statuses else "streams of the connection, for good"
        assert server.is_alive()
        assert None not in statuses
        assert grown < 100 * 2**20
        assert after.codes.keys() == {"OK"}


async def test_rapid_reset(fault):
    """20,000 calls that are begun and reset at once hold nothing and nobody."""
    row = fault("20,000 calls begun and reset")
    message = framed(request(SENTENCES[0]).SerializeToString())
    with serving(SMALL) as server:
        async with server.channel() as channel:

            def attack() -> int:
                resets = 0
                for _ in range(20):
                    with RawConnection(server.address) as client:
                        for _ in range(1000):
                            try:
                                stream = client.call("Translate")
                                client.send(stream, message, ends=True, timeout_s=0.5)
                                client.reset(stream)
                            except Exception:  # noqa: BLE001 - the server may end such a connection
                                break
                            resets += 1
                return resets

            attacking = asyncio.create_task(asyncio.to_thread(attack))
            calls = await one_by_one(channel, 4.0, deadline_s=10.0)
            resets = await attacking
            await asyncio.sleep(1.0)
            held = server.total("dragoman_admitted_tokens")
        row.happens = f"{resets} reset; others: {calls}, p50 {1e3 * calls.p50_s:.0f} ms; {held:.0f} tokens held"
        assert calls.codes.keys() == {"OK"}
        assert calls.p50_s <= BESIDE_RESETS_S
        assert held == 0

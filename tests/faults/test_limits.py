"""Descriptors, connections, address space and unfinished messages: what a server runs out of."""

from __future__ import annotations

import asyncio
import resource
import socket
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Thread

import pytest
from callers import SENTENCES, Calls, call, one_by_one, request, sentences
from hpack import Encoder, NeverIndexedHeaderTuple
from raw_http2 import SERVICE, RawConnection, dial
from serving import ServerProcess, serving

from dragoman.v1 import translation_pb2_grpc as pb_grpc

pytestmark = pytest.mark.asyncio

SMALL = Path(__file__).parents[2] / "models/en-pt"
GIB = 2**30
HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000")
"""A client's preface and its empty settings."""
FRAME = 16_384
FLOOD_S = 10.0
PROBE_S = 1.0
"""What the manifests give a probe."""


def mib(size: float) -> str:
    return f"{size / 2**20:,.0f} MiB"


def crowd(stack: ExitStack, address: str, count: int, hello: bytes = HELLO) -> int:
    """So many connections that say hello and nothing more; how many were taken."""
    taken = 0
    for _ in range(count):
        try:
            connection = stack.enter_context(dial(address))
            connection.sendall(hello)
        except OSError:
            break
        taken += 1
    return taken


async def probes(server: ServerProcess, count: int = 10) -> tuple[int, float]:
    """How many of a number of liveness probes answer 200 in a probe's time, and the longest."""
    well, longest = 0, 0.0
    for _ in range(count):
        start_s = time.monotonic()
        status, _ = await asyncio.to_thread(server.get, "/livez", PROBE_S)
        longest = max(longest, time.monotonic() - start_s)
        well += status == 200
        await asyncio.sleep(0.1)
    return well, longest


async def test_five_thousand_idle_connections(fault):
    """Who is connected is served, probes answer, memory stays bounded, and descriptors come back."""
    row = fault("5,000 idle connections")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 20_000), most))
    with serving(SMALL, memory=GIB) as server, ExitStack() as stack:
        async with server.channel() as channel:
            await one_by_one(channel, 1.0)
            descriptors, before = server.descriptors(), server.resident()
            taken = await asyncio.to_thread(crowd, stack, server.address, 5_000)
            calls = await one_by_one(channel, 3.0, deadline_s=10.0)
            well, longest = await probes(server)
            held, peak = server.descriptors(), server.peak()
            stack.close()
            start_s = time.monotonic()
            while (left := server.descriptors() - descriptors) > 5 and time.monotonic() - start_s < 15:
                await asyncio.sleep(0.2)
        async with server.channel() as fresh:
            after = await one_by_one(fresh, 1.0, deadline_s=10.0)
        row.happens = f"{taken} taken, {held} descriptors held; {calls}; {well} of 10 probes, {1e3 * longest:.0f} ms; "
        row.happens += f"{mib(before)} before, peak {mib(peak)}; {left} descriptors left over; then {after}"
        row.lost = f"{calls.codes.total() - calls.codes['OK']} calls"
        assert server.is_alive()
        assert calls.codes.keys() == {"OK"}
        assert well == 10
        assert peak <= GIB
        assert left <= 5
        assert after.codes.keys() == {"OK"}


async def test_no_descriptor_is_left(fault):
    """More connections than the server may have descriptors: probes answer, no core burns, and it recovers."""
    row = fault("300 connections, 256 descriptors")
    with serving(SMALL, limits={resource.RLIMIT_NOFILE: 256}) as server, ExitStack() as stack:
        async with server.channel() as channel:
            await one_by_one(channel, 1.0)
            await asyncio.to_thread(crowd, stack, server.address, 300)
            await asyncio.sleep(1.0)
            start_s, used_s = time.monotonic(), server.cpu_s()
            well, longest = await probes(server)
            busy = (server.cpu_s() - used_s) / (time.monotonic() - start_s)
            calls = await one_by_one(channel, 2.0, deadline_s=10.0)
            status, _ = await asyncio.to_thread(server.get, "/metrics", 5.0)
            stack.close()
            await asyncio.sleep(1.0)
        async with server.channel() as fresh:
            after = await one_by_one(fresh, 1.0, deadline_s=20.0)
        row.happens = f"{well} of 10 probes, {1e3 * longest:.0f} ms; idle it uses {busy:.0%} of a core; {calls}; "
        row.happens += f"/metrics {status}; then {after}"
        row.lost = f"{10 - well} probes, {calls.codes.total() - calls.codes['OK']} calls"
        assert server.is_alive()
        assert well == 10
        assert busy < 0.5
        assert calls.codes.keys() == {"OK"}
        assert status == 200
        assert after.codes.keys() == {"OK"}


async def test_descriptors_taken_over_the_metrics_port(fault):
    """Connections to the metrics port that use up all descriptors do not keep callers from being served."""
    row = fault("300 connections to the metrics port, 256 descriptors")
    with serving(SMALL, limits={resource.RLIMIT_NOFILE: 256}) as server, ExitStack() as stack:
        async with server.channel() as channel:
            await one_by_one(channel, 1.0)
            await asyncio.to_thread(crowd, stack, server.metrics_address, 300, b"GET /livez HTTP/1.1\r\n")
            well, longest = await probes(server)
            async with server.channel() as fresh:
                calls = await one_by_one(fresh, 2.0, deadline_s=10.0)
        row.happens = f"{well} of 10 probes, {1e3 * longest:.0f} ms; a new client: {calls}"
        row.lost = f"{10 - well} probes, {calls.codes.total() - calls.codes['OK']} calls"
        assert well == 10
        assert calls.codes.keys() == {"OK"}


async def test_the_metrics_port_flooded(fault):
    """Beside 500 idle connections to the metrics port, probes answer in time and threads stay few."""
    row = fault("500 idle connections to the metrics port")
    with serving(SMALL) as server, ExitStack() as stack:
        before = server.threads()
        flood = asyncio.to_thread(crowd, stack, server.metrics_address, 500, b"GET /metr")
        (well, longest), taken = await asyncio.gather(probes(server, 20), flood)
        threads = server.threads() - before
        row.happens = f"{taken} taken; {well} of 20 probes, {1e3 * longest:.0f} ms; {threads} threads more"
        row.lost = f"{20 - well} probes"
        assert well == 20
        assert threads < 64


@pytest.mark.parametrize("more", [100, 300])
async def test_no_address_space_is_left(fault, more):
    """With little more memory to be had, every call ends by a status, and the process lives and says how it is."""
    row = fault(f"{more} MB more address space")
    with serving(SMALL) as server:
        async with server.channel() as channel:
            await one_by_one(channel, 1.0)
            limit = server.address_space() + more * 10**6
            resource.prlimit(server.pid, resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
            stub, calls = pb_grpc.TranslationServiceStub(channel), Calls()
            messages = [request(*sentences(200)), request("a" * 100_000), request(" ".join(SENTENCES) * 100)]
            messages += [request(text) for text in sentences(60)]
            await asyncio.gather(*(call(calls, lambda m=m: stub.Translate(m, timeout=20)) for m in messages))
            start_s = time.monotonic()
            status, _ = await asyncio.to_thread(server.get, "/metrics", 10.0)
            seconds = time.monotonic() - start_s
            resource.prlimit(server.pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            after = await one_by_one(channel, 1.0, deadline_s=20.0) if server.is_alive() else Calls()
        row.happens = f"{calls}; {server.fate()}; /metrics {status} after {seconds:.1f} s; afterwards {after}"
        row.lost = (
            f"{sum(n for code, n in calls.codes.items() if code in ('UNAVAILABLE', 'INTERNAL', 'UNKNOWN'))} calls"
        )
        assert server.is_alive()
        assert status == 200
        assert seconds < 5
        assert not calls.codes.keys() & {"INTERNAL", "UNKNOWN"}, calls.messages.most_common(3)
        assert after.codes.keys() == {"OK"}


@pytest.mark.parametrize("kib", [1_000, 60])
@pytest.mark.parametrize("connections", [1, 8])
async def test_headers_beyond_all_limits(kib, connections, fault):
    """A client that confirms no settings may send 16 MiB of headers a call: it is refused before memory is used up."""
    await flooded(fault(f"headers of {kib} KiB on {connections} connections, settings not confirmed"), connections, kib)


@pytest.mark.parametrize("connections", [64, 200])
async def test_headers_that_do_not_end(connections, fault):
    """A client may leave 16 MiB of headers unfinished: new connections that bring too much of them are cut off."""
    await flooded(fault(f"15 MB of unfinished headers on each of {connections} connections"), connections, 15_000)


def call_by_headers(kib: int, stream: int, *, ends: bool) -> bytes:
    """Frames of a call: HEADERS, then CONTINUATION until all are there."""
    said = [(":method", "POST"), (":scheme", "http"), (":path", f"{SERVICE}Translate"), (":authority", "localhost")]
    said += [("content-type", "application/grpc"), ("te", "trailers"), *[("x", "a" * 15_000)] * (kib * 1024 // 15_000)]
    headers = Encoder().encode([NeverIndexedHeaderTuple(*header) for header in said], huffman=False)
    parts, frames = [headers[at : at + FRAME] for at in range(0, len(headers), FRAME)], b""
    for number, part in enumerate(parts):
        kind, flags = 9 if number else 1, 4 * (ends and number == len(parts) - 1)
        frames += len(part).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + part
    return frames


def renumbered(frames: bytes, stream: int) -> bytes:
    """The same frames of another stream."""
    made, at = bytearray(frames), 0
    while at < len(made):
        made[at + 5 : at + 9] = stream.to_bytes(4, "big")
        at += 9 + int.from_bytes(made[at : at + 3], "big")
    return bytes(made)


class Flood:
    """So many connections that bring headers for some seconds, and connect again when they are cut off."""

    def __init__(self, address: str, connections: int, kib: int) -> None:
        self.sent, self._address, self._until_s = 0, address, time.monotonic() + FLOOD_S
        self._ends = kib < 15_000
        self._frames = call_by_headers(kib, 1, ends=self._ends)
        self._threads = [Thread(target=self._run, daemon=True) for _ in range(connections)]

    async def run(self) -> None:
        """All of it."""
        for thread in self._threads:
            thread.start()
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    def _run(self) -> None:
        while time.monotonic() < self._until_s:
            with suppress(OSError), dial(self._address) as connection:
                connection.settimeout(FLOOD_S)
                connection.sendall(HELLO)
                stream = 1
                while time.monotonic() < self._until_s and stream < 100_000:
                    connection.sendall(renumbered(self._frames, stream))
                    self.sent += len(self._frames)
                    stream += 2
                    if not self._ends:
                        while connection.recv(FRAME):
                            pass


async def flooded(row, connections: int, kib: int) -> None:
    """Others are served meanwhile, a fifth of memory is never used, and afterwards it is as it was."""
    with serving(SMALL, memory=GIB) as server:
        async with server.channel() as channel:
            await one_by_one(channel, 1.0)
            before = server.resident()
            flood = Flood(server.address, connections, kib)
            running = asyncio.create_task(flood.run())
            during = await one_by_one(channel, FLOOD_S, deadline_s=10.0)
            await running
            fate, cut = server.fate(), server.log().count("connections_cut")
            peak = server.peak() if server.is_alive() else GIB
            row.happens = f"{fate}; took {mib(flood.sent)}, peak {mib(peak)} of {mib(GIB)} ({server.limit_is}); "
            row.happens += f"{cut} times cut off; others: {during}"
            row.lost = "the pod"
            after = await one_by_one(channel, 2.0, deadline_s=10.0)
            start_s = time.monotonic()
            while (now := server.resident()) > 1.2 * before and time.monotonic() - start_s < 60:
                await asyncio.sleep(0.5)
    row.happens += f", then {after}; {mib(now)} after {time.monotonic() - start_s:.0f} s, {mib(before)} before"
    row.lost = f"{during.codes.total() - during.codes['OK']} of others' calls"
    assert during.codes.keys() == {"OK"}
    assert after.codes.keys() == {"OK"}
    assert peak <= 0.8 * GIB
    assert now <= 1.2 * before


async def test_unfinished_messages(fault):
    """200 streams that each leave a message of 4 MB without its last byte: memory stays bounded, others are served."""
    row = fault("200 unfinished messages of 4 MB")
    size = 4 * 2**20 - 64
    begun = b"\0" + size.to_bytes(4, "big") + b"\x0a" * (size - 1)
    with serving(SMALL, memory=GIB) as server, ExitStack() as stack:
        async with server.channel() as channel:
            await one_by_one(channel, 1.0)
            before = server.resident()

            def attack() -> int:
                sent = 0
                for _ in range(8):
                    connection = stack.enter_context(RawConnection(server.address))
                    for _ in range(25):
                        try:
                            sent += connection.send(connection.call("Translate"), begun, timeout_s=1.0)
                        except (OSError, ValueError):
                            break
                return sent

            attacking = asyncio.create_task(asyncio.to_thread(attack))
            await asyncio.sleep(0.2)
            during = await one_by_one(channel, 6.0, deadline_s=10.0)
            sent = await attacking
            peak = server.peak()
            stack.close()
            start_s = time.monotonic()
            while (now := server.resident()) > 1.2 * before and time.monotonic() - start_s < 60:
                await asyncio.sleep(0.5)
            after = await one_by_one(channel, 1.0, deadline_s=10.0)
        row.happens = f"took {mib(sent)}; {mib(before)} before, peak {mib(peak)}, {mib(now)} "
        row.happens += f"{time.monotonic() - start_s:.0f} s afterwards; others: {during}, then {after}"
        row.lost = f"{during.codes.total() - during.codes['OK']} calls"
        assert server.is_alive()
        assert peak - before <= 400 * 2**20
        assert now <= 1.2 * before
        assert during.codes.keys() == {"OK"}
        assert after.codes.keys() == {"OK"}


async def test_connections_that_come_and_go(fault):
    """3,000 connections that are opened and broken off leave no descriptor and no thread."""
    row = fault("3,000 connections broken off")
    with serving(SMALL) as server:
        async with server.channel() as channel:
            await one_by_one(channel, 1.0)
            descriptors, threads = server.descriptors(), server.threads()

            def churn() -> None:
                for n in range(3_000):
                    connection = dial(server.address)
                    connection.sendall(HELLO[: n % len(HELLO)])
                    if n % 2:  # as a reset, and not as an end
                        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    connection.close()

            churning = asyncio.create_task(asyncio.to_thread(churn))
            calls = await one_by_one(channel, 2.0, deadline_s=10.0)
            await churning
            start_s = time.monotonic()
            while (left := server.descriptors() - descriptors) > 5 and time.monotonic() - start_s < 15:
                await asyncio.sleep(0.2)
        row.happens = f"{calls}; {left} descriptors and {server.threads() - threads} threads left over"
        assert calls.codes.keys() == {"OK"}
        assert left <= 5
        assert server.threads() - threads <= 4

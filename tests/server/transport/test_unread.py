"""Clients that do not take their answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2

from dragoman.server.transport.unread import MOMENT_S, Receiver, Unread
from dragoman.v1 import translation_pb2 as pb
from dragoman.v1 import translation_pb2_grpc as pb_grpc

pytestmark = pytest.mark.asyncio(loop_scope="session")

Serve = Callable[..., Awaitable[Any]]
DATA, HEADERS, RESET, SETTINGS, PING = 0, 1, 3, 4, 6
END_STREAM, END_HEADERS, ACK = 1, 4, 1
INITIAL_WINDOW_SIZE = 4
SERVICE = "/dragoman.v1.TranslationService/"
TEXTS = pb.TranslateRequest(texts=[pb.Text(text="The dog."), pb.Text(text="A fox."), pb.Text(text="The box.")])
STREAM = pb.TranslateStreamRequest(request=TEXTS)
PIPE = pb.TranslatePipeRequest(settings=pb.TranslateRequest(), texts=TEXTS.texts)


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """A frame of HTTP/2."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def header(name: str, value: str) -> bytes:
    """A header as HPACK writes one that nobody is to remember."""
    return b"\0" + b"".join(bytes([len(text)]) + text.encode() for text in (name, value))


class NoWindow:
    """A call whose client may be sent headers, but not a byte of an answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer

    def call(self, path: str, message: Message, *, ends: bool = True) -> None:
        """Send one message."""
        fields = (":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "a"), ("te", "trailers")
        headers = b"".join(header(*field) for field in (*fields, ("content-type", "application/grpc")))
        data = message.SerializeToString()
        self.writer.write(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
            + frame(SETTINGS, 0, 0, INITIAL_WINDOW_SIZE.to_bytes(2, "big") + bytes(4))
            + frame(HEADERS, END_HEADERS, 1, headers)
            + frame(DATA, END_STREAM if ends else 0, 1, b"\0" + len(data).to_bytes(4, "big") + data)
        )

    async def ended(self) -> bool:
        """Wait until the call has ended; whether it was without any answer."""
        size = 0
        while True:
            length, kind, flags = (head := await self._reader.readexactly(9))[:3], head[3], head[4]
            payload = await self._reader.readexactly(int.from_bytes(length, "big"))
            if kind == SETTINGS and not flags & ACK:
                self.writer.write(frame(SETTINGS, ACK, 0, b""))
            if kind == PING and not flags & ACK:
                self.writer.write(frame(PING, ACK, 0, payload))
            if head[-1] == 1 and kind == DATA:
                size += len(payload)
            if head[-1] == 1 and (kind == RESET or flags & END_STREAM):
                return size == 0


@asynccontextmanager
async def no_window(served: Any) -> AsyncIterator[NoWindow]:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.app.port)
    try:
        yield NoWindow(reader, writer)
    finally:
        writer.close()


@asynccontextmanager
async def others(served: Any) -> AsyncIterator[None]:
    """Other calls that come now and then: grpc.aio keeps hold of the newest call until the next one comes."""

    async def call() -> None:
        async with grpc.aio.insecure_channel(served.target) as channel:
            stub = pb_grpc.TranslationServiceStub(channel)
            while True:
                await stub.GetModel(pb.GetModelRequest(name="echo"))
                await asyncio.sleep(0.02)

    calling = asyncio.create_task(call())
    yield
    calling.cancel()


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("Translate", TEXTS),
        ("TranslateStream", STREAM),
        ("TranslatePipe", PIPE),
        ("Score", pb.ScoreRequest(pairs=[pb.ScorePair(source="The dog.", target="The fox.")])),
        ("ListModels", pb.ListModelsRequest()),
    ],
)
async def test_a_call_ends_whose_client_does_not_read(serve: Serve, method: str, message: Message) -> None:
    """Whatever its method: its answers are let go of, and it is counted."""
    served = await serve(unread_timeout_s=0.1)

    async with asyncio.timeout(10), no_window(served) as client, others(served):
        client.call(SERVICE + method, message)
        assert await client.ended()
        while served.value("dragoman_unread_bytes"):  # of the other calls
            await asyncio.sleep(0)

    assert served.value("dragoman_unread_calls_total", limit="time") == 1


async def test_who_does_not_read_keeps_nobody_out(serve: Serve) -> None:
    """What a stream has to say is decoded, and its place in the backlog free, long before the stream ends."""
    served = await serve(unread_timeout_s=60.0)
    [pipeline] = served.app.models

    async with no_window(served) as client:
        client.call(SERVICE + "TranslateStream", STREAM)
        async with asyncio.timeout(10):
            while len(served.lanes.submitted) < 3 or pipeline.admission.held_tokens:
                await asyncio.sleep(0.001)

        assert served.value("dragoman_unread_bytes") > 0
        assert served.outcomes() == {}


async def test_a_stream_that_nobody_reads_has_an_outcome_of_its_own(serve: Serve) -> None:
    """It is neither answered nor did its client leave."""
    served = await serve(unread_timeout_s=0.1)

    async with asyncio.timeout(10), no_window(served) as client, others(served):
        client.call(SERVICE + "TranslateStream", STREAM)
        assert await client.ended()
        while not served.outcomes():
            await asyncio.sleep(0.001)

    assert served.outcomes() == {"unread": 1}


async def test_a_slow_reader_gets_all(serve: Serve) -> None:
    """As long as it takes something now and then."""
    served = await serve(unread_timeout_s=0.5)
    options = [("grpc.http2.lookahead_bytes", 0), ("grpc.http2.bdp_probe", 0)]
    texts = [pb.Text(text=f"The dog {n}. " * 9) for n in range(25)]

    async with grpc.aio.insecure_channel(served.target, options=options) as channel:
        stream = pb_grpc.TranslationServiceStub(channel).TranslateStream(
            pb.TranslateStreamRequest(request=pb.TranslateRequest(texts=texts))
        )
        number = 0
        async for _ in stream:
            number += 1
            await asyncio.sleep(0.03)

    assert number == 26


async def test_a_watcher_of_health_who_does_not_read_holds_up_no_stop(serve: Serve) -> None:
    """The servicer waits for each of its watchers in turn."""
    served = await serve()
    async with no_window(served) as client:
        client.call("/grpc.health.v1.Health/Watch", health_pb2.HealthCheckRequest())
        async with asyncio.timeout(10):
            while not served.app._unread.waiting:
                await asyncio.sleep(0.001)

            await served.app.stop()


class Clock:
    """A clock that stands still until it is set."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@asynccontextmanager
async def receivers(number: int, **limits: Any) -> AsyncIterator[tuple[Unread, Clock, list[Receiver]]]:
    """Clients of calls that hold ten bytes each, one after the other a tenth of a second later."""
    clock, made = Clock(), list[Receiver]()
    unread = Unread(**limits, clock=clock)

    async def call() -> None:
        made.append(Receiver(unread))
        await asyncio.sleep(60)

    tasks = [asyncio.create_task(call()) for _ in range(number)]
    await asyncio.sleep(0)
    for receiver in made:
        receiver.hold(10)
        receiver.waits()
        clock.now_s += 0.1
    yield unread, clock, made
    for task in tasks:
        task.cancel()


async def test_whoever_waits_too_long_is_ended() -> None:
    """The others go on; who has taken something waits anew."""
    async with receivers(3, limit_bytes=1000, patience_s=5.0) as (unread, clock, [first, second, third]):
        clock.now_s = 104.95
        unread.sweep()
        first.took()
        first.give(10)
        first.hold(5)
        first.waits()
        clock.now_s = 105.15
        unread.sweep()

        assert [receiver.is_ended for receiver in (first, second, third)] == [False, True, False]
        assert unread.num_bytes == 15


async def test_bytes_are_bounded() -> None:
    """Those are ended who have taken nothing for longest, until what is left is within the limit."""
    async with receivers(5, limit_bytes=25, patience_s=60.0) as (unread, clock, made):
        unread.sweep()
        assert not any(receiver.is_ended for receiver in made), "all may be about to take what they are sent"

        clock.now_s += MOMENT_S
        unread.sweep()

        assert [receiver.is_ended for receiver in made] == [True, True, True, False, False]
        made[0].hold(7)  # what was being made when it ended
        assert unread.num_bytes == 20

"""The server of gRPC: how calls begin, go on and end, by a client of gRPC's own."""

from __future__ import annotations

import asyncio
import gc
import gzip
import math
import threading
import time
import weakref
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc
import pytest
from raw_http2 import RawConnection, framed

from dragoman.server.transport import grpc_server
from dragoman.server.transport.grpc_server import (
    METADATA_BYTES,
    RUSH,
    RUSH_S,
    GrpcCall,
    GrpcMethod,
    GrpcServer,
    OpenGate,
    Refusal,
    Rush,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")

Behaviour = Callable[[Any, Any], Any]


def single(behaviour: Behaviour, *, takes_one: bool = True) -> GrpcMethod:
    return GrpcMethod(behaviour, bytes, gives_several=False, is_generator=False, takes_one=takes_one)


def several(behaviour: Behaviour, *, is_generator: bool = True, takes_one: bool = True) -> GrpcMethod:
    return GrpcMethod(behaviour, bytes, gives_several=True, is_generator=is_generator, takes_one=takes_one)


@asynccontextmanager
async def serving(
    *options: tuple[str, Any], gate: Any = None, bring: Any = None, **methods: GrpcMethod
) -> AsyncIterator[tuple[GrpcServer, grpc.aio.Channel]]:
    """A server of methods /test/NAME, and a channel to it."""
    server = GrpcServer(
        [("grpc.so_reuseport", 0), *options], lambda _, handler: handler, gate, bring or (lambda _, __: None)
    )
    server.add_registered_method_handlers("test", methods)  # type: ignore[arg-type] # wrapped as they are
    port = server.add_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.enable_retries", 0)]) as channel:
        try:
            yield server, channel
        finally:
            await server.stop()


async def code_of(call: Any) -> str:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code().name
    except asyncio.CancelledError:
        return "CANCELLED here"
    return "OK"


def server_address(channel: grpc.aio.Channel) -> str:
    target: bytes = channel._channel.target  # type: ignore[attr-defined]
    return target.decode()


async def eventually(holds: Callable[[], bool]) -> None:
    """The server sees a little later than the client that a call has ended."""
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.001)


async def echo(_: None, call: GrpcCall) -> bytes:
    message = await call.read()
    assert await call.read() is grpc.aio.EOF
    return bytes(message)


async def count(_: None, call: GrpcCall) -> AsyncIterator[bytes]:
    for n in range(int(await call.read())):
        yield str(n).encode()


async def double(_: None, call: GrpcCall) -> AsyncIterator[bytes]:
    while (message := await call.read()) is not grpc.aio.EOF:
        yield message * 2


async def test_messages_come_and_go_in_every_form() -> None:
    """One for one, several for one, one for several, as many for as many; those of no bytes are messages, too."""

    async def gather(_: None, call: GrpcCall) -> bytes:
        parts = []
        while (part := await call.read()) is not grpc.aio.EOF:
            parts.append(part)
        return b"+".join(parts)

    async def by_hand(_: None, call: GrpcCall) -> None:
        await call.read()
        await call.write(b"a")
        await call.write(b"")

    methods = {
        "echo": single(echo),
        "count": several(count),
        "gather": single(gather, takes_one=False),
        "double": several(double, takes_one=False),
        "by_hand": several(by_hand, is_generator=False),
    }

    async def parts() -> AsyncIterator[bytes]:
        for part in (b"a", b"", b"c"):
            yield part

    async with serving(**methods) as (_, channel):
        assert [await channel.unary_unary("/test/echo")(text) for text in (b"", b"x", b"y" * 10**6)] == [
            b"",
            b"x",
            b"y" * 10**6,
        ]
        assert [answer async for answer in channel.unary_stream("/test/count")(b"3")] == [b"0", b"1", b"2"]
        assert [answer async for answer in channel.unary_stream("/test/count")(b"0")] == []
        assert await channel.stream_unary("/test/gather")(parts()) == b"a++c"
        assert [answer async for answer in channel.stream_stream("/test/double")(parts())] == [b"aa", b"", b"cc"]
        assert [answer async for answer in channel.unary_stream("/test/by_hand")(b"")] == [b"a", b""]


async def test_a_pipe_is_answered_before_it_ends() -> None:
    """Each message as it comes, for as long as both like."""
    async with serving(double=several(double, takes_one=False)) as (_, channel):
        pipe = channel.stream_stream("/test/double")()
        for n in range(50):
            await pipe.write(str(n).encode())
            assert await pipe.read() == str(n).encode() * 2
        await pipe.done_writing()
        assert await pipe.read() is grpc.aio.EOF
        assert await pipe.code() is grpc.StatusCode.OK


async def test_a_method_ends_a_call_with_a_status() -> None:
    """With a message and metadata, before the first answer or after some; nothing of the method runs behind it."""
    behind: list[str] = []

    async def refuse(_: None, call: GrpcCall) -> bytes:
        await call.abort(grpc.StatusCode.NOT_FOUND, "não há", (("x", "y"), ("z-bin", b"\0\xff")))
        behind.append("refuse")
        return b""

    async def stop(_: None, call: GrpcCall) -> AsyncIterator[bytes]:
        yield b"1"
        await call.abort(grpc.StatusCode.ABORTED, "enough")
        behind.append("stop")

    async with serving(refuse=single(refuse), stop=several(stop)) as (_, channel):
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await channel.unary_unary("/test/refuse")(b"")
        assert (ended.value.code(), ended.value.details()) == (grpc.StatusCode.NOT_FOUND, "não há")
        assert dict(ended.value.trailing_metadata() or ()) == {"x": "y", "z-bin": b"\0\xff"}
        stream = channel.unary_stream("/test/stop")(b"")
        assert await stream.read() == b"1"
        assert await stream.code() is grpc.StatusCode.ABORTED
        assert await stream.details() == "enough"
    assert behind == []


async def test_a_call_knows_its_metadata_and_its_time() -> None:
    """As much as the client has given it, or none."""
    seen: list[tuple[dict[str, Any], float | None]] = []

    async def look(_: None, call: GrpcCall) -> bytes:
        seen.append((dict(call.invocation_metadata()), call.time_remaining()))
        return b""

    async with serving(look=single(look)) as (_, channel):
        await channel.unary_unary("/test/look")(b"", metadata=(("a", "b"), ("c-bin", b"\0")), timeout=50)
        await channel.unary_unary("/test/look")(b"")
    (given, remaining_s), (_, endless) = seen
    assert (given["a"], given["c-bin"]) == ("b", b"\0")
    assert remaining_s is not None
    assert 40 < remaining_s < 51
    assert endless is None


@pytest.mark.parametrize("is_late", [True, False])
async def test_a_call_that_its_client_ends_is_cancelled(is_late: bool) -> None:
    """Or its deadline; wherever the method is."""
    begun, ended = asyncio.Event(), asyncio.Event()

    async def wait(_: None, call: GrpcCall) -> bytes:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return b""

    async def wait_for_more(_: None, call: GrpcCall) -> AsyncIterator[bytes]:
        yield b"1"
        begun.set()
        try:
            while await call.read() is not grpc.aio.EOF:
                pass
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with serving(wait=single(wait), more=several(wait_for_more, takes_one=False)) as (_, channel):
        timeout = 0.2 if is_late else None
        for make in (
            lambda: channel.unary_unary("/test/wait")(b"", timeout=timeout),
            lambda: channel.stream_stream("/test/more")(timeout=timeout),
        ):
            begun.clear()
            ended.clear()
            call: Any = make()
            if hasattr(call, "write"):
                await call.write(b"")
            await begun.wait()
            if not is_late:
                call.cancel()
            await asyncio.wait_for(ended.wait(), 10)


async def test_a_call_that_is_cancelled_here_is_cut_off() -> None:
    """As the last resort against a client that cannot be told; it does not stay open for the client to close it."""
    tasks: list[asyncio.Task[Any]] = []

    async def endless(_: None, call: GrpcCall) -> AsyncIterator[bytes]:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        while True:
            yield b"x" * 65_536

    async with serving(endless=several(endless)) as (_, channel):
        stream = channel.unary_stream("/test/endless")(b"")
        assert await stream.read()
        await asyncio.sleep(0.1)  # the client's window is full, and an answer on its way
        tasks[0].cancel()
        with suppress(grpc.aio.AioRpcError, asyncio.CancelledError):
            while await asyncio.wait_for(stream.read(), 10) is not grpc.aio.EOF:
                pass
        assert await stream.code() is grpc.StatusCode.CANCELLED


async def test_a_client_that_takes_nothing_is_told_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """An abort in the middle of an answer cuts the call off: a status would wait behind what is not taken."""
    ended: list[str] = []

    async def endless(_: None, call: GrpcCall) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                while True:
                    await call.write(b"x" * 65_536)
        try:
            await call.abort(grpc.StatusCode.ABORTED, "")
        except BaseException as error:
            ended.append(type(error).__name__)
            raise

    async with serving(endless=several(endless, is_generator=False)) as (_, channel):
        stream = channel.unary_stream("/test/endless")(b"")
        await stream.read()
        await asyncio.sleep(0.3)
        with suppress(grpc.aio.AioRpcError, asyncio.CancelledError):
            while await asyncio.wait_for(stream.read(), 10) is not grpc.aio.EOF:
                pass
        assert await stream.code() is grpc.StatusCode.CANCELLED
    assert ended == ["CancelledError"]


async def test_a_defect_of_a_method_is_internal(caplog: pytest.LogCaptureFixture) -> None:
    """What it was stands in the log alone."""

    async def broken(_: None, call: GrpcCall) -> bytes:
        raise ZeroDivisionError("secret")

    async with serving(broken=single(broken)) as (_, channel):
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await channel.unary_unary("/test/broken")(b"")
    assert ended.value.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in str(ended.value.details())
    assert [record.getMessage() for record in caplog.records] == ["call_not_served"]


async def test_a_message_that_does_not_come_keeps_no_call_from_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is handed over without, after a moment; a message that comes then is read, one that never comes is the end."""
    monkeypatch.setattr(grpc_server, "FIRST_S", 0.05)
    begun = asyncio.Event()

    async def late(_: None, call: GrpcCall) -> bytes:
        begun.set()
        message = await call.read()
        return b"none" if message is grpc.aio.EOF else bytes(message)

    async with serving(late=single(late)) as (_, channel):
        for sends in (True, False):
            begun.clear()
            call = channel.stream_unary("/test/late")()
            await asyncio.wait_for(begun.wait(), 10)
            if sends:
                await call.write(b"x")
            await call.done_writing()
            assert await call == (b"x" if sends else b"none")


async def test_unknown_methods_and_messages_that_are_too_large_are_refused() -> None:
    """By the status that gRPC has for it; the connection goes on."""
    async with serving(("grpc.max_receive_message_length", 1_000), echo=single(echo)) as (_, channel):
        assert await code_of(channel.unary_unary("/test/none")(b"")) == "UNIMPLEMENTED"
        assert await code_of(channel.unary_unary("/test/echo")(b"x" * 1_001)) == "RESOURCE_EXHAUSTED"
        assert await channel.unary_unary("/test/echo")(b"x" * 1_000) == b"x" * 1_000


class Closed(OpenGate):
    """A gate that refuses some, and notes where it is asked."""

    def __init__(self) -> None:
        self.threads: set[str] = set()
        self.num_unknown = 0

    def at_arrival(self, call: GrpcCall) -> Refusal | None:  # type: ignore[override]
        self.threads.add(threading.current_thread().name)
        if "early" in dict(call.invocation_metadata()):
            return Refusal(grpc.StatusCode.UNAVAILABLE, "early", (("a", "b"),))
        return None

    def at_message(self, call: GrpcCall, message: bytes) -> Refusal | None:  # type: ignore[override]
        self.threads.add(threading.current_thread().name)
        if message == b"broken":
            raise ZeroDivisionError
        return Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "late", (("c-bin", b"d"),)) if message == b"no" else None

    def unknown(self) -> None:
        self.num_unknown += 1


async def test_many_refusals_at_once_are_a_rush_for_a_moment() -> None:
    """Not as many that come one by one."""
    now_s = [0.0]
    rush = Rush(lambda: now_s[0])
    for _ in range(RUSH - 1):
        rush.refused()
    assert not rush.is_on()
    rush.refused()
    assert rush.is_on()
    now_s[0] = 0.9 * RUSH_S
    rush.refused()
    now_s[0] = 1.8 * RUSH_S
    assert rush.is_on()
    now_s[0] = 2.0 * RUSH_S
    assert not rush.is_on()
    for _ in range(10 * RUSH):
        now_s[0] += RUSH_S / (RUSH - 2)
        rush.refused()
        assert not rush.is_on()


async def test_in_a_rush_calls_are_refused_and_served_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """What happens is only looked at a little later, and all of it."""
    monkeypatch.setattr(grpc_server, "FIRST_S", 60)  # no call is handed on unseen, however slow the machine is
    gate = Closed()
    async with serving(gate=gate, echo=single(echo)) as (server, channel):
        call, rush = channel.unary_unary("/test/echo"), server._core._rush
        codes = await asyncio.gather(*(code_of(call(b"no")) for _ in range(20 * RUSH)))
        assert codes == ["RESOURCE_EXHAUSTED"] * (20 * RUSH)
        rush._until_s = math.inf
        assert await asyncio.gather(*(call(b"yes") for _ in range(10))) == [b"yes"] * 10
        assert await code_of(call(b"no")) == "RESOURCE_EXHAUSTED"
        rush._until_s = 0.0
        assert await call(b"yes") == b"yes"
        await eventually(lambda: server.num_open == 0)


async def test_a_gate_refuses_before_a_call_is_served(caplog: pytest.LogCaptureFixture) -> None:
    """On the thread, as it comes or by its message; a defect of the gate keeps nobody out."""
    served: list[bytes] = []

    async def noting(_: None, call: GrpcCall) -> bytes:
        served.append(await call.read())
        return b""

    gate = Closed()
    async with serving(gate=gate, noting=single(noting), pipe=several(double, takes_one=False)) as (_, channel):
        call = channel.unary_unary("/test/noting")
        with pytest.raises(grpc.aio.AioRpcError) as early:
            await call(b"yes", metadata=(("early", "1"),))
        with pytest.raises(grpc.aio.AioRpcError) as late:
            await call(b"no")
        await call(b"yes")
        await call(b"broken")
        assert await code_of(channel.unary_unary("/test/none")(b"")) == "UNIMPLEMENTED"
        pipe = channel.stream_stream("/test/pipe")()
        await pipe.write(b"no")  # a message among others refuses no pipe
        assert await pipe.read() == b"nono"
        pipe.cancel()

    assert (early.value.code(), early.value.details()) == (grpc.StatusCode.UNAVAILABLE, "early")
    assert dict(early.value.trailing_metadata() or ()) == {"a": "b"}
    assert (late.value.code(), late.value.details()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "late")
    assert dict(late.value.trailing_metadata() or ()) == {"c-bin": b"d"}
    assert (served, gate.num_unknown, gate.threads) == ([b"yes", b"broken"], 1, {"grpc"})
    assert [record.getMessage() for record in caplog.records] == ["gate_failed"]


async def test_headers_beyond_the_limit_are_refused_from_whom_does_not_know_it() -> None:
    """A client that has not read the server's settings may send more: its call ends before it is begun."""
    begun = 0

    async def counting(_: None, call: GrpcCall) -> bytes:
        nonlocal begun
        begun += 1
        return await echo(None, call)

    async with serving(("grpc.max_metadata_size", METADATA_BYTES), counting=single(counting)) as (server, channel):

        def calls() -> tuple[str | None, str | None]:
            with RawConnection(server_address(channel)) as client:
                large = client.call("/test/counting", headers=[("x", "a" * 9_000)] * 3)
                small = client.call("/test/counting", headers=[("x", "a" * 9_000)])
                client.send(small, framed(b""), ends=True)
                return client.end_of(large, 10), client.end_of(small, 10)

        assert await asyncio.to_thread(calls) == ("8", "0")
        await eventually(lambda: server.num_open == 0)
    assert begun == 1


async def test_what_calls_bring_is_told_with_where_it_comes_from() -> None:
    """Messages, first and later ones, and metadata; nothing of what is refused for its size."""
    brought: defaultdict[bytes, int] = defaultdict(int)

    def bring(peer: bytes, size: int) -> None:
        brought[peer] += size

    async with serving(bring=bring, echo=single(echo), pipe=several(double, takes_one=False)) as (_, channel):
        await channel.unary_unary("/test/echo")(b"x" * 10_000, metadata=(("key", "v" * 1_000),))
        pipe = channel.stream_stream("/test/pipe")()
        for _ in range(3):
            await pipe.write(b"x" * 2_000)
            await pipe.read()
        await pipe.done_writing()
        await pipe.read()
        async with grpc.aio.insecure_channel(
            server_address(channel), options=[("grpc.use_local_subchannel_pool", 1)]
        ) as other:
            await other.unary_unary("/test/echo")(b"x" * 100)

    first, second = brought.values()
    assert all(peer.startswith(b"ipv4:127.0.0.1:") for peer in brought)
    assert 17_000 < first < 18_000
    assert 100 < second < 400


async def test_whoever_asks_is_told_when_a_call_is_over() -> None:
    """And whether it was in time: one is not that its deadline ends, or that there was no room for; one that its client
    leaves early is, and so is one that is cancelled before it begins.
    """
    ends: list[bool] = []

    class Asking(OpenGate):
        def at_message(self, call: GrpcCall, message: bytes) -> None:
            call.on_end = lambda *, is_in_time: ends.append(is_in_time)

    async def maybe(_: None, call: GrpcCall) -> bytes:
        message = await call.read()
        if message == b"wait":
            await asyncio.Event().wait()
        if message:
            await call.abort(grpc.StatusCode[message.decode()], "")
        return b""

    async with serving(gate=Asking(), maybe=single(maybe)) as (server, channel):
        call = channel.unary_unary("/test/maybe")
        for message, in_time in ((b"", True), (b"INVALID_ARGUMENT", True), (b"RESOURCE_EXHAUSTED", False)):
            assert await code_of(call(message)) == (message.decode() or "OK")
            await eventually(lambda: server.num_open == 0)
            assert ends.pop() is in_time
        assert await code_of(call(b"wait", timeout=0.1)) == "DEADLINE_EXCEEDED"
        await eventually(lambda: server.num_open == 0)
        assert ends.pop() is False
        left = call(b"wait", timeout=60)
        await eventually(lambda: server.num_open == 1)
        left.cancel()
        await eventually(lambda: server.num_open == 0)
        assert ends.pop() is True
        begin = GrpcCall.begin

        def cancelled(call: GrpcCall, method: GrpcMethod, *, is_waiting: bool) -> None:
            begin(call, method, is_waiting=is_waiting)
            assert call._task is not None
            call._task.cancel()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(GrpcCall, "begin", cancelled)
            assert await code_of(call(b"")) == "CANCELLED"
        await eventually(lambda: server.num_open == 0)
    assert ends == [True]


async def test_calls_are_counted_before_the_event_loop_sees_them() -> None:
    """Those whose message does not come, and those that wait while the event loop is busy, are among what is open."""
    async with serving(echo=single(echo), pipe=several(double, takes_one=False)) as (server, channel):
        silent = channel.stream_unary("/test/echo")()
        pipe = channel.stream_stream("/test/pipe")()
        await eventually(lambda: server.num_open == 2)
        refused = [channel.unary_unary("/test/none")(b"") for _ in range(3)]
        assert {await code_of(call) for call in refused} == {"UNIMPLEMENTED"}
        silent.cancel()
        pipe.cancel()
        await eventually(lambda: server.num_open == 0)

        address = server_address(channel)

        def call_while_busy() -> int:
            with RawConnection(address) as client:
                for _ in range(20):
                    client.send(client.call("/test/echo"), framed(b"x"), ends=True)
                end_s = time.monotonic() + 5
                while server.num_open < 20 and time.monotonic() < end_s:
                    time.sleep(0.001)
                return server.num_open

        with ThreadPoolExecutor(1) as caller:
            assert caller.submit(call_while_busy).result() == 20  # the event loop stands still meanwhile
        await eventually(lambda: server.num_open == 0)


async def test_no_failure_takes_a_call_with_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever fails on the thread or as a call begins, such as for lack of memory: this call is cut off, whoever asked
    is told that it is over, and as many calls as before are taken.
    """
    num_failing = 0
    entered, left = list[GrpcCall](), list[bool]()

    class Counting(OpenGate):
        def at_message(self, call: GrpcCall, message: bytes) -> None:  # type: ignore[override]
            entered.append(call)
            call.on_end = lambda is_in_time: left.append(is_in_time)

    class Failing(GrpcCall):
        __slots__ = ()

        def __init__(self, *given: Any) -> None:
            nonlocal num_failing
            if num_failing:
                num_failing -= 1
                raise MemoryError
            super().__init__(*given)

    async with serving(gate=Counting(), echo=single(echo)) as (server, channel):
        monkeypatch.setattr(grpc_server, "GrpcCall", Failing)
        call = channel.unary_unary("/test/echo")
        num_failing = 3 * grpc_server.REQUESTED
        codes = await asyncio.gather(*(code_of(call(b"", timeout=20)) for _ in range(3 * grpc_server.REQUESTED)))
        assert set(codes) == {"UNAVAILABLE"}
        assert await call(b"x") == b"x"
        await eventually(lambda: server.num_open == 0)

        # As a call is handed over, where nothing can be asked of the core any more.
        start, failed = grpc_server._start, list[Any]()

        def failing_start(core: Any, operations: Any, done: Any) -> None:
            if not failed and "ReceiveClose" in type(operations[0]).__name__:
                failed.append(core)
                raise MemoryError
            start(core, operations, done)

        monkeypatch.setattr(grpc_server, "_start", failing_start)
        assert await code_of(call(b"", timeout=20)) == "UNAVAILABLE"
        assert await call(b"x") == b"x"
        await eventually(lambda: server.num_open == 0)

        # On the event loop, as it begins.
        class Loop:
            def __getattr__(self, name: str) -> Any:
                return getattr(loop, name)

            def create_task(self, coroutine: Any) -> Any:
                coroutine.close()
                server._core.loop = loop
                raise MemoryError

        loop, server._core.loop = server._core.loop, Loop()  # type: ignore[assignment] # all that is asked of it
        assert await code_of(call(b"", timeout=20)) in {"CANCELLED", "UNKNOWN", "INTERNAL"}
        assert await call(b"x") == b"x"
        await eventually(lambda: server.num_open == 0)
        await eventually(lambda: len(left) == len(entered) == 5)
    assert {record.getMessage() for record in caplog.records} == {"event_not_handled"}


async def test_what_the_core_does_not_take_ends_the_call(caplog: pytest.LogCaptureFixture) -> None:
    """Two answers at once, or headers that cannot be sent, are defects: nobody waits for what will never be said."""

    async def twice(_: None, call: GrpcCall) -> None:
        await call.read()
        await asyncio.gather(call.write(b"x" * 10**6), call.write(b"y"))

    async def unsendable(_: None, call: GrpcCall) -> bytes:
        await call.read()
        await call.abort(grpc.StatusCode.ABORTED, "", (("NO KEY", "x"),))
        return b""

    methods = {"twice": several(twice, is_generator=False), "unsendable": single(unsendable)}

    def call_twice(address: str) -> str | None:
        with RawConnection(address, window=0) as client:
            stream = client.call("/test/twice")
            client.send(stream, framed(b""), ends=True)
            return client.end_of(stream, 20)

    async with serving(**methods) as (server, channel):
        end = await asyncio.to_thread(call_twice, server_address(channel))
        assert end == str(grpc.StatusCode.CANCELLED.value[0])
        assert await code_of(channel.unary_unary("/test/unsendable")(b"", timeout=20)) == "INTERNAL"
        await eventually(lambda: server.num_open == 0)
    assert [record.getMessage() for record in caplog.records] == ["call_not_served"]


GZIP = ("grpc-encoding", "gzip")


def compressed(data: bytes) -> bytes:
    """A message that says of itself that it is compressed."""
    return b"\1" + framed(data)[1:]


HOSTILE: dict[str, tuple[Sequence[tuple[str, str]], bytes, str]] = {
    "several messages": ((), framed(b"1") + framed(b"2") * 1_000, "0"),
    "a part of a message": ((), framed(b"x" * 100)[:50], "0"),
    "compressed": ((GZIP,), compressed(gzip.compress(b"hi")), "0"),
    "compressed, and a bomb": ((GZIP,), compressed(gzip.compress(bytes(10**7))), "8"),
    "compressed by nothing": ((), compressed(b"hi"), "13"),
    "not what it says": ((GZIP,), compressed(b"hi" * 100), "13"),
    "a deadline that has passed": ((("grpc-timeout", "0n"),), framed(b"x"), "4"),
    "a deadline that is none": ((("grpc-timeout", "soon"),), framed(b"x"), "13"),
    "a deadline in ten thousand years": ((("grpc-timeout", "99999999H"),), framed(b"x"), "0"),
    "binary metadata that is none": ((("x-bin", "***"),), framed(b"x"), "13"),
    "metadata of other letters": ((("x", "\xff\xfe"),), framed(b"x"), "0"),
}


@pytest.mark.parametrize("kind", HOSTILE)
async def test_hostile_calls_end_and_leave_nothing_open(kind: str) -> None:
    """Whatever a client says on the wire, its call ends by a status of gRPC's, and the next one is served."""
    headers, message, status = HOSTILE[kind]

    async def first(_: None, call: GrpcCall) -> bytes:
        message = await call.read()
        return b"none" if message is grpc.aio.EOF else bytes(message)

    def call(address: str) -> tuple[str | None, str | None]:
        with RawConnection(address) as client:
            stream = client.call("/test/first", headers=headers)
            client.send(stream, message, ends=True)
            end = client.end_of(stream, 10)
            stream = client.call("/test/first")
            client.send(stream, framed(b"x"), ends=True)
            return end, client.end_of(stream, 10)

    async with serving(("grpc.max_receive_message_length", 10**6), first=single(first)) as (server, channel):
        assert await asyncio.to_thread(call, server_address(channel)) == (status, "0")
        await eventually(lambda: server.num_open == 0)


async def test_calls_that_are_reset_as_they_come_leave_nothing_open() -> None:
    """With and without a message, thousands of them; another connection is served all the while."""

    async def wait(_: None, call: GrpcCall) -> bytes:
        await asyncio.sleep(60)
        return b""

    def reset_all(address: str) -> None:
        with RawConnection(address) as client, suppress(OSError):
            for number in range(2_000):
                stream = client.call("/test/wait")
                if number % 2:
                    client.send(stream, framed(b"x"), ends=True)
                client.reset(stream)

    async with serving(wait=single(wait), echo=single(echo)) as (server, channel):
        storm = asyncio.create_task(asyncio.to_thread(reset_all, server_address(channel)))
        while not storm.done():
            assert await channel.unary_unary("/test/echo")(b"x", timeout=20) == b"x"
        await storm
        await eventually(lambda: server.num_open == 0)


async def test_a_stop_lets_calls_end_and_takes_no_more() -> None:
    """Those that end in time are answered, the others are cancelled, and the thread is gone; once is enough."""
    going_on, begun = asyncio.Event(), asyncio.Event()

    async def wait(_: None, call: GrpcCall) -> bytes:
        begun.set()
        await going_on.wait()
        return b"done"

    for grace_s in (10.0, 0.0):
        going_on.clear()
        begun.clear()
        async with serving(wait=single(wait)) as (server, channel):
            call = asyncio.ensure_future(channel.unary_unary("/test/wait")(b""))
            await begun.wait()
            stop = asyncio.create_task(server.stop(grace_s))
            await asyncio.sleep(0.1)
            if grace_s:
                assert await code_of(channel.unary_unary("/test/wait")(b"", timeout=5)) == "UNAVAILABLE"
                going_on.set()
                assert await call == b"done"
            else:
                assert await code_of(call) in ("CANCELLED", "UNAVAILABLE")
            await asyncio.wait_for(stop, 10)
            assert not server._core.thread.is_alive()


async def test_a_port_that_is_taken_is_refused() -> None:
    """And a server that never started can be stopped."""
    async with serving(echo=single(echo)) as (server, _):
        other = GrpcServer([("grpc.so_reuseport", 0)], lambda _, handler: handler)
        first = GrpcServer([("grpc.so_reuseport", 0)], lambda _, handler: handler)
        taken = first.add_port("127.0.0.1:0")
        with pytest.raises(RuntimeError):
            other.add_port(f"127.0.0.1:{taken}")
        await first.stop()
        assert other.add_port(f"127.0.0.1:{taken}") == taken
        await other.stop()
        assert "1 methods" in repr(server)


async def test_calls_that_have_ended_leave_nothing_behind() -> None:
    """However they ended, and without the garbage collector."""
    calls: list[weakref.ref[Any]] = []

    class Kept(GrpcCall):
        __slots__ = ("__weakref__",)

        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            calls.append(weakref.ref(self))

    async def moody(_: None, call: GrpcCall) -> bytes:
        match await call.read():
            case b"abort":
                await call.abort(grpc.StatusCode.ABORTED, "")
            case b"wait":
                await asyncio.Event().wait()
        return b""

    gc.collect()
    gc.disable()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(grpc_server, "GrpcCall", Kept)
            async with serving(gate=Closed(), moody=single(moody)) as (_, channel):
                for message in (b"abort", b"", b"no"):
                    await code_of(channel.unary_unary("/test/moody")(message))
                await code_of(channel.unary_unary("/test/moody")(b"wait", timeout=0.1))
                end_s = time.monotonic() + 10
                while any(call() is not None for call in calls) and time.monotonic() < end_s:
                    await asyncio.sleep(0.01)
                assert [call() for call in calls] == [None] * 4
    finally:
        gc.enable()


async def test_many_calls_at_once_are_all_served() -> None:
    """More than the core hands out at a time, and than the event loop takes in one turn."""
    limits = [(f"grpc.server.max_pending_requests{which}", 10_000) for which in ("", "_hard_limit")]
    async with serving(*limits, echo=single(echo)) as (_, channel):
        call = channel.unary_unary("/test/echo")
        texts = [str(n).encode() for n in range(1_500)]
        assert await asyncio.gather(*(call(text) for text in texts)) == texts

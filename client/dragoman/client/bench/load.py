"""An open-loop load: calls leave when they are due, however many before them are still unanswered.

A loop that waits for answers sends less to a server that slows down, and so never sees how long its users would have
waited. Here a call's latency runs from the moment that it was due, whatever kept it from leaving.
"""

import asyncio
import selectors
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import grpc
import grpc.aio

from dragoman.client import codec
from dragoman.client.channel import OPTIONS, target
from dragoman.client.errors import Unavailable, from_call
from dragoman.v1 import translation_pb2 as pb

T = TypeVar("T")

METHOD = "/dragoman.v1.TranslationService/Translate"
OK = "OK"
NOT_SENT = "NOT_SENT"
"""The outcome of a call that found `MAX_IN_FLIGHT` others unanswered."""
MAX_IN_FLIGHT = 20_000
"""More than any server answers in time, and what a client's memory holds easily."""
CONNECT_S = 5.0

_CHANNEL_OPTIONS = (
    *OPTIONS,
    # A call that is tried again would be two calls to the server and one slow one here.
    ("grpc.enable_retries", 0),
    # Channels to the same server would share one connection.
    ("grpc.use_local_subchannel_pool", 1),
)
_STAGES = tuple(field.name for field in pb.Timings.DESCRIPTOR.fields)


@dataclass(frozen=True, slots=True)
class Call:
    """What became of a call; times in seconds from the start of the load."""

    due_s: float
    sent_s: float
    ended_s: float
    outcome: str
    """Name of the gRPC status of the call, or else of its text."""
    stages_s: tuple[tuple[str, float], ...] = ()
    """Where the server says that the time went."""

    @property
    def latency_s(self) -> float:
        """What a user waited."""
        return self.ended_s - self.due_s

    @property
    def lateness_s(self) -> float:
        """How long after it was due the call left: this machine's delay, not the server's."""
        return self.sent_s - self.due_s


@dataclass
class Load:
    """Calls to be made, and what has become of them so far."""

    due_s: Sequence[float]
    messages: Iterable[bytes]
    timeout_s: float
    calls: list[Call] = field(default_factory=list)
    """Those that have ended, in the order of their ends."""
    sent: int = 0
    """Those that have left."""


def run(
    server: str,
    connections: int,
    work: Callable[["Sender"], Awaitable[T]],
    credentials: grpc.ChannelCredentials | None = None,
) -> T:
    """Connect, and do what `work` makes of a sender. Raises Unavailable where nothing answers."""

    async def connected() -> T:
        sender = Sender(server, connections, credentials=credentials)
        try:
            await sender.connect()
            return await work(sender)
        finally:
            await sender.close()

    # asyncio's usual selector wakes up on whole milliseconds, which would make every call up to one late.
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        return runner.run(connected())


class Sender:
    """Connections to a server. Made and used inside an event loop."""

    def __init__(
        self,
        server: str,
        connections: int,
        max_in_flight: int = MAX_IN_FLIGHT,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self.server = server
        self.max_in_flight = max_in_flight
        where = target(server), _CHANNEL_OPTIONS
        self._channels = [
            grpc.aio.secure_channel(where[0], credentials, where[1])
            if credentials
            else grpc.aio.insecure_channel(*where)
            for _ in range(connections)
        ]
        # Messages are written before the load starts: writing them then would make others late.
        self._methods: list[grpc.aio.UnaryUnaryMultiCallable[bytes, pb.TranslateResponse]] = [
            channel.unary_unary(METHOD, response_deserializer=pb.TranslateResponse.FromString)
            for channel in self._channels
        ]

    async def connect(self) -> None:
        """Open all connections, so that no call pays for one."""
        try:
            await asyncio.wait_for(asyncio.gather(*(channel.channel_ready() for channel in self._channels)), CONNECT_S)
        except TimeoutError:
            raise Unavailable(f"no connection within {CONNECT_S:g} s") from None

    async def close(self) -> None:
        """Close the connections."""
        await asyncio.gather(*(channel.close() for channel in self._channels))

    async def send(self, load: Load) -> None:
        """Make the calls of a load when they are due, and wait for the last to end."""
        started_s = time.monotonic()
        tasks: set[asyncio.Task[None]] = set()
        try:
            for index, (due_s, message) in enumerate(zip(load.due_s, load.messages, strict=False)):
                # Zero, too, lets others run.
                await asyncio.sleep(max(0.0, started_s + due_s - time.monotonic()))
                load.sent += 1
                if len(tasks) >= self.max_in_flight:
                    now_s = time.monotonic() - started_s
                    load.calls.append(Call(due_s, now_s, now_s, NOT_SENT))
                    continue
                method = self._methods[index % len(self._methods)]
                task = asyncio.create_task(_call(method, message, load, due_s, started_s))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()


async def _call(method: Any, message: bytes, load: Load, due_s: float, started_s: float) -> None:
    sent_s = time.monotonic() - started_s
    stages: tuple[tuple[str, float], ...] = ()
    try:
        response = await method(message, timeout=load.timeout_s)
    except grpc.RpcError as error:
        ended_s = time.monotonic() - started_s
        outcome = from_call(cast(Any, error)).code
    else:
        ended_s = time.monotonic() - started_s
        failed = [result for result in response.results if result.HasField("status")]
        outcome = getattr(codec.outcome(failed[0]), "code", OK) if failed else OK
        stages = _stages(response.timings)
    load.calls.append(Call(due_s, sent_s, ended_s, outcome, stages))


def _stages(timings: pb.Timings) -> tuple[tuple[str, float], ...]:
    durations = ((name, getattr(timings, name)) for name in _STAGES if timings.HasField(name))
    return tuple((name, duration.seconds + duration.nanos * 1e-9) for name, duration in durations)

"""Clients of a server under attack: what they send, and what they note."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

from dragoman.v1 import translation_pb2 as pb
from dragoman.v1 import translation_pb2_grpc as pb_grpc

SENTENCES = (
    "She opened the window and looked at the river.",
    "The committee will meet again on Thursday to discuss the results of the first year.",
    "Nothing is cut.",
    "Many of the houses in the old town were built by merchants who traded with the islands in the sixteenth century.",
    "How long does it take to walk from the station to the museum?",
)
PUSHBACK = "grpc-retry-pushback-ms"
RETRIED = (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE)
PAUSE_S = 0.02


def request(*texts: str, **fields: Any) -> pb.TranslateRequest:
    """Texts from English into Portuguese."""
    return pb.TranslateRequest(
        texts=[pb.Text(text=text) for text in texts], source_language="en", target_language="pt", **fields
    )


def sentences(count: int) -> list[str]:
    """Texts of one ordinary sentence, no two of them equal."""
    return [f"{n}: {SENTENCES[n % len(SENTENCES)]}" for n in range(count)]


@dataclass
class Calls:
    """What became of calls."""

    codes: Counter[str] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)
    """Endless where a call failed."""
    unmeetable: int = 0
    without_retry: int = 0
    """Refused as overloaded, and not told when to come again."""
    messages: Counter[str] = field(default_factory=Counter)

    def note(self, error: grpc.aio.AioRpcError | None, seconds: float) -> None:
        """How a call ended."""
        self.codes[error.code().name if error else "OK"] += 1
        self.latencies_s.append(math.inf if error else seconds)
        if error is None:
            return
        self.messages[f"{error.code().name}: {(error.details() or '')[:120]}"] += 1
        self.unmeetable += reason(error) == "UNMEETABLE"
        self.without_retry += error.code() in RETRIED and not has_retry(error)

    @property
    def p50_s(self) -> float:
        """Half of the calls took no longer."""
        return median(self.latencies_s) if self.latencies_s else math.inf

    def __str__(self) -> str:
        return ", ".join(f"{number} {code}" for code, number in self.codes.most_common())


def _details(error: grpc.aio.AioRpcError) -> Iterator[Any]:
    packed = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
    status = status_pb2.Status.FromString(packed) if isinstance(packed, bytes) else status_pb2.Status()
    for detail in status.details:
        for kind in (error_details_pb2.ErrorInfo, error_details_pb2.RetryInfo):
            message = kind()
            if detail.Unpack(message):
                yield message


def reason(error: grpc.aio.AioRpcError) -> str:
    """The server's own word for it, empty where it gave none."""
    return next((detail.reason for detail in _details(error) if isinstance(detail, error_details_pb2.ErrorInfo)), "")


def has_retry(error: grpc.aio.AioRpcError) -> bool:
    """Whether the client is told when to try again."""
    told = any(isinstance(detail, error_details_pb2.RetryInfo) for detail in _details(error))
    return told or PUSHBACK in dict(error.trailing_metadata() or ())


async def call(calls: Calls, make: Callable[[], Awaitable[Any]]) -> Any:
    """Make a call and note it; its answer, or None."""
    start_s = time.perf_counter()
    try:
        answer = await make()
    except grpc.aio.AioRpcError as error:
        calls.note(error, time.perf_counter() - start_s)
        return None
    calls.note(None, time.perf_counter() - start_s)
    return answer


async def one_by_one(
    channel: grpc.aio.Channel, duration_s: float, *, deadline_s: float = 60.0, most: int = 10_000, fewest: int = 1
) -> Calls:
    """A caller of single sentences, one at a time."""
    stub, calls, start_s = pb_grpc.TranslationServiceStub(channel), Calls(), time.monotonic()
    while calls.codes.total() < most:
        if time.monotonic() - start_s >= duration_s and calls.codes.total() >= fewest:
            break
        await call(calls, lambda: stub.Translate(request(SENTENCES[0]), timeout=deadline_s))
        await asyncio.sleep(PAUSE_S)
    return calls


async def probing(channel: grpc.aio.Channel, over: asyncio.Event) -> list[float]:
    """Seconds that a call takes which needs nothing but the event loop, again and again until it is over."""
    stub, taken = pb_grpc.TranslationServiceStub(channel), []
    while not over.is_set():
        start_s = time.perf_counter()
        await stub.ListModels(pb.ListModelsRequest(), timeout=60)
        taken.append(time.perf_counter() - start_s)
        await asyncio.sleep(0.002)
    return taken


@asynccontextmanager
async def bulk(channel: grpc.aio.Channel, message: pb.TranslateRequest, streams: int = 1) -> AsyncIterator[Calls]:
    """A client that always has so many calls of this kind in flight."""
    stub, calls = pb_grpc.TranslationServiceStub(channel), Calls()

    async def again() -> None:
        while True:
            answer = await call(calls, lambda: stub.Translate(message, timeout=120))
            await asyncio.sleep(0 if answer else 0.25)

    tasks = [asyncio.create_task(again()) for _ in range(streams)]
    try:
        yield calls
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


def outcome(answer: pb.TranslateResponse) -> str:
    """How the texts of an answer ended."""
    codes: Sequence[int] = [result.status.code for result in answer.results]
    return "OK" if not any(codes) else f"OK with {Counter(codes)}"

"""Messages that do not come."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from dragoman.server.core.errors import MessageLate, Shed
from dragoman.server.transport.arrivals import MOMENT_S, Arrivals

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Bench:
    """Arrivals by a clock that stands until it is set, and the calls that wait for messages."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.ended: list[str] = []
        self.arrivals = Arrivals(2, 10.0, self.ended.append, lambda: self.now_s)
        self.calls: list[asyncio.Task[Any]] = []

    async def wait_for(self, *, is_due: bool) -> asyncio.Task[Any]:
        """A call whose message never comes."""
        call = asyncio.create_task(self.arrivals.message(asyncio.Event().wait, is_due=is_due))
        self.calls.append(call)
        await asyncio.sleep(0)
        return call

    async def outcome(self, call: asyncio.Task[Any]) -> type | None:
        """How a call has ended; None where it goes on."""
        await asyncio.wait([call], timeout=0)
        await asyncio.sleep(0)
        return type(call.exception()) if call.done() else None


@pytest_asyncio.fixture(loop_scope="session")
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    yield bench
    for call in bench.calls:
        call.cancel()
    await asyncio.gather(*bench.calls, return_exceptions=True)


async def test_a_message_that_comes_is_read(bench: Bench) -> None:
    """And nothing is left of it."""

    async def read() -> bytes:
        await asyncio.sleep(0)
        return b"message"

    assert await bench.arrivals.message(read, is_due=True) == b"message"
    assert repr(bench.arrivals) == "<Arrivals of 0 messages>"


async def test_a_message_that_is_due_ends_when_it_is_late(bench: Bench) -> None:
    """The next one of a stream is not due: it may take as long as it likes."""
    due, idle = await bench.wait_for(is_due=True), await bench.wait_for(is_due=False)

    bench.now_s = 10.0
    bench.arrivals.sweep()
    assert [await bench.outcome(call) for call in (due, idle)] == [None, None]
    bench.now_s = 10.1
    bench.arrivals.sweep()

    assert [await bench.outcome(call) for call in (due, idle)] == [MessageLate, None]


async def test_the_oldest_of_too_many_ends(bench: Bench) -> None:
    """Those that have not waited for a moment yet are not counted: a burst is no attack."""
    old = [await bench.wait_for(is_due=True) for _ in range(3)]
    bench.now_s = MOMENT_S * 1.5
    new = [await bench.wait_for(is_due=True) for _ in range(9)]

    bench.arrivals.sweep()

    assert bench.arrivals.slow == 3
    assert [await bench.outcome(call) for call in (*old, *new)] == [Shed, *[None] * 11]
    assert bench.ended == ["unfinished_messages"]
    assert bench.arrivals.slow == 2


async def test_relief_ends_the_older_half_whatever_it_is(bench: Bench) -> None:
    """What a stream waits for may be half there, too."""
    old = [await bench.wait_for(is_due=is_due) for is_due in (False, True, False, False)]
    bench.now_s = MOMENT_S * 1.5
    new = await bench.wait_for(is_due=False)

    bench.arrivals.relieve()

    assert [await bench.outcome(call) for call in (*old, new)] == [Shed, Shed, None, None, None]
    assert bench.ended == ["memory", "memory"]


async def test_a_call_that_is_cancelled_stays_so(bench: Bench) -> None:
    """Only what was ended here becomes a refusal."""
    call = await bench.wait_for(is_due=True)

    call.cancel()

    with pytest.raises(asyncio.CancelledError):
        await call


async def test_the_clock_is_looked_at_from_start_to_close(monkeypatch: pytest.MonkeyPatch, bench: Bench) -> None:
    """By a task of its own."""
    monkeypatch.setattr("dragoman.server.transport.arrivals._BEAT_S", 0.001)
    call = await bench.wait_for(is_due=True)
    bench.now_s = 11.0

    bench.arrivals.start()

    with pytest.raises(MessageLate):
        await call
    bench.arrivals.close()

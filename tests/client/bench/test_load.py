"""An open-loop load on a server that does what a test wants."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import grpc
import pytest

from dragoman.client import codec
from dragoman.client.bench import load
from dragoman.client.bench.load import NOT_SENT, OK, Call, Load, Sender
from dragoman.client.errors import Unavailable
from dragoman.v1 import translation_pb2 as pb

MESSAGE = codec.request(["hello"], codec.NO_OPTIONS).SerializeToString()


def send(fake, due_s: list[float], *, connections: int = 1, timeout_s: float = 30.0, max_in_flight: int = 100) -> Load:
    """A load of the same call, put on and ended."""
    one = Load(due_s, [MESSAGE] * len(due_s), timeout_s)

    async def work(sender: Sender) -> None:
        sender.max_in_flight = max_in_flight
        await sender.send(one)

    load.run(fake.address, connections, work)
    return one


def test_calls_leave_while_others_are_unanswered(fake) -> None:
    """Six calls over one connection are all with the server before it answers the first."""
    everybody = threading.Barrier(6, timeout=20)

    def reply(request: pb.TranslateRequest, context: grpc.ServicerContext) -> pb.TranslateResponse:
        everybody.wait()
        return pb.TranslateResponse(results=[pb.TextResult(text="x")])

    fake.reply = reply

    assert [call.outcome for call in send(fake, [0.0] * 6).calls] == [OK] * 6


def test_latency_runs_from_when_a_call_was_due(fake) -> None:
    """Calls that were due five seconds before the start have waited for five seconds when they leave."""
    calls = send(fake, [-5.0, -5.0]).calls

    for call in calls:
        assert call.due_s == -5.0
        assert call.lateness_s >= 5
        assert call.latency_s > call.lateness_s
        assert call.sent_s >= 0


def test_no_call_leaves_before_it_is_due(fake) -> None:
    """Each waits for its own moment, not for the answer of another."""
    calls = send(fake, [0.0, 0.02, 0.04]).calls

    assert len(calls) == 3
    assert all(call.lateness_s >= 0 for call in calls)


@pytest.mark.parametrize("connections", [1, 3])
def test_connections_are_as_many_as_asked_for(fake, connections: int) -> None:
    """Channels of one process to one server share a connection unless they are told not to."""
    peers = []

    def reply(request: pb.TranslateRequest, context: grpc.ServicerContext) -> pb.TranslateResponse:
        peers.append(context.peer())
        return pb.TranslateResponse(results=[pb.TextResult(text="x")])

    fake.reply = reply
    send(fake, [0.0] * 6, connections=connections)

    assert sorted(peers.count(peer) for peer in set(peers)) == [6 // connections] * connections


def test_a_call_that_fails_is_not_made_again(fake) -> None:
    """The server sees each call once, and the outcome is what it said."""
    fake.reply = lambda request, context: context.abort(grpc.StatusCode.UNAVAILABLE, "full")

    one = send(fake, [0.0] * 3)

    assert [call.outcome for call in one.calls] == ["UNAVAILABLE"] * 3
    assert len(fake.requests) == one.sent == 3


def test_a_text_that_failed_in_a_call_that_went_well_is_a_failure(fake) -> None:
    """The outcome is that of the text."""
    result = pb.TextResult()
    result.status.code = grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    fake.reply = lambda request, context: pb.TranslateResponse(results=[result])

    assert [call.outcome for call in send(fake, [0.0]).calls] == ["RESOURCE_EXHAUSTED"]


def test_every_call_has_the_deadline(fake) -> None:
    """A server that does not answer in time is not waited for."""
    release = threading.Event()
    fake.reply = lambda request, context: (release.wait(20), pb.TranslateResponse())[1]
    try:
        assert [call.outcome for call in send(fake, [0.0], timeout_s=0.2).calls] == ["DEADLINE_EXCEEDED"]
    finally:
        release.set()


def test_more_than_can_be_kept_in_flight_is_counted(fake) -> None:
    """What finds too many unanswered is not sent, and not forgotten."""
    release = threading.Event()
    fake.reply = lambda request, context: (release.wait(20), pb.TranslateResponse(results=[pb.TextResult()]))[1]

    def messages() -> Iterator[bytes]:
        yield from [MESSAGE] * 5
        release.set()
        yield MESSAGE

    one = Load([-6.0, -5.0, -4.0, -3.0, -2.0, -1.0], messages(), 30.0)

    async def work(sender: Sender) -> None:
        sender.max_in_flight = 2
        await sender.send(one)

    load.run(fake.address, 1, work)

    outcomes = {call.due_s: call.outcome for call in one.calls}
    assert [outcomes[due_s] for due_s in (-6.0, -5.0, -4.0, -3.0, -2.0)] == [OK, OK, *[NOT_SENT] * 3]
    assert len(one.calls) == 6


def test_stages_are_read_from_the_answer(fake) -> None:
    """Those that the server fills, under the contract's names."""
    response = pb.TranslateResponse(results=[pb.TextResult(text="x")])
    response.timings.queue.FromMilliseconds(1250)
    fake.reply = lambda request, context: response

    [call] = send(fake, [0.0]).calls

    assert call.stages_s == (("queue", 1.25),)


def test_a_server_that_is_not_there_is_said_to_be_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before any call is counted as failed."""
    monkeypatch.setattr(load, "CONNECT_S", 0.2)

    async def work(sender: Sender) -> None:
        raise AssertionError("nothing is connected")

    with pytest.raises(Unavailable, match=r"0\.2 s"):
        load.run("127.0.0.1:1", 2, work)


def test_a_call_is_its_times() -> None:
    """Lateness is this machine's, the rest of the latency is the server's and the network's."""
    call = Call(due_s=1, sent_s=1.5, ended_s=3, outcome=OK)

    assert (call.lateness_s, call.latency_s) == (0.5, 2)

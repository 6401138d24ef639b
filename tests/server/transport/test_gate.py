"""What is refused before it comes to the event loop, and that it is what would be refused there."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from dragoman.server.core.errors import Shed
from dragoman.server.core.segments import Priority
from dragoman.server.transport import gate
from dragoman.v1 import translation_pb2 as pb
from dragoman.v1 import translation_pb2_grpc as pb_grpc

pytestmark = pytest.mark.asyncio(loop_scope="session")

Serve = Callable[..., Awaitable[Any]]
DOG = pb.TranslateRequest(texts=[pb.Text(text="The dog.")])


async def ended(call: Any) -> grpc.aio.AioRpcError | None:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error
    return None


def told(error: grpc.aio.AioRpcError | None) -> tuple[Any, ...]:
    """All that a client is told, but for the numbers in it and the call's id."""
    assert error is not None
    trailing = dict(error.trailing_metadata() or ())
    status = status_pb2.Status.FromString(trailing["grpc-status-details-bin"])
    info, request = error_details_pb2.ErrorInfo(), error_details_pb2.RequestInfo()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(request)
    assert request.request_id == trailing["x-request-id"]
    assert status.message == error.details()
    kinds = [detail.type_url for detail in status.details]
    words = [word for word in (error.details() or "").split() if not word[0].isdigit()]
    return error.code(), words, sorted(trailing), kinds, info.reason


def refusals(served: Any, outcome: str) -> float:
    return float(served.value("dragoman_requests_total", model="echo", outcome=outcome))


async def counted() -> None:
    """All that was refused is counted: what the gate refuses, some moments later."""
    await asyncio.sleep(gate.COUNTED_S + 0.01)  # behind the timer that counts


class Seen:
    """What comes to the event loop."""

    def __init__(self, served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.number = 0
        accept = served.app.service._accept

        def counted(*given: Any) -> Any:
            self.number += 1
            return accept(*given)

        monkeypatch.setattr(served.app.service, "_accept", counted)


async def test_the_gate_keeps_no_bundle_that_has_left(serve: Serve) -> None:
    """It remembers where calls lead as long as the same bundles are served, and not for a moment longer."""
    served = await serve()
    models = served.app.models
    async with grpc.aio.insecure_channel(served.target) as channel:
        stub = pb_grpc.TranslationServiceStub(channel)
        for _ in range(2):
            await stub.Translate(DOG, timeout=20)
        [pipeline] = models
        assert list(models.routes.values()) == [pipeline]
        models.leave(pipeline)
        assert models.routes == {}
        failed = await ended(stub.Translate(DOG, timeout=20))
        assert failed is not None
        assert failed.code() is grpc.StatusCode.NOT_FOUND or list(models.routes.values()) == [None]
        models.add(pipeline)
        await stub.Translate(DOG, timeout=20)
        models.gone(pipeline)
        assert list(models.routes.values()) == [pipeline]


@pytest.mark.parametrize("reason", ["unmeetable", "overloaded"])
async def test_the_gate_says_what_the_event_loop_says(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    """The first is refused by the event loop, the others at the gate: the same status, details and counts."""
    served = await serve(backlog_tokens=20)
    seen = Seen(served, monkeypatch)
    if reason == "unmeetable":
        served.lanes.waits_s[Priority.NORMAL] = 60.0

    async with grpc.aio.insecure_channel(served.target, options=[("grpc.enable_retries", 0)]) as channel:
        stub = pb_grpc.TranslationServiceStub(channel)
        served.lanes.hold()
        held = None
        if reason == "overloaded":
            held = stub.Translate(pb.TranslateRequest(texts=[pb.Text(text="The quick brown fox jumps.")]))
            await asyncio.to_thread(served.lanes.wait_until, 1)
        before = seen.number
        message = pb.TranslateRequest(texts=[pb.Text(text="The lazy dog sleeps in the box, " * 2)])
        first = await ended(stub.Translate(message, timeout=20))
        others = [await ended(stub.Translate(message, timeout=20)) for _ in range(5)]
        assert seen.number == before + 1
        assert all(told(other) == told(first) for other in others)
        ids = {dict(other.trailing_metadata() or ())["x-request-id"] for other in others if other}
        assert len(ids) == 5
        served.lanes.release()
        if held is not None:
            await held

    await counted()
    assert refusals(served, reason) == 6
    labels = {"grpc_type": "unary", "grpc_service": "dragoman.v1.TranslationService", "grpc_method": "Translate"}
    code = "DEADLINE_EXCEEDED" if reason == "unmeetable" else "RESOURCE_EXHAUSTED"
    assert served.value("grpc_server_handled_total", **labels, grpc_code=code) == 6
    assert served.value("grpc_server_started_total", **labels) == 6 + (held is not None)
    assert served.value("dragoman_caller_calls_total", caller="_none", grpc_code=code) == 6
    assert served.value("dragoman_requests_started_total") == 6 + (held is not None)


async def test_a_call_is_refused_under_the_id_that_its_client_gave(serve: Serve) -> None:
    """As everywhere else."""
    served = await serve()
    served.lanes.waits_s[Priority.NORMAL] = 60.0
    async with grpc.aio.insecure_channel(served.target) as channel:
        stub = pb_grpc.TranslationServiceStub(channel)
        for _ in range(2):
            error = await ended(stub.Translate(DOG, timeout=5, metadata=(("x-request-id", "a longer one: 17"),)))
            assert error is not None
            assert dict(error.trailing_metadata() or ())["x-request-id"] == "a longer one: 17"
            told(error)


@pytest.mark.parametrize(
    "message",
    [
        pb.TranslateRequest(texts=DOG.texts, priority=pb.PRIORITY_INTERACTIVE),
        pb.TranslateRequest(texts=DOG.texts, decoding=pb.DecodingOptions(beam_size=2)),
        pb.TranslateRequest(texts=DOG.texts, model="another"),
        pb.TranslateRequest(texts=DOG.texts, format=pb.INPUT_FORMAT_HTML),
        pb.TranslateRequest(texts=DOG.texts, source_language="no tag"),
        pb.TranslateRequest(texts=list(DOG.texts) * 17),
        pb.TranslateRequest(texts=[pb.Text(text="The dog. " * 2_000)]),
        pb.TranslateRequest(),
    ],
)
async def test_what_takes_longer_to_judge_comes_to_the_event_loop(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, message: pb.TranslateRequest
) -> None:
    """As does what would not be refused: a higher priority than that which waits."""
    served = await serve(max_text_bytes=100_000)
    served.lanes.waits_s[Priority.NORMAL] = 60.0
    async with grpc.aio.insecure_channel(served.target) as channel:
        stub = pb_grpc.TranslationServiceStub(channel)
        assert await ended(stub.Translate(DOG, timeout=5))
        seen = Seen(served, monkeypatch)
        await ended(stub.Translate(message, timeout=5))
        assert seen.number == 1
        raw = channel.unary_unary("/dragoman.v1.TranslationService/Translate")
        error = await ended(raw(b"\xff", timeout=5))
        assert error is not None
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_who_may_not_call_is_told_that(serve: Serve, tmp_path: Path) -> None:
    """And who may is told the truth, by the priority that it has at most."""
    digests = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("a", "b", "c")}
    (tmp_path / "tokens").write_text(
        f'[a]\nsha256 = "{digests["a"]}"\n[b]\nsha256 = "{digests["b"]}"\nmodels = ["other"]\n'
        f'[c]\nsha256 = "{digests["c"]}"\nmax_priority = "batch"\n'
    )
    served = await serve(tokens=str(tmp_path / "tokens"))
    served.lanes.waits_s[Priority.NORMAL] = served.lanes.waits_s[Priority.BATCH] = 60.0

    async with grpc.aio.insecure_channel(served.target) as channel:
        stub = pb_grpc.TranslationServiceStub(channel)

        async def outcome(token: str) -> str:
            error = await ended(stub.Translate(DOG, timeout=5, metadata=(("authorization", f"Bearer {token}"),)))
            assert error is not None
            return error.code().name

        assert await outcome("a") == "DEADLINE_EXCEEDED"
        assert [await outcome(token) for token in ("a", "b", "c", "d")] == [
            "DEADLINE_EXCEEDED",
            "NOT_FOUND",
            "DEADLINE_EXCEEDED",
            "UNAUTHENTICATED",
        ]
        served.lanes.waits_s.pop(Priority.NORMAL)
        assert await outcome("c") == "DEADLINE_EXCEEDED"

    def calls(caller: str) -> float:
        return float(served.value("dragoman_caller_calls_total", caller=caller, grpc_code="DEADLINE_EXCEEDED"))

    await counted()
    assert (calls("a"), calls("c")) == (2, 2)


async def test_who_comes_when_it_is_over_is_served(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gate knows what waits as the event loop does, and looks at nothing after a while."""
    served = await serve()
    served.lanes.waits_s[Priority.NORMAL] = 60.0
    async with grpc.aio.insecure_channel(served.target) as channel:
        stub = pb_grpc.TranslationServiceStub(channel)
        for _ in range(2):
            assert await ended(stub.Translate(DOG, timeout=5))
        served.lanes.waits_s.clear()
        assert await ended(stub.Translate(DOG, timeout=5)) is None
        monkeypatch.setattr(gate, "PRESSED_S", 0.0)
        served.lanes.waits_s[Priority.NORMAL] = 60.0
        seen = Seen(served, monkeypatch)
        for _ in range(3):
            assert await ended(stub.Translate(DOG, timeout=5))
        assert seen.number >= 2


async def test_what_is_under_way_counts_where_lanes_know_nothing_of_it(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls that come faster than they are answered are refused before they are too late, whatever is slow."""
    served = await serve()
    monkeypatch.setattr(gate, "CALM_S", 0.0)
    async with grpc.aio.insecure_channel(served.target, options=[("grpc.enable_retries", 0)]) as channel:
        stub = pb_grpc.TranslationServiceStub(channel)
        for _ in range(3):
            assert await ended(stub.Translate(DOG)) is None
        served.lanes.hold()
        held = [asyncio.ensure_future(stub.Translate(DOG)) for _ in range(60)]
        await asyncio.to_thread(served.lanes.wait_until, 60)
        error = await ended(stub.Translate(DOG, timeout=0.02))
        assert error is not None
        endless = asyncio.ensure_future(stub.Translate(DOG))
        await asyncio.to_thread(served.lanes.wait_until, 61)
        served.lanes.release()
        await asyncio.gather(*held, endless)

    await counted()
    assert refusals(served, "unmeetable") + refusals(served, "deadline") == 1


async def test_nothing_is_read_of_calls_while_the_server_is_short_of_something(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that cost something are refused as they come, a pipe too; whoever asks what is served is told."""
    served = await serve()
    monkeypatch.setattr(served.app._server._core._gate, "_refusal", lambda: Shed("memory", "the server is short"))
    async with grpc.aio.insecure_channel(served.target, options=[("grpc.enable_retries", 0)]) as channel:
        stub = pb_grpc.TranslationServiceStub(channel)
        pipe = stub.TranslatePipe()
        calls = [stub.Translate(DOG), stub.Score(pb.ScoreRequest()), pipe.read()]
        for call in calls:
            error = await ended(call)
            assert error is not None
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert dict(error.trailing_metadata() or ())["grpc-retry-pushback-ms"] == "1000"
        assert len((await stub.ListModels(pb.ListModelsRequest())).models) == 1
    await counted()
    assert served.value("dragoman_requests_total", model="none", outcome="overloaded") == 3

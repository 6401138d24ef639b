"""The server over a real loopback connection, with lanes that need no model."""

from __future__ import annotations

import asyncio
import http.client
import itertools
import os
import socket
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from dragoman.bundle.manifest import Decoding, Nat
from dragoman.bundle.reader import Bundle
from dragoman.client import AsyncClient, Options
from dragoman.server.core.errors import EngineFailure, StartError
from dragoman.server.core.segments import Priority
from dragoman.server.core.strategies import Engine
from dragoman.server.decode.strategies.speculative import DRAFT_TOKENS
from dragoman.server.testing import write_bundle
from dragoman.server.transport.pipe import MAX_OPEN
from dragoman.v1 import translation_pb2 as pb
from dragoman.v1 import translation_pb2_grpc as pb_grpc

pytestmark = pytest.mark.asyncio(loop_scope="session")

Serve = Callable[..., Awaitable[Any]]
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE = "dragoman.v1.TranslationService"


@asynccontextmanager
async def stub_of(served: Any) -> AsyncIterator[Any]:
    async with grpc.aio.insecure_channel(served.target) as channel:
        yield pb_grpc.TranslationServiceStub(channel)


def texts(*given: str, **fields: Any) -> pb.TranslateRequest:
    return pb.TranslateRequest(texts=[pb.Text(text=text) for text in given], **fields)


def details(error: grpc.aio.AioRpcError) -> dict[str, Any]:
    """The details of a status by the name of their type."""
    trailing = dict(error.trailing_metadata() or ())
    status = status_pb2.Status.FromString(trailing["grpc-status-details-bin"])
    assert (status.code, status.message) == (error.code().value[0], error.details())
    found: dict[str, Any] = {}
    for packed in status.details:
        kind = getattr(error_details_pb2, packed.type_url.rpartition(".")[2])
        found[kind.__name__] = kind.FromString(packed.value)
    return found


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.001)


def handled(served: Any, method: str, code: str) -> float:
    """How many calls of a method ended with a code."""
    kind = {"TranslateStream": "server_stream", "TranslatePipe": "bidi_stream"}.get(method, "unary")
    labels = {"grpc_service": SERVICE, "grpc_method": method, "grpc_type": kind, "grpc_code": code}
    count: float = served.value("grpc_server_handled_total", **labels)
    return count


async def refused(call: Awaitable[Any]) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await call
    return failure.value


async def test_texts_are_translated(serve: Serve) -> None:
    """One result for each text in order, with the model's name and where the time went."""
    served = await serve()
    async with stub_of(served) as stub:
        answer = await stub.Translate(texts("The dog.\n\nThe fox.", "", request_id="mine"))

    assert [result.text for result in answer.results] == ["The dog.\n\nThe fox.", ""]
    assert [result.finish_reason for result in answer.results] == [pb.FINISH_REASON_STOP, pb.FINISH_REASON_EMPTY_INPUT]
    assert (answer.request_id, answer.model, len(answer.model_version)) == ("mine", "echo", 12)
    assert answer.timings.decode.ToMilliseconds() == 2
    assert answer.timings.total.ToNanoseconds() > 0


async def test_a_request_without_an_id_gets_one(serve: Serve) -> None:
    """From `x-request-id`, else a new one each time."""
    served = await serve()
    async with stub_of(served) as stub:
        named = await stub.Translate(texts("a"), metadata=(("x-request-id", "theirs"),))
        first, second = [await stub.Translate(texts("a")) for _ in range(2)]

    assert named.request_id == "theirs"
    assert len({"", first.request_id, second.request_id}) == 3


async def test_a_stream_sends_each_text_when_it_is_done(serve: Serve) -> None:
    """A text that needs no decoding does not wait for one that does; the last message has the timings."""
    served = await serve()
    served.lanes.hold()
    async with stub_of(served) as stub:
        stream = stub.TranslateStream(pb.TranslateStreamRequest(request=texts("The dog.", "")))
        messages = []
        async for message in stream:
            messages.append(message)
            served.lanes.release()

    assert [message.result.index for message in messages[:-1]] == [1, 0]
    assert [message.HasField("timings") for message in messages] == [False, False, True]
    assert {message.model for message in messages} == {"echo"}


BAD = {
    "no texts": (texts(), "INVALID_ARGUMENT", "texts"),
    # Their number is looked at first: looking at each would take long.
    "1,025 texts, the last one bad": (
        pb.TranslateRequest(texts=[*[pb.Text()] * 1024, pb.Text(context="x")]),
        "INVALID_ARGUMENT",
        "texts",
    ),
    "10,000 texts": (texts(*["a"] * 10_000), "INVALID_ARGUMENT", "texts"),
    "1 MB of one word": (texts("x" * 1_000_000), "INVALID_ARGUMENT", "texts[0].text"),
    "beam of 0": (texts("a", decoding=pb.DecodingOptions(beam_size=0)), "INVALID_ARGUMENT", "decoding.beam_size"),
    "beam of a billion": (texts("a", decoding={"beam_size": 10**9}), "INVALID_ARGUMENT", "decoding.beam_size"),
    "n-best over beam": (
        texts("a", decoding=pb.DecodingOptions(beam_size=2, num_hypotheses=3)),
        "INVALID_ARGUMENT",
        "decoding.num_hypotheses",
    ),
    "penalty of NaN": (
        texts("a", decoding=pb.DecodingOptions(length_penalty=float("nan"))),
        "INVALID_ARGUMENT",
        "decoding.length_penalty",
    ),
    "unknown enum value": (texts("a", splitting=77), "INVALID_ARGUMENT", "splitting"),
    "bad language tag": (texts("a", source_language="e n"), "INVALID_ARGUMENT", "source_language"),
    "long request id": (texts("a", request_id="x" * 129), "INVALID_ARGUMENT", "request_id"),
    "unknown pair": (texts("a", source_language="xx"), "NOT_FOUND", "source_language"),
    "unknown model": (texts("a", model="../../etc/passwd"), "NOT_FOUND", "model"),
    "unknown version": (texts("a", model="echo", model_version="2"), "NOT_FOUND", "model_version"),
    "no target": (texts("a", terms=[pb.Term(source="a")]), "INVALID_ARGUMENT", "terms[0].target"),
    "term twice": (texts("a", terms=[pb.Term(source="a", target="b")] * 2), "INVALID_ARGUMENT", "terms[1].source"),
    "unknown glossary": (texts("a", glossaries=["x"]), "INVALID_ARGUMENT", "glossaries[0]"),
    "tokens": (texts("a", format=pb.INPUT_FORMAT_TOKENS), "UNIMPLEMENTED", "format"),
    "context": (pb.TranslateRequest(texts=[{"text": "a", "context": "b"}]), "FAILED_PRECONDITION", "texts[0].context"),
    "no top-k": (texts("a", decoding={"sampling": {"top_k": 0}}), "INVALID_ARGUMENT", "decoding.sampling.top_k"),
    "two strategies": (
        texts("a", decoding={"sampling": {}, "alternatives": {"count": 2}}),
        "INVALID_ARGUMENT",
        "decoding.alternatives",
    ),
    "a token it lacks": (
        texts("a", decoding={"suppressed_tokens": ["▁", "no such"]}),
        "INVALID_ARGUMENT",
        "decoding.suppressed_tokens[1]",
    ),
    "a prefix of what is split": (
        pb.TranslateRequest(texts=[{"text": "The dog. The fox.", "target_prefix": "O"}]),
        "INVALID_ARGUMENT",
        "texts[0].target_prefix",
    ),
    "an engine it lacks": (texts("a", engine=pb.ENGINE_PREFERENCE_NAT), "FAILED_PRECONDITION", "engine"),
    "a profile of 1 MB": (texts("a", decoding={"profile": "é" * 500_000}), "INVALID_ARGUMENT", "decoding.profile"),
    "a shortlist it lacks": (texts("a", decoding={"shortlist": True}), "FAILED_PRECONDITION", "decoding.shortlist"),
}


@pytest.mark.parametrize("name", BAD)
async def test_bad_requests_are_refused_and_the_next_is_answered(serve: Serve, name: str) -> None:
    """Status, field and details say what was wrong; nothing stays behind."""
    request, code, field = BAD[name]
    served = await serve()
    async with stub_of(served) as stub:
        error = await refused(stub.Translate(request))
        answer = await stub.Translate(texts("The dog."))

    assert error.code().name == code
    assert field in (error.details() or "")
    found = details(error)
    assert found["BadRequest"].field_violations[0].field == field
    assert found["ErrorInfo"].domain == "dragoman"
    assert found["RequestInfo"].request_id
    assert answer.results[0].text == "The dog."
    assert served.lanes.waiting_segments == 0
    assert served.value("dragoman_admitted_tokens", model="echo") == 0


async def test_one_bad_text_does_not_lose_the_others(serve: Serve) -> None:
    """The call is OK, the bad text has its own status, and the call counts as partial."""
    served = await serve()
    async with stub_of(served) as stub:
        answer = await stub.Translate(texts("The dog.", "x" * 200_000, "The fox."))

    assert [result.text for result in answer.results] == ["The dog.", "", "The fox."]
    assert [result.status.code for result in answer.results] == [0, 3, 0]
    assert served.outcomes() == {"partial": 1}


async def test_a_call_of_texts_that_all_fail_is_answered(serve: Serve) -> None:
    """Each text has its own status; only the failure of a single text is the call's own."""
    served = await serve()
    served.lanes.failure = EngineFailure("node 7")
    async with stub_of(served) as stub:
        answer = await stub.Translate(texts("x" * 200_000, "The fox."))
        error = await refused(stub.Translate(texts("The fox.")))

    assert [result.status.code for result in answer.results] == [3, 13]
    assert error.code() is grpc.StatusCode.INTERNAL
    assert served.outcomes() == {"engine_error": 2}


async def test_a_message_over_the_limit_is_refused_by_the_transport(serve: Serve) -> None:
    """It never becomes a request, and the connection goes on."""
    served = await serve(max_request_bytes=2000)
    async with stub_of(served) as stub:
        error = await refused(stub.Translate(texts("x" * 3000)))
        answer = await stub.Translate(texts("The dog."))

    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert answer.results[0].text == "The dog."


def pairs(*given: tuple[str, str], **fields: Any) -> pb.ScoreRequest:
    return pb.ScoreRequest(pairs=[pb.ScorePair(source=source, target=target) for source, target in given], **fields)


METHODS = {"Translate": "unary", "TranslateStream": "stream", "TranslatePipe": "stream", "Score": "unary"}


@asynccontextmanager
async def raw_method(served: Any, name: str) -> AsyncIterator[Callable[..., Awaitable[None]]]:
    """Calls a method with any bytes for messages, as many as there are."""
    async with grpc.aio.insecure_channel(served.target) as channel:
        method: Any = getattr(channel, f"stream_{METHODS[name]}")(f"/{SERVICE}/{name}")

        async def call(*messages: bytes) -> None:
            answer = method(iter(messages), timeout=20)
            if METHODS[name] == "unary":
                await answer
            else:
                async for _ in answer:
                    pass

        yield call


@pytest.mark.parametrize("name", METHODS)
async def test_a_message_that_does_not_parse_is_invalid_and_counted(serve: Serve, name: str) -> None:
    """gRPC would answer UNKNOWN with the name of a class, and count nothing."""
    served = await serve()
    async with raw_method(served, name) as call:
        error = await refused(call(b"\xff\xff"))

    assert (error.code().name, error.details()) == (
        "INVALID_ARGUMENT",
        f"the message is not what /{SERVICE}/{name} takes",
    )
    assert details(error)["ErrorInfo"].reason == "INVALID"
    assert served.outcomes() == {"invalid": 1}
    await eventually(lambda: handled(served, name, "INVALID_ARGUMENT") == 1)


@pytest.mark.parametrize("name", sorted(set(METHODS) - {"TranslatePipe"}))
async def test_a_call_that_ends_without_a_message_is_answered(serve: Serve, name: str) -> None:
    """gRPC would leave it open until its deadline, if it has one. A pipe without messages is an empty pipe."""
    served = await serve()
    async with raw_method(served, name) as call:
        error = await refused(call())

    assert (error.code().name, error.details()) == ("INVALID_ARGUMENT", "the call has ended without a message")
    assert served.outcomes() == {"invalid": 1}
    await eventually(lambda: handled(served, name, "INVALID_ARGUMENT") == 1)


async def test_a_message_that_does_not_come_is_not_waited_for_for_ever(serve: Serve) -> None:
    """The call ends, whatever its own deadline is."""
    served = await serve(message_timeout_s=0.1)

    async def never() -> AsyncIterator[bytes]:
        await asyncio.sleep(60)
        yield b""

    async with grpc.aio.insecure_channel(served.target) as channel:
        method: Any = channel.stream_unary(f"/{SERVICE}/Translate")
        error = await refused(method(never()))

    assert error.code().name == "DEADLINE_EXCEEDED"
    assert "within 0.1 s" in (error.details() or "")
    assert served.outcomes() == {"deadline": 1}


async def test_many_hundreds_of_calls_at_once_are_all_answered(serve: Serve) -> None:
    """Over one connection or several: gRPC's own limits, which cancel without a word, lie above the server's."""
    served = await serve()
    async with stub_of(served) as one, stub_of(served) as other:
        answers = await asyncio.gather(*((one, other)[n % 2].Translate(texts("a")) for n in range(1_000)))

    assert {answer.results[0].text for answer in answers} == {"a"}
    assert served.outcomes() == {"ok": 1_000}


async def test_an_overload_refuses_requests_and_says_when_to_come_back(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Health and the list of models are still to be had, and what is under way goes on."""
    share = [0.0]
    monkeypatch.setattr("dragoman.server.telemetry.resources.memory_share", lambda: share[0])
    served = await serve()
    served.lanes.hold()
    async with stub_of(served) as stub, grpc.aio.insecure_channel(served.target) as channel:
        before = asyncio.ensure_future(stub.Translate(texts("a")))
        await eventually(lambda: served.value("dragoman_requests_started_total") == 1)
        share[0] = 0.95
        await eventually(lambda: served.value("dragoman_overload", resource="memory") == 1)
        served.lanes.release()

        error = await refused(stub.Translate(texts("a")))
        models = await stub.ListModels(pb.ListModelsRequest())
        health = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        await before

    assert error.code().name == "RESOURCE_EXHAUSTED"
    assert details(error)["RetryInfo"].retry_delay.ToMilliseconds() == 1000
    assert served.value("dragoman_shed_total", resource="memory") == 1
    assert served.outcomes() == {"ok": 1, "overloaded": 1}
    assert (len(models.models), health.status) == (1, SERVING)


async def test_a_call_for_which_memory_was_short_may_come_back(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no defect."""
    served = await serve()

    async def too_large(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("dragoman.server.pipeline.pipeline.Pipeline.translate", too_large)
    async with stub_of(served) as stub:
        error = await refused(stub.Translate(texts("a")))

    assert error.code().name == "RESOURCE_EXHAUSTED"
    assert "RetryInfo" in details(error)
    assert served.outcomes() == {"overloaded": 1}


async def test_pairs_are_scored(serve: Serve) -> None:
    """One result for each pair in order, with its tokens where they are asked for, and the call is counted."""
    served = await serve()
    async with stub_of(served) as stub:
        answer = await stub.Score(pairs(("The dog.", "O cão."), ("The fox.", ""), request_id="mine"))
        detailed = await stub.Score(pairs(("The dog.", ""), token_scores=True, length_penalty=0.0))

    first, second = answer.results
    assert (first.index, second.index, second.target_tokens) == (0, 1, 1)
    assert first.log_probability == -first.target_tokens < -1  # the fake's tokens cost 1 each
    assert (first.score, len(first.tokens)) == (-1.0, 0)
    assert [(one.token, one.log_probability) for one in detailed.results[0].tokens] == [("</s>", -1.0)]
    assert (answer.request_id, answer.model, len(answer.model_version)) == ("mine", "echo", 12)
    assert answer.timings.decode.ToMilliseconds() == 2
    assert served.outcomes() == {"ok": 2}
    assert served.value("dragoman_texts_total", model="echo", outcome="ok") == 3
    labels = {"grpc_type": "unary", "grpc_service": SERVICE, "grpc_method": "Score"}
    assert served.value("grpc_server_handled_total", grpc_code="OK", **labels) == 2


async def test_one_bad_pair_does_not_lose_the_others(serve: Serve) -> None:
    """It has its own status and the call counts as partial; alone, it fails the call."""
    served = await serve()
    async with stub_of(served) as stub:
        answer = await stub.Score(pairs(("The dog.", "a"), ("", "a"), ("The fox.", "x" * 1000)))
        error = await refused(stub.Score(pairs(("", "a"))))

    assert [result.status.code for result in answer.results] == [0, 3, 3]
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert details(error)["BadRequest"].field_violations[0].field == "pairs[0].source"
    assert served.outcomes() == {"partial": 1, "invalid": 1}


BAD_PAIRS = {
    "no pairs": (pairs(), "INVALID_ARGUMENT", "pairs"),
    "1,025 pairs": (pairs(*[("a", "b")] * 1025), "INVALID_ARGUMENT", "pairs"),
    "penalty of NaN": (pairs(("a", "b"), length_penalty=float("nan")), "INVALID_ARGUMENT", "length_penalty"),
    "penalty of 11": (pairs(("a", "b"), length_penalty=11.0), "INVALID_ARGUMENT", "length_penalty"),
    "unknown pair": (pairs(("a", "b"), target_language="xx"), "NOT_FOUND", "target_language"),
    "unknown priority": (pairs(("a", "b"), priority=9), "INVALID_ARGUMENT", "priority"),
    "long request id": (pairs(("a", "b"), request_id="x" * 129), "INVALID_ARGUMENT", "request_id"),
}


@pytest.mark.parametrize("name", BAD_PAIRS)
async def test_bad_requests_to_score_are_refused(serve: Serve, name: str) -> None:
    """Status, field and details say what was wrong; nothing stays behind."""
    request, code, field = BAD_PAIRS[name]
    served = await serve()
    async with stub_of(served) as stub:
        error = await refused(stub.Score(request))

    assert error.code().name == code
    assert details(error)["BadRequest"].field_violations[0].field == field
    assert served.value("dragoman_admitted_tokens", model="echo") == 0


async def test_a_request_that_cannot_be_in_time_is_refused_at_once(serve: Serve) -> None:
    """With both times, and no pause to try again after: gRPC's own retries would wait in vain."""
    served = await serve()
    served.lanes.waits_s[Priority.NORMAL] = 500.0
    async with stub_of(served) as stub:
        errors = [
            await refused(stub.Translate(texts("The dog."), timeout=100)),
            await refused(stub.Score(pairs(("The dog.", "a")), timeout=100)),
        ]
        answer = await stub.Translate(texts("The dog.", priority=pb.PRIORITY_INTERACTIVE), timeout=100)

    for error in errors:
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert "would wait for about 500 s and its deadline is in" in (error.details() or "")
        assert "grpc-retry-pushback-ms" not in dict(error.trailing_metadata() or ())
    assert answer.results[0].text == "The dog."
    assert served.outcomes() == {"unmeetable": 2, "ok": 1}


async def test_a_sample_without_a_seed_is_another_one_each_time(serve: Serve) -> None:
    """With a seed it is the same."""
    served = await serve()

    async def seeds(**sampling: Any) -> set[int]:
        before = len(served.lanes.submitted)
        async with stub_of(served) as stub:
            for _ in range(3):
                await stub.Translate(texts("The dog.", decoding={"sampling": sampling}))
        return {segment.strategy.seed for segment in served.lanes.submitted[before:]}

    assert len(await seeds()) == 3
    assert await seeds(seed=7) == {7}


def piped(*given: str, settings: pb.TranslateRequest | None = None) -> pb.TranslatePipeRequest:
    return pb.TranslatePipeRequest(settings=settings, texts=texts(*given).texts)


async def test_a_pipe_answers_everything_that_comes(serve: Serve) -> None:
    """Hundreds of messages through a backlog that holds few: none is turned away, and each text has its index."""
    served = await serve(backlog_tokens=40)
    messages = [piped(settings=pb.TranslateRequest(request_id="p", model="echo"))]
    messages += [piped(f"a {n}", f"b {n}") for n in range(200)]
    async with stub_of(served) as stub:
        answers = [answer async for answer in stub.TranslatePipe(iter(messages))]

    results = sorted((result.index, result.text) for answer in answers for result in answer.results)
    assert results == [(2 * n + i, f"{'ab'[i]} {n}") for n in range(200) for i in range(2)]
    assert {(answer.request_id, answer.model) for answer in answers} == {("p", "echo")}
    assert served.outcomes() == {"ok": 200}


async def test_texts_of_a_pipe_may_be_written_as_it_goes(serve: Serve) -> None:
    """Their results come in order and only add to what was said; a text behind one that is whole is another."""
    served = await serve()
    live = pb.TranslateRequest(live=pb.Live(wait=2))
    messages = [
        piped(settings=live),
        piped("The "),
        piped("The dog "),
        piped("The dog barks. It "),
        piped("The dog barks. It is"),
    ]
    messages[-1].is_whole = True
    messages += [piped("A b c "), pb.TranslatePipeRequest(texts=texts("A b c").texts, is_whole=True)]
    async with stub_of(served) as stub:
        answers = [answer async for answer in stub.TranslatePipe(iter(messages))]

    results = [(result.index, result.text) for answer in answers for result in answer.results]
    assert [index for index, _ in results] == [0, 0, 0, 0, 1, 1]
    assert [text for _, text in results[:2]] == ["", "The"]
    for (index, before), (other, after) in itertools.pairwise(results):
        assert after.startswith(before) or index != other
    assert results[3][1].endswith("It is")
    assert results[5][1].endswith("A b c")


async def test_texts_of_other_calls_are_whole(serve: Serve) -> None:
    """And what a text that is being written has no room for ends its pipe when the settings come."""
    served = await serve()
    live = pb.TranslateRequest(live=pb.Live(wait=0))
    async with stub_of(served) as stub:
        request = texts("The dog.")
        request.live.wait = 1
        assert "live" in str(await refused(stub.Translate(request)))
        assert "live.wait" in str(await refused(stub.TranslatePipe(iter([piped(settings=live)])).read()))


async def test_a_pipe_is_not_read_further_than_it_is_answered(serve: Serve) -> None:
    """A client that sends faster than the server translates is held back."""
    served = await serve()
    served.lanes.hold()
    async with stub_of(served) as stub:
        messages = [piped(f"text {n}", settings=pb.TranslateRequest()) for n in range(100)]
        pipe = stub.TranslatePipe(iter(messages))
        await eventually(lambda: served.lanes.waiting_segments == MAX_OPEN)
        for _ in range(20):
            await stub.ListModels(pb.ListModelsRequest())
        waiting = served.lanes.waiting_segments
        served.lanes.release()
        answers = [answer async for answer in pipe]

    assert (waiting, len(answers)) == (MAX_OPEN, 100)


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (piped("x", settings=pb.TranslateRequest(model="nope")), "model"),
        (piped("x", settings=texts("y")), "settings.texts"),
        (piped("x", settings=pb.TranslateRequest(format=pb.INPUT_FORMAT_TOKENS)), "format"),
    ],
)
async def test_a_bad_message_ends_a_pipe_after_what_came_before(
    serve: Serve, bad: pb.TranslatePipeRequest, field: str
) -> None:
    """Nothing that was read is lost."""
    served = await serve()
    async with stub_of(served) as stub:
        pipe = stub.TranslatePipe(iter([piped("The dog.", settings=pb.TranslateRequest()), bad]))
        answer = await pipe.read()
        error = await refused(pipe.read())

    assert answer.results[0].text == "The dog."
    assert details(error)["BadRequest"].field_violations[0].field == field


@pytest.mark.parametrize(
    ("settings", "field", "outcome"),
    [
        (pb.TranslateRequest(format=pb.INPUT_FORMAT_TOKENS), "format", "unsupported"),
        (pb.TranslateRequest(model="nope"), "model", "not_found"),
        (pb.TranslateRequest(decoding=pb.DecodingOptions(beam_size=99)), "decoding.beam_size", "invalid"),
        (
            pb.TranslateRequest(decoding=pb.DecodingOptions(suppressed_tokens=["no such"])),
            "decoding.suppressed_tokens[0]",
            "invalid",
        ),
        (texts("y"), "settings.texts", "invalid"),
    ],
)
async def test_settings_without_texts_are_checked_at_once(
    serve: Serve, settings: pb.TranslateRequest, field: str, outcome: str
) -> None:
    """Not when the first text comes; the refusal is counted, good settings are no request."""
    served = await serve()
    async with stub_of(served) as stub:
        pipe = stub.TranslatePipe()
        await pipe.write(piped(settings=pb.TranslateRequest()))
        await pipe.write(piped(settings=settings))
        async with asyncio.timeout(10):
            error = await refused(pipe.read())

    assert details(error)["BadRequest"].field_violations[0].field == field
    assert served.outcomes() == {outcome: 1}


async def test_a_pipe_without_settings_is_invalid(serve: Serve) -> None:
    """The first message must have them."""
    served = await serve()
    async with stub_of(served) as stub:
        error = await refused(stub.TranslatePipe(iter([piped("x")])).read())

    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_client_that_leaves_a_pipe_takes_its_segments_with_it(serve: Serve) -> None:
    """As with any other call."""
    served = await serve()
    served.lanes.hold()
    async with stub_of(served) as stub:
        pipe = stub.TranslatePipe(iter([piped("The dog. The fox.", settings=pb.TranslateRequest())]))
        await eventually(lambda: served.lanes.waiting_segments == 2)
        pipe.cancel()
        await eventually(lambda: served.outcomes() == {"cancelled": 1})

    assert served.lanes.waiting_segments == 0
    assert served.value("dragoman_admitted_tokens", model="echo") == 0


async def test_an_idle_pipe_does_not_hold_up_a_stop(serve: Serve) -> None:
    """Only requests in flight get the grace."""
    served = await serve(drain_grace_s=1000.0)
    async with stub_of(served) as stub:
        pipe = stub.TranslatePipe()
        await pipe.write(piped("The dog.", settings=pb.TranslateRequest()))
        answer = await pipe.read()
        async with asyncio.timeout(4):
            await served.app.stop()

    assert answer.results[0].text == "The dog."


async def test_overload_tells_when_to_come_back(serve: Serve) -> None:
    """The predicted wait comes as RetryInfo and as the header that gRPC's own retries obey."""
    served = await serve(backlog_tokens=20)
    served.lanes.hold()
    served.lanes.waits_s[Priority.NORMAL] = 0.75
    async with stub_of(served) as stub:
        first = stub.Translate(texts("The quick brown fox jumps."))
        await eventually(lambda: served.lanes.waiting_segments == 1)
        error = await refused(stub.Translate(texts("The quick brown fox jumps over the lazy dog.")))
        served.lanes.release()
        await first

    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert details(error)["RetryInfo"].retry_delay.ToMilliseconds() == 750
    assert dict(error.trailing_metadata() or ())["grpc-retry-pushback-ms"] == "750"
    assert served.outcomes() == {"ok": 1, "overloaded": 1}


@pytest.mark.parametrize("method", ["Translate", "TranslateStream"])
async def test_a_client_that_leaves_takes_its_segments_with_it(serve: Serve, method: str) -> None:
    """Cancelling on the client empties the lanes and gives the room back."""
    served = await serve()
    served.lanes.hold()
    request = texts("The dog. The fox.")
    async with stub_of(served) as stub:
        if method == "Translate":
            call = stub.Translate(request)
        else:
            call = stub.TranslateStream(pb.TranslateStreamRequest(request=request))
        await eventually(lambda: served.lanes.waiting_segments == 2)
        call.cancel()
        await eventually(lambda: served.lanes.waiting_segments == 0)
        await eventually(lambda: served.outcomes() == {"cancelled": 1})

    assert served.lanes.cancelled == 2
    assert served.value("dragoman_admitted_tokens", model="echo") == 0


async def test_a_deadline_ends_a_request(serve: Serve) -> None:
    """The client gets DEADLINE_EXCEEDED, the lanes are empty, and it is not counted as a cancellation."""
    served = await serve()
    served.lanes.hold()
    async with stub_of(served) as stub:
        await stub.ListModels(pb.ListModelsRequest())  # connecting takes no part of the time
        error = await refused(stub.Translate(texts("The dog."), timeout=0.2))
        await eventually(lambda: served.outcomes() == {"deadline": 1})

    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert served.lanes.waiting_segments == 0
    labels = {"grpc_type": "unary", "grpc_service": SERVICE, "grpc_method": "Translate"}
    await eventually(lambda: served.value("grpc_server_handled_total", grpc_code="DEADLINE_EXCEEDED", **labels) == 1)
    assert served.value("grpc_server_handled_total", grpc_code="CANCELLED", **labels) == 0


async def test_an_rpc_that_the_client_leaves_is_cancelled(serve: Serve) -> None:
    """With a deadline far away it is no late one."""
    served = await serve()
    served.lanes.hold()
    labels = {"grpc_type": "unary", "grpc_service": SERVICE, "grpc_method": "Translate"}
    async with stub_of(served) as stub:
        call = stub.Translate(texts("The dog."), timeout=1000)
        await eventually(lambda: served.lanes.waiting_segments == 1)
        call.cancel()
        await eventually(lambda: served.value("grpc_server_handled_total", grpc_code="CANCELLED", **labels) == 1)

    assert served.value("grpc_server_handled_total", grpc_code="DEADLINE_EXCEEDED", **labels) == 0


@pytest.mark.parametrize("failure", [EngineFailure("/models/secret.onnx: node 7"), KeyError("/models/secret.onnx")])
async def test_nothing_internal_reaches_the_client(
    serve: Serve, caplog: pytest.LogCaptureFixture, failure: Exception
) -> None:
    """A failing engine is INTERNAL without a path; the log has the detail under the request's id."""
    served = await serve()
    served.lanes.failure = failure
    async with stub_of(served) as stub:
        error = await refused(stub.Translate(texts("The dog.", request_id="r1")))

    assert error.code() is grpc.StatusCode.INTERNAL
    everything = f"{error.details()}{error.trailing_metadata()}"
    assert "secret" not in everything
    assert "KeyError" not in everything
    assert any(
        record.getMessage() == "engine_failure" and record.fields["id"] == "r1"  # type: ignore[attr-defined]
        for record in caplog.records
    )
    assert served.outcomes() == {"engine_error": 1}


async def test_a_defect_is_internal_with_an_opaque_id(
    serve: Serve, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception that nobody expected says nothing but an id, which the log has too; the text is in neither."""
    served = await serve()

    def broken(*_: object) -> None:
        raise ZeroDivisionError("user text: confidential")

    monkeypatch.setattr(served.app.models, "route", broken)
    async with stub_of(served) as stub:
        error = await refused(stub.Translate(texts("confidential")))

    message = error.details() or ""
    [record] = [record for record in caplog.records if record.getMessage() == "internal_error"]
    assert error.code() is grpc.StatusCode.INTERNAL
    assert record.fields["error_id"] in message  # type: ignore[attr-defined]
    assert "ZeroDivisionError" not in message
    assert "confidential" not in f"{message}{error.trailing_metadata()}"
    assert served.outcomes() == {"internal": 1}


async def test_every_request_is_counted_once(serve: Serve) -> None:
    """Over a mixed run with faults, the outcomes add up to the requests that were started."""
    served = await serve(backlog_tokens=100)
    async with stub_of(served) as stub:
        calls = [
            stub.Translate(texts(*["The dog."] * (n % 4), decoding={"beam_size": n % 3}), timeout=5) for n in range(60)
        ]
        calls[7].cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await eventually(lambda: sum(served.outcomes().values()) == served.value("dragoman_requests_started_total"))

    outcomes = served.outcomes()
    assert outcomes.keys() >= {"ok", "invalid"}
    assert served.value("dragoman_admitted_tokens", model="echo") == 0
    assert served.value("dragoman_running_segments", model="echo") == 0


async def test_unknown_methods_make_no_series(serve: Serve) -> None:
    """Whatever is called, the number of series stays."""
    served = await serve()

    def series() -> int:
        return sum(len(metric.samples) for metric in served.app.registry.collect())

    before = series()
    async with grpc.aio.insecure_channel(served.target) as channel:
        for n in range(20):
            call: Any = channel.unary_unary(f"/made.up.Service{n}/Method{n}")
            assert (await refused(call(b""))).code() is grpc.StatusCode.UNIMPLEMENTED
        stub: Any = pb_grpc.TranslationServiceStub(channel)
        for n in range(20):
            await refused(stub.Translate(texts("a", model=f"model{n}")))

    assert series() == before
    labels = {"grpc_type": "unary", "grpc_service": "_other", "grpc_method": "_other"}
    assert served.value("grpc_server_handled_total", grpc_code="UNIMPLEMENTED", **labels) == 20
    assert served.outcomes() == {"not_found": 20}


async def test_models_are_listed_and_described(serve: Serve, bundle: Bundle, tmp_path: Path) -> None:
    """By name, by pair, and with the limits that hold."""
    other = write_bundle(tmp_path / "other", name="other", pairs=("de-en",))
    served = await serve(bundle.directory, other.directory, max_beam_size=5)
    async with stub_of(served) as stub:
        every = await stub.ListModels(pb.ListModelsRequest())
        german = await stub.ListModels(pb.ListModelsRequest(source_language="de"))
        one = await stub.GetModel(pb.GetModelRequest(name="echo"))
        error = await refused(stub.GetModel(pb.GetModelRequest(name="nope")))
        ambiguous = await refused(stub.Translate(texts("a")))

    assert [model.name for model in every.models] == ["echo", "other"]
    assert [model.name for model in german.models] == ["other"]
    assert (one.model.limits.max_beam_size, one.model.limits.max_source_tokens) == (5, 32)
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert "served are echo, other" in (error.details() or "")
    assert ambiguous.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_multilingual_model_is_told_the_languages_of_the_request(serve: Serve, many: Bundle) -> None:
    """It lists languages where others list pairs, and both of a request's tags reach the lanes."""
    served = await serve(many.directory)
    async with stub_of(served) as stub:
        [model] = (await stub.ListModels(pb.ListModelsRequest(source_language="pt"))).models
        answer = await stub.Translate(texts("The dog.", source_language="pt-BR", target_language="zh-Hant"))
        error = await refused(stub.Translate(texts("a", model="many", source_language="pt")))

    assert (list(model.source_languages), list(model.target_languages)) == (["en", "pt", "zh-Hant"],) * 2
    assert not model.language_pairs
    assert [result.text for result in answer.results] == ["The dog."]
    assert [(one.ids[:3], one.prefix) for one in served.lanes.submitted] == [((391, 5, 392), (392,))]
    assert "several would do: many (pt-en), many (pt-zh-Hant)" in (error.details() or "")


async def test_health_and_reflection(serve: Serve) -> None:
    """Server, service and each model are SERVING; an unknown name is NOT_FOUND; reflection lists the service."""
    served = await serve()
    async with grpc.aio.insecure_channel(served.target) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        for name in ("", SERVICE, "model/echo", "liveness"):
            assert (await stub.Check(health_pb2.HealthCheckRequest(service=name))).status == SERVING
        error = await refused(stub.Check(health_pb2.HealthCheckRequest(service="model/nope")))
        reflection: Any = reflection_pb2_grpc.ServerReflectionStub(channel)  # type: ignore[arg-type]
        asked = reflection_pb2.ServerReflectionRequest(list_services="")
        listed = await reflection.ServerReflectionInfo(iter([asked])).read()

    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert SERVICE in {one.name for one in listed.list_services_response.service}


def page_of(served: Any, path: str) -> tuple[int, str]:
    """Status and content over HTTP."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{served.app.metrics_port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


async def test_metrics_and_healthz_over_http(serve: Serve) -> None:
    """What Prometheus and a probe read."""
    served = await serve()

    status, page = await asyncio.to_thread(page_of, served, "/metrics?x=1")

    assert status == 200
    assert 'dragoman_model_info{bundle_digest="' in page
    assert "dragoman_ready 1.0" in page
    assert "process_resident_memory_bytes" in page
    assert await asyncio.to_thread(page_of, served, "/healthz") == (200, "ready\n")
    assert await asyncio.to_thread(page_of, served, "/livez") == (200, "live\n")
    assert (await asyncio.to_thread(page_of, served, "/etc/passwd"))[0] == 404


async def test_a_lane_that_stands_still_ends_liveness_while_the_process_answers(serve: Serve) -> None:
    """Within the configured time, in gRPC, in HTTP and in the metrics; and all is well when it moves again."""
    served = await serve(stall_seconds=3)
    async with grpc.aio.insecure_channel(served.target) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        stub: Any = pb_grpc.TranslationServiceStub(channel)
        watch = health.Watch(health_pb2.HealthCheckRequest(service="liveness"))
        seen = [(await watch.read()).status]
        served.lanes.pulses[0].beat(time.monotonic() - 3, is_busy=True)
        async with asyncio.timeout(2.7):  # the end would come at 3, and be that of the tests
            seen.append((await watch.read()).status)
        models = await stub.ListModels(pb.ListModelsRequest())
        statuses = [
            (await health.Check(health_pb2.HealthCheckRequest(service=name))).status for name in ("", "model/echo")
        ]
        pages = [await asyncio.to_thread(page_of, served, path) for path in ("/livez", "/healthz")]
        counted = served.value("dragoman_lane_failures_total", model="echo", reason="hang")
        served.lanes.pulses[0].beat(time.monotonic(), is_busy=False)
        recovered = (await watch.read()).status

    assert (seen, recovered) == ([SERVING, NOT_SERVING], SERVING)
    assert [one.name for one in models.models] == ["echo"]
    assert statuses == [NOT_SERVING, NOT_SERVING]
    assert pages == [(503, "not live\n"), (503, "not ready\n")]
    assert (counted, served.value("dragoman_ready")) == (1, 1)


async def test_messages_are_counted_both_ways(serve: Serve) -> None:
    """One for a unary call; each message of a stream."""
    served = await serve()
    async with stub_of(served) as stub:
        await stub.Translate(texts("The dog."))
        _ = [one async for one in stub.TranslateStream(pb.TranslateStreamRequest(request=texts("The dog.", "A.")))]
        parts = [pb.TranslatePipeRequest(settings=texts()), *[pb.TranslatePipeRequest(texts=texts("A.").texts)] * 3]
        _ = [one async for one in stub.TranslatePipe(iter(parts))]

    counted = {
        method: [
            served.value(f"grpc_server_msg_{way}_total", grpc_type=kind, grpc_service=SERVICE, grpc_method=method)
            for way in ("received", "sent")
        ]
        for method, kind in (
            ("Translate", "unary"),
            ("TranslateStream", "server_stream"),
            ("TranslatePipe", "bidi_stream"),
        )
    }
    assert counted == {"Translate": [1, 1], "TranslateStream": [1, 3], "TranslatePipe": [4, 3]}


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/livez", "/nowhere"])
async def test_a_head_request_gets_the_header_of_a_get(serve: Serve, path: str) -> None:
    """The same status and type, and no content."""
    served = await serve()

    def asked(method: str) -> tuple[int, str | None, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", served.app.metrics_port, timeout=5)
        with closing(connection):
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.getheader("Content-Type"), answer.read()

    head, get = await asyncio.to_thread(asked, "HEAD"), await asyncio.to_thread(asked, "GET")

    assert head == (*get[:2], b"")
    assert get[2]


async def test_draining_finishes_what_runs_and_refuses_what_comes(serve: Serve) -> None:
    """Health goes first, what is in flight is answered, what is new is refused, and a watcher holds nothing up."""
    served = await serve()
    served.lanes.hold()
    async with grpc.aio.insecure_channel(served.target) as channel:
        stub: Any = pb_grpc.TranslationServiceStub(channel)
        health: Any = health_pb2_grpc.HealthStub(channel)
        watch = health.Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == SERVING
        live = health_pb2.HealthCheckRequest(service="liveness")
        running = stub.Translate(texts("The dog."))
        await eventually(lambda: served.lanes.waiting_segments == 1)

        stop = asyncio.create_task(served.app.stop())
        assert (await watch.read()).status == NOT_SERVING
        error = await refused(stub.Translate(texts("The fox.")))
        assert served.value("dragoman_draining") == 1
        assert (await health.Check(live)).status == SERVING  # else it would be killed in the middle of it
        served.lanes.release()
        answer = await running
        async with asyncio.timeout(4):
            await stop

    assert answer.results[0].text == "The dog."
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert dict(error.trailing_metadata() or ())["grpc-retry-pushback-ms"] == "1"
    assert served.outcomes() == {"ok": 1, "draining": 1}


async def test_a_pipe_is_told_of_a_failure_though_it_sends_no_more(serve: Serve) -> None:
    """What was read before is answered first; a client that only listens does not wait for ever."""
    served = await serve()
    async with stub_of(served) as stub:
        pipe = stub.TranslatePipe()
        await pipe.write(pb.TranslatePipeRequest(settings=pb.TranslateRequest(), texts=[pb.Text(text="The dog.")]))
        assert (await pipe.read()).results[0].text == "The dog."
        served.app.service.draining = True
        await pipe.write(pb.TranslatePipeRequest(texts=[pb.Text(text="The fox.")]))
        async with asyncio.timeout(5):
            error = await refused(pipe.read())
        served.app.service.draining = False

    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert dict(error.trailing_metadata() or ())["grpc-retry-pushback-ms"] == "1"


async def test_retries_outlast_the_moment_in_which_a_server_stops(serve: Serve) -> None:
    """A call that is sent away is made again at once, and then after longer and longer pauses: a tenth of a second."""
    served = await serve()
    served.app.service.draining = True
    started_s = time.monotonic()
    async with AsyncClient(served.target) as client:
        call = asyncio.create_task(client.translate("The dog.", Options("en", "pt"), timeout_s=5))
        await eventually(lambda: handled(served, "Translate", "UNAVAILABLE") == 3)
        served.app.service.draining = False
        answer = await call

    assert answer.text == "The dog."
    assert time.monotonic() - started_s >= 0.12


async def test_draining_gives_up_after_the_grace(serve: Serve) -> None:
    """What is not finished by then is cancelled, and the lanes are still closed in order."""
    served = await serve(drain_grace_s=0.05)
    served.lanes.hold()
    async with stub_of(served) as stub:
        call = stub.Translate(texts("The dog."))
        await eventually(lambda: served.lanes.waiting_segments == 1)
        async with asyncio.timeout(4):
            await served.app.stop()
        error = await refused(call)

    assert error.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
    assert served.lanes.waiting_segments == 0
    assert sum(served.outcomes().values()) == 1


@pytest.mark.parametrize("option", ["listen", "metrics_listen"])
async def test_a_port_in_use_is_a_clear_error(serve: Serve, option: str) -> None:
    """The message names the option and the address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(StartError, match=rf"--{option.replace('_', '-')} {address}: cannot listen there"):
            await serve(**{option: address})


@pytest.mark.parametrize("option", ["listen", "metrics_listen"])
async def test_a_host_that_does_not_exist_is_called_so(serve: Serve, option: str) -> None:
    """Nobody should look for what holds the port."""
    with pytest.raises(StartError, match=r"listen no\.such\.invalid:0: .* no\.such\.invalid cannot be resolved"):
        await serve(**{option: "no.such.invalid:0"}, plaintext="any")


async def test_every_bad_bundle_is_named_at_the_start(serve: Serve, tmp_path: Path) -> None:
    """All of them in one error; none at all is an error too."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(StartError) as refused_start:
        await serve(tmp_path / "missing", tmp_path / "empty")

    assert "missing: no such directory" in str(refused_start.value)
    assert "empty: there is no manifest.json" in str(refused_start.value)


MASKED = Nat("mask-predict", 1, 64, mask_id=400, last_id=0, length_classes=16, block=8, passes=4)


async def test_results_say_what_ran(serve: Serve, tmp_path: Path) -> None:
    """Passes, drafted and accepted tokens, of all segments of a text; the model lists what it can do."""
    write_bundle(tmp_path / "several", name="several", nat={"mask-predict": MASKED})
    served = await serve(tmp_path / "several")
    two = "The quick brown fox jumps. Pack my box!"
    async with stub_of(served) as stub:
        nat = await stub.Translate(texts(two, engine=pb.ENGINE_PREFERENCE_NAT, nat=pb.NatOptions(passes=3)))
        drafted = await stub.Translate(texts(two, engine=pb.ENGINE_PREFERENCE_BALANCED))
        lossy = pb.SpeculationOptions(draft_tokens=2, lossy=pb.LossyVerification(top=3, margin=1.0))
        other = await stub.Translate(texts(two, engine=pb.ENGINE_PREFERENCE_SPECULATIVE, speculation=lossy))
        plain = await stub.Translate(texts(two, engine=pb.ENGINE_PREFERENCE_GREEDY))
        [model] = (await stub.ListModels(pb.ListModelsRequest())).models

    [found] = nat.results
    assert (found.engine, found.nat_passes, found.segments) == (pb.ENGINE_NAT, 3, 2)
    [found] = drafted.results
    assert (found.engine, found.nat_passes) == (pb.ENGINE_SPECULATIVE, 0)
    assert (found.drafted_tokens, found.accepted_tokens) == (DRAFT_TOKENS * found.source_tokens, found.source_tokens)
    assert (other.results[0].engine, plain.results[0].engine) == (pb.ENGINE_SPECULATIVE_LOSSY, pb.ENGINE_GREEDY)
    assert plain.results[0].text == drafted.results[0].text
    assert list(model.nat_decoders) == ["mask-predict"]
    assert list(model.draft_sources) == [pb.DRAFT_SOURCE_HYPOTHESIS, pb.DRAFT_SOURCE_NAT, pb.DRAFT_SOURCE_SOURCE]
    assert model.engines[-3:] == [pb.ENGINE_SPECULATIVE, pb.ENGINE_SPECULATIVE_LOSSY, pb.ENGINE_NAT]
    assert served.value("dragoman_nat_passes_total", model="several") == 3
    assert served.value("dragoman_translations_total", model="several", engine="nat", reason="stop") == 1


async def test_a_bundle_that_asks_for_more_than_the_server_gives_is_not_served(serve: Serve, tmp_path: Path) -> None:
    """Its requests could not be served without fields that lower what it asks for."""
    write_bundle(tmp_path / "wide", name="wide", decoding=Decoding(beam_size=4, num_hypotheses=3))

    with pytest.raises(StartError, match="own beam_size is 4, and --max-beam-size is 3: raise it"):
        await serve(tmp_path / "wide", max_beam_size=3)
    with pytest.raises(StartError, match="own num_hypotheses is 3, and --max-hypotheses is 2: raise it"):
        await serve(tmp_path / "wide", max_hypotheses=2)


async def test_a_deadline_and_what_engines_take_choose_the_engine(serve: Serve, tmp_path: Path) -> None:
    """The bundle's own way while it is in time; the fastest where speed alone is asked for."""
    write_bundle(tmp_path / "several", name="several", decoding=Decoding(beam_size=4), nat={"mask-predict": MASKED})
    served = await serve(tmp_path / "several")
    served.lanes.paces_s.update({Engine.BEAM: 100.0, Engine.GREEDY: 0.0001, Engine.NAT: 0.001})
    async with stub_of(served) as stub:
        unhurried = await stub.Translate(texts("Pack my box!"))
        hurried = await stub.Translate(texts("Pack my box!"), timeout=60)
        fast = await stub.Translate(texts("Pack my box!", engine=pb.ENGINE_PREFERENCE_FAST))
        served.lanes.paces_s[Engine.SPECULATIVE] = 1.0
        faster = await stub.Translate(texts("Pack my box!", engine=pb.ENGINE_PREFERENCE_FAST))

    engines = [answer.results[0].engine for answer in (unhurried, hurried, fast, faster)]
    assert engines == [pb.ENGINE_BEAM, pb.ENGINE_SPECULATIVE, pb.ENGINE_SPECULATIVE, pb.ENGINE_NAT]


async def test_glossaries_of_a_folder_are_listed_and_followed(serve: Serve, tmp_path: Path) -> None:
    """A client finds their names and sizes, names one, and gets what became of its terms; a look takes up a change."""
    (tmp_path / "ui.tsv").write_text("box\tfox\n", "utf-8")
    os.utime(tmp_path / "ui.tsv", (1, 1))
    served = await serve(glossaries=str(tmp_path))

    async with stub_of(served) as stub:
        listed = await stub.ListModels(pb.ListModelsRequest())
        wanted = texts("The box.", glossaries=["ui"], output=pb.OutputOptions(term_spans=True))
        [first] = (await stub.Translate(wanted)).results
        (tmp_path / "ui.tsv").write_text("box\tdog\nlazy\tquick\n", "utf-8")
        served.app._glossaries._still_s = 0.0
        served.app._glossaries.look()
        [second] = (await stub.Translate(wanted)).results
        again = await stub.ListModels(pb.ListModelsRequest())

    assert list(listed.models[0].glossaries) == [pb.Glossary(name="ui", terms=1)]
    assert list(again.models[0].glossaries) == [pb.Glossary(name="ui", terms=2)]
    assert listed.models[0].limits.max_terms == 1_000
    assert (first.text, second.text) == ("The fox.", "The dog.")
    found = pb.TermOccurrence(source={"start": 4, "end": 7}, target={"start": 4, "end": 7}, use=pb.TERM_USE_APPLIED)
    assert list(first.terms) == [pb.TermOutcome(occurrences=1, applied=1, glossary="ui", source="box", found=[found])]
    assert served.value("dragoman_terms_total", model="echo", use="applied") == 2
    assert served.value("dragoman_terms_total", model="echo", use="already_there") == 0
    assert served.value("dragoman_glossary_reads_total", outcome="taken") == 2

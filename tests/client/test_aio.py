"""The asyncio client against a real socket: what `Client` does, with `await`."""

from __future__ import annotations

import asyncio
import inspect
import threading
from typing import Any

import grpc
import pytest

from dragoman.client import (
    AsyncClient,
    Cancelled,
    Client,
    InvalidRequest,
    Options,
    Translation,
    Unavailable,
    UnknownModel,
)
from dragoman.v1 import translation_pb2 as pb


def test_both_clients_offer_the_same() -> None:
    """A method or an argument that only one of the two has was forgotten in the other."""

    def public(kind: type) -> dict[str, list[str]]:
        methods = {name: one for name, one in vars(kind).items() if callable(one) and not name.startswith("_")}
        return {name: list(inspect.signature(one).parameters) for name, one in methods.items()}

    assert public(Client) == public(AsyncClient)


@pytest.mark.asyncio
async def test_texts_are_translated(fake: Any) -> None:
    """One text, a list, and none."""
    async with AsyncClient(fake.address) as client:
        assert (await client.translate("hello", Options(beam_size=3))).text == "HELLO"
        assert [one.text for one in await client.translate(["b", "a"])] == ["B", "A"]
        assert await client.translate([]) == []

    assert fake.requests[0].decoding.beam_size == 3


@pytest.mark.asyncio
async def test_pairs_are_scored(fake: Any) -> None:
    """In one call, in batches, and none."""
    async with AsyncClient(fake.address) as client:
        assert [one.score for one in await client.score([("a", "b"), ("a", "")])] == [-1.0, 0.0]
        assert await client.score([]) == []
        batches = [[("a", "b")], [], [("bad", "c"), ("d", "ee")]]
        outcomes = [one async for one in client.score_batches(batches)]

    assert [getattr(one, "score", None) for one in outcomes] == [-1.0, None, -2.0]


@pytest.mark.asyncio
async def test_the_stream_names_the_text_of_each_result(fake: Any) -> None:
    """Results come from the last to the first, as this server finishes them."""
    async with AsyncClient(fake.address) as client:
        outcomes = [pair async for pair in client.translate_stream(["a", "b"])]

    assert [(index, one.text) for index, one in outcomes if isinstance(one, Translation)] == [(1, "B"), (0, "A")]


@pytest.mark.asyncio
async def test_many_texts_keep_their_order_with_several_calls_at_once(fake: Any) -> None:
    """The first call is answered only after the third has arrived."""
    third = threading.Event()
    plain = fake.reply

    def reply(request: pb.TranslateRequest, context: grpc.ServicerContext) -> pb.TranslateResponse:
        text = request.texts[0].text
        if text == "c":
            third.set()
        assert text != "a" or third.wait(10), "calls do not overlap"
        return plain(request, context)  # type: ignore[no-any-return]

    fake.reply = reply

    async with AsyncClient(fake.address) as client:
        outcomes = [one async for one in client.translate_many("abcde", batch_size=1, in_flight=3)]

    assert [one.text for one in outcomes if isinstance(one, Translation)] == list("ABCDE")


@pytest.mark.asyncio
async def test_errors_are_the_clients_own(fake: Any) -> None:
    """A failed text, a failed call and a missing server each raise their type."""
    fake.reply = lambda request, context: pb.TranslateResponse(results=[{"status": {"code": 3, "message": "no"}}])

    async with AsyncClient(fake.address) as client:
        with pytest.raises(InvalidRequest, match="no"):
            await client.translate("a")
        with pytest.raises(UnknownModel):
            await client.get_model("m")
    async with AsyncClient("127.0.0.1:1", timeout_s=20) as client:
        with pytest.raises(Unavailable):
            await client.translate("a")


@pytest.mark.asyncio
async def test_a_cancelled_task_cancels_its_call(fake: Any) -> None:
    """The server learns at once that nobody waits."""
    ended = threading.Event()

    def hang(request: pb.TranslateRequest, context: grpc.ServicerContext) -> pb.TranslateResponse:
        context.add_callback(ended.set)
        ended.wait(10)
        return pb.TranslateResponse()

    fake.reply = hang

    async with AsyncClient(fake.address) as client:
        task = asyncio.create_task(client.translate("a"))
        assert await asyncio.to_thread(fake.arrived.acquire, timeout=10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(ended.wait, 10)


@pytest.mark.asyncio
async def test_models_are_listed(fake: Any) -> None:
    """As typed values."""
    fake.models = [pb.Model(name="enpt")]

    async with AsyncClient(fake.address) as client:
        assert [model.name for model in await client.list_models()] == ["enpt"]
        assert (await client.get_model("enpt")).name == "enpt"


@pytest.mark.asyncio
async def test_many_texts_outlast_a_full_server_and_a_bad_text(fake: Any) -> None:
    """More refusals than gRPC's own retries take, and one text that no call may hold."""
    plain = fake.reply

    def reply(request: pb.TranslateRequest, context: grpc.ServicerContext) -> pb.TranslateResponse:
        if len(fake.requests) <= 6:
            context.set_trailing_metadata((("grpc-retry-pushback-ms", "1"),))
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")
        if "bad" in [text.text for text in request.texts]:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "texts[1].text: too long")
        return plain(request, context)  # type: ignore[no-any-return]

    fake.reply = reply

    async with AsyncClient(fake.address) as client:
        outcomes = [one async for one in client.translate_many(["a", "bad", "c"])]

    assert [type(one) for one in outcomes] == [Translation, InvalidRequest, Translation]


@pytest.mark.asyncio
async def test_a_closed_client_ends_its_calls_with_an_error_of_its_own(fake: Any) -> None:
    """The call that is under way, of a task that nobody cancelled, and every later one."""

    def hang(request: pb.TranslateRequest, context: grpc.ServicerContext) -> pb.TranslateResponse:
        fake.cancelled.wait(10)
        return pb.TranslateResponse()

    fake.reply = hang
    client = AsyncClient(fake.address)
    task = asyncio.create_task(client.translate("a"))
    assert await asyncio.to_thread(fake.arrived.acquire, timeout=10)
    await client.close()

    with pytest.raises(Cancelled, match="closed while the call was under way"):
        await task
    with pytest.raises(Cancelled, match="the client is closed"):
        await client.translate("a")
    fake.cancelled.set()

"""The blocking client against a real socket."""

from __future__ import annotations

import threading
from typing import Any

import grpc
import pytest

from dragoman.client import (
    Cancelled,
    Client,
    DeadlineExceeded,
    InvalidRequest,
    Options,
    Score,
    ScoreOptions,
    SomeTextsFailed,
    Splitting,
    Translation,
    Unavailable,
    UnknownModel,
)
from dragoman.v1 import translation_pb2 as pb


def test_one_text_gives_one_translation(fake: Any) -> None:
    """A text in, a translation out, with the facts of the result."""
    with Client(fake.address) as client:
        translation = client.translate("hello")

    assert (translation.text, translation.hypotheses[0].score) == ("HELLO", -0.5)


def test_a_list_gives_a_list_in_one_call(fake: Any) -> None:
    """Order is kept, and the options arrive on the wire."""
    with Client(fake.address) as client:
        translations = client.translate(["b", "a", ""], Options(beam_size=4, splitting=Splitting.NONE))

    assert [one.text for one in translations] == ["B", "A", ""]
    assert fake.requests == [
        pb.TranslateRequest(
            texts=[{"text": "b"}, {"text": "a"}, {"text": ""}], decoding={"beam_size": 4}, splitting=pb.SPLITTING_NONE
        )
    ]


def test_an_empty_list_needs_no_server() -> None:
    """Nothing to translate is not an error."""
    with Client("127.0.0.1:1") as client:
        assert (client.translate([]), list(client.translate_stream([])), list(client.translate_many([]))) == (
            [],
            [],
            [],
        )


def fail_b(request: pb.TranslateRequest, context: grpc.ServicerContext) -> pb.TranslateResponse:
    """All texts succeed but b."""
    response = pb.TranslateResponse()
    for index, sent in enumerate(request.texts):
        if sent.text == "b":
            response.results.add(index=index, status={"code": 3, "message": "too long"})
        else:
            response.results.add(index=index, text=sent.text.upper(), finish_reason=pb.FINISH_REASON_STOP)
    return response


def test_a_text_that_fails_raises_its_own_error(fake: Any) -> None:
    """Of one text the error itself; of a list an error that holds the translations of the others."""
    fake.reply = fail_b

    with Client(fake.address) as client:
        with pytest.raises(InvalidRequest, match="too long"):
            client.translate("b")
        with pytest.raises(SomeTextsFailed) as caught:
            client.translate(["a", "b", "c"])

    kept = [one.text for one in caught.value.outcomes if isinstance(one, Translation)]
    assert (kept, list(caught.value.errors)) == (["A", "C"], [1])


def test_the_stream_names_the_text_of_each_result(fake: Any) -> None:
    """Results come as the server finishes them, here from the last to the first, failures among them."""
    fake.reply = fail_b

    with Client(fake.address) as client:
        outcomes = list(client.translate_stream(["a", "b", "c"], Options(model="m")))

    assert [index for index, _ in outcomes] == [2, 1, 0]
    assert [type(outcome) for _, outcome in outcomes] == [Translation, InvalidRequest, Translation]
    assert fake.requests[0].model == "m"


def test_leaving_the_stream_cancels_the_call(fake: Any) -> None:
    """The server does not translate what nobody reads."""
    with Client(fake.address) as client:
        for _ in client.translate_stream(["a"] * 50_000):
            break

        assert fake.cancelled.wait(10)


def test_many_texts_keep_their_order_with_several_calls_at_once(fake: Any) -> None:
    """The first call is answered last, and its translations still come first."""
    last_arrived = threading.Event()
    plain = fake.reply

    def reply(request: pb.TranslateRequest, context: grpc.ServicerContext) -> pb.TranslateResponse:
        texts = [text.text for text in request.texts]
        if "a2" in texts:
            last_arrived.set()
        assert "a0" not in texts or last_arrived.wait(10), "calls do not overlap"
        return plain(request, context)  # type: ignore[no-any-return]

    fake.reply = reply
    texts = [f"a{i}" for i in range(7)]

    with Client(fake.address) as client:
        outcomes = list(client.translate_many(texts, Options(beam_size=2), batch_size=2, in_flight=3))

    assert [one.text for one in outcomes if isinstance(one, Translation)] == [text.upper() for text in texts]
    assert sorted(len(request.texts) for request in fake.requests) == [1, 2, 2, 2]
    assert all(request.decoding.beam_size == 2 for request in fake.requests)


def test_many_texts_are_read_only_as_far_as_they_are_in_flight(fake: Any) -> None:
    """An endless source is no problem: what is not yet needed is not read."""
    read = 0

    def endless() -> Any:
        nonlocal read
        while True:
            read += 1
            yield "a"

    plain, both_are_under_way = fake.reply, threading.Event()

    def reply(request: pb.TranslateRequest, context: grpc.ServicerContext) -> pb.TranslateResponse:
        if len(fake.requests) == 2:
            both_are_under_way.set()
        assert both_are_under_way.wait(10), "one call was answered before the other was made"
        return plain(request, context)

    fake.reply = reply

    with Client(fake.address) as client:
        outcomes = client.translate_many(endless(), batch_size=5, in_flight=2)
        next(outcomes)
        outcomes.close()  # type: ignore[attr-defined]

    assert read == 10


def test_a_failed_call_among_many_raises_and_cancels_the_others(fake: Any) -> None:
    """An error of a whole call ends the iteration with that error."""

    def reply(request: pb.TranslateRequest, context: grpc.ServicerContext) -> pb.TranslateResponse:
        context.abort(grpc.StatusCode.NOT_FOUND, "no model m; there is: enpt")

    fake.reply = reply

    with Client(fake.address) as client, pytest.raises(UnknownModel, match="there is: enpt"):
        list(client.translate_many("abc", batch_size=1, in_flight=2))


def test_a_busy_server_is_tried_again(fake: Any) -> None:
    """Two refusals and one answer are, to the user, an answer."""
    plain = fake.reply

    def reply(request: pb.TranslateRequest, context: grpc.ServicerContext) -> pb.TranslateResponse:
        if len(fake.requests) <= 2:
            context.set_trailing_metadata((("grpc-retry-pushback-ms", "1"),))
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")
        return plain(request, context)  # type: ignore[no-any-return]

    fake.reply = reply

    with Client(fake.address) as client:
        assert client.translate("a").text == "A"
    assert len(fake.requests) == 3


def test_the_deadline_holds_and_is_not_retried(fake: Any) -> None:
    """A call waits no longer than it was told to, and the server sees it once."""
    ended = threading.Event()

    def hang(request: pb.TranslateRequest, context: grpc.ServicerContext) -> pb.TranslateResponse:
        context.add_callback(ended.set)
        ended.wait(10)
        return pb.TranslateResponse()

    with Client(fake.address) as client:
        client.translate("a")  # connecting takes no part of the time
        fake.reply = hang
        with pytest.raises(DeadlineExceeded):
            client.translate("a", timeout_s=0.5)
        assert ended.wait(10)
    assert len(fake.requests) == 2


def test_the_clients_own_timeout_is_the_default(fake: Any) -> None:
    """Each call carries a deadline, so that none waits for ever."""
    left: list[float] = []
    plain = fake.reply

    def reply(request: pb.TranslateRequest, context: grpc.ServicerContext) -> pb.TranslateResponse:
        left.append(context.time_remaining() or 0)
        return plain(request, context)  # type: ignore[no-any-return]

    fake.reply = reply

    with Client(fake.address, timeout_s=1000) as client:
        client.translate("a")
        client.translate("a", timeout_s=100)

    assert 900 < left[0] < 1100
    assert 90 < left[1] < 110  # gRPC rounds up what travels


def test_no_server_is_an_error_that_names_the_address() -> None:
    """A refused connection says where to."""
    with Client("127.0.0.1:1", timeout_s=20) as client, pytest.raises(Unavailable, match=r"127\.0\.0\.1:1"):
        client.translate("a")


def test_an_answer_larger_than_grpcs_own_limit_arrives(fake: Any) -> None:
    """Many long hypotheses do not fail at 4 MiB."""
    with Client(fake.address) as client:
        assert len(client.translate("a" * 3_000_000).text) == 3_000_000


def test_models_can_be_listed_filtered_and_described(fake: Any) -> None:
    """What a server holds, as typed values; an unknown name is an error that says so."""
    fake.models = [
        pb.Model(name="enpt", version="1", language_pairs=[{"source": "en", "target": "pt"}]),
        pb.Model(name="deen", version="2", language_pairs=[{"source": "de", "target": "en"}]),
    ]

    with Client(fake.address) as client:
        assert [model.name for model in client.list_models()] == ["enpt", "deen"]
        assert [model.name for model in client.list_models(source_language="de")] == ["deen"]
        assert str(client.get_model("enpt").language_pairs[0]) == "en-pt"
        with pytest.raises(UnknownModel, match="no model frfr"):
            client.get_model("frfr")


def test_what_is_no_list_of_texts_is_refused() -> None:
    """None, bytes and what can be read once only are mistakes of the program, told before anything is sent."""
    with Client("127.0.0.1:1") as client:
        for wrong in (None, b"bytes", iter("a")):
            with pytest.raises(TypeError, match="texts must be a str or a list of str, not"):
                client.translate(wrong)  # type: ignore[arg-type]


def test_several_texts_that_all_fail_are_reported_together(fake: Any) -> None:
    """Each with its error."""
    fake.reply = fail_b

    with Client(fake.address) as client, pytest.raises(SomeTextsFailed) as caught:
        client.translate(["b", "b"])
    assert list(caught.value.errors) == [0, 1]


def test_a_batch_size_below_one_is_refused() -> None:
    """At the call, not when the first translation is read."""
    with Client("127.0.0.1:1") as client, pytest.raises(ValueError, match="batch_size is 0, below 1"):
        client.translate_many(["a"], batch_size=0)


def test_many_long_texts_pass_a_server_that_is_full_most_of_the_time(fake: Any) -> None:
    """More refusals than gRPC's own retries take; the calls are small in bytes, and every text is translated."""
    plain = fake.reply

    def reply(request: pb.TranslateRequest, context: grpc.ServicerContext) -> pb.TranslateResponse:
        if len(fake.requests) % 11:
            context.set_trailing_metadata((("grpc-retry-pushback-ms", "1"),))
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")
        return plain(request, context)  # type: ignore[no-any-return]

    fake.reply = reply
    texts = [f"{i} " + "a" * 4000 for i in range(10)]

    with Client(fake.address) as client:
        outcomes = list(client.translate_many(texts))

    assert [one.text for one in outcomes if isinstance(one, Translation)] == [text.upper() for text in texts]
    assert max(request.ByteSize() for request in fake.requests) < 17_000


def test_a_pause_of_the_input_gives_what_is_under_way(fake: Any) -> None:
    """An answer does not wait for texts that have not come yet."""
    seen: list[str] = []

    def batches() -> Any:
        yield ["a"]
        yield []
        seen.append("the first answer was there")
        assert answers == ["A"]
        yield ["b"]

    answers: list[str] = []
    with Client(fake.address) as client:
        for outcome in client.translate_batches(batches()):
            assert isinstance(outcome, Translation)
            answers.append(outcome.text)

    assert (answers, len(seen)) == (["A", "B"], 1)


def test_a_closed_client_says_so() -> None:
    """As an error of the client, whatever is called."""
    client = Client("127.0.0.1:1")
    client.close()

    for call in (
        lambda: client.translate("a"),
        lambda: list(client.translate_many(["a"])),
        lambda: list(client.translate_stream(["a"])),
        client.list_models,
    ):
        with pytest.raises(Cancelled, match="the client is closed"):
            call()


def test_pairs_are_scored_in_one_call(fake: Any) -> None:
    """In their order, with the options; no pairs are no call."""
    with Client(fake.address) as client:
        scores = client.score([("a", "bb"), ("c", "")], ScoreOptions(length_penalty=0.0, token_scores=True))
        assert client.score([]) == []

    assert [one.score for one in scores] == [-2.0, 0.0]
    assert scores[0].tokens[0].token == "</s>"
    [request] = fake.scored
    assert (request.length_penalty, len(request.pairs)) == (0.0, 2)


def test_a_pair_that_failed_does_not_lose_the_others(fake: Any) -> None:
    """The error holds the scores that there are."""
    with Client(fake.address) as client, pytest.raises(SomeTextsFailed) as caught:
        client.score([("a", "b"), ("worse", "b")])

    first, second = caught.value.outcomes
    assert isinstance(first, Score)
    assert isinstance(second, InvalidRequest)


def test_pairs_in_batches_come_back_in_order(fake: Any) -> None:
    """A batch that is refused as a whole is sent again pair by pair."""
    batches = [[("a", "b"), ("bad", "c")], [], [("d", "ee")]]
    with Client(fake.address) as client:
        outcomes = list(client.score_batches(batches))

    assert [getattr(one, "score", None) for one in outcomes] == [-1.0, None, -2.0]
    assert isinstance(outcomes[1], InvalidRequest)


def test_a_text_in_place_of_pairs_is_refused(fake: Any) -> None:
    """Its characters are no pairs."""
    for pairs in ("ab", ["ab"], [("a", "b", "c")]):
        with Client(fake.address) as client, pytest.raises(TypeError, match=r"pairs\[0\] must be a text and its"):
            client.score(pairs)  # type: ignore[arg-type]

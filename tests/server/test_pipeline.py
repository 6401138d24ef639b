"""A request's way through admission, text and lanes, and back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing

import pytest

from dragoman.bundle.manifest import Decoding, Limits
from dragoman.bundle.reader import Bundle
from dragoman.server.domain import (
    DecodingOverrides,
    Engine,
    FinishReason,
    Request,
    Segment,
    Splitting,
    Translation,
)
from dragoman.server.errors import (
    Cancelled,
    DeadlineExceeded,
    EngineFailure,
    InvalidRequest,
    Overloaded,
    ServingError,
)
from dragoman.server.pipeline import Outcome, Pipeline
from dragoman.server.testing import FakeLanes
from dragoman.server.tokenizer import Tokenizer

pytestmark = pytest.mark.asyncio(loop_scope="session")


def translation(outcome: Outcome) -> Translation:
    assert isinstance(outcome, Translation), outcome
    return outcome


async def translate(pipeline: Pipeline, *texts: str, **fields: object) -> list[Outcome]:
    return await pipeline.translate(Request(texts, **fields))  # type: ignore[arg-type]


async def eventually(holds: Callable[[], bool]) -> None:
    """Let the event loop run until a condition holds; the test's own time-out bounds it."""
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0)


async def test_a_text_comes_back_with_its_layout(pipeline: Pipeline) -> None:
    """Sentences are decoded one by one, and what lies between them is kept."""
    text = "  The lazy dog.  Is it true?\r\n\r\n\tThe box!\n"

    [outcome] = await translate(pipeline, text)

    one = translation(outcome)
    assert one.text == text
    assert (one.segments, one.finish_reason, one.engine) == (3, FinishReason.STOP, Engine.GREEDY)
    assert one.source_tokens == one.target_tokens > 3
    assert one.timings.encode_s == 0.001


@pytest.mark.parametrize("text", ["", " ", "\n\t \r\n", "\u00a0", "\u200b\ufeff", "\u2028"])
async def test_nothing_to_translate_comes_back_as_it_is(pipeline: Pipeline, lanes: FakeLanes, text: str) -> None:
    """An empty or invisible text is its own translation, and nothing is decoded."""
    [outcome] = await translate(pipeline, text)

    one = translation(outcome)
    assert (one.text, one.finish_reason, one.engine) == (text, FinishReason.EMPTY_INPUT, None)
    assert (one.source_tokens, one.target_tokens, one.segments) == (0, 0, 0)
    assert lanes.submitted == []


async def test_long_sentences_are_split_and_never_cut(pipeline: Pipeline, lanes: FakeLanes) -> None:
    """A sentence of many times the model's limit is decoded in pieces that fit, and comes back whole."""
    text = "the quick brown fox jumps over the lazy dog, " * 12 + "end"

    [outcome] = await translate(pipeline, text)

    assert translation(outcome).text == text
    assert len(lanes.submitted) > 10
    assert all(len(segment.ids) <= 32 for segment in lanes.submitted)


async def test_one_endless_word_is_split(pipeline: Pipeline, lanes: FakeLanes) -> None:
    """A word without any place to cut is cut between tokens, and joined without a space."""
    text = "x" * 900

    [outcome] = await translate(pipeline, text)

    assert translation(outcome).text == text
    assert all(len(segment.ids) <= 32 for segment in lanes.submitted)


async def test_long_sentences_may_be_refused_instead(pipeline: Pipeline, lanes: FakeLanes) -> None:
    """With `split_long` off, a text with a piece over the limit fails alone, with the numbers and the way out."""
    [long, short] = await translate(pipeline, "the lazy dog " * 40, "the dog", split_long=False)

    assert isinstance(long, InvalidRequest)
    assert long.violations[0].field == "segments[0].text"
    assert "the model reads at most 32" in str(long)
    assert translation(short).text == "the dog"


async def test_bad_texts_do_not_lose_the_good_ones(pipeline: Pipeline) -> None:
    """Each text has its own outcome, in the order of the texts."""
    outcomes = await translate(pipeline, "The dog.", "x" * 10_001, "half \ud800", "", "The fox.")

    assert [type(outcome) for outcome in outcomes] == [
        Translation,
        InvalidRequest,
        InvalidRequest,
        Translation,
        Translation,
    ]
    assert str(outcomes[1]).startswith("segments[1].text: 10001 bytes, the limit is 10000")
    assert str(outcomes[2]).startswith("segments[2].text: character 5 is half of a surrogate pair")


async def test_hypotheses_of_pieces_are_joined_by_rank(pipeline: Pipeline) -> None:
    """Rank n of a text is made of its pieces' rank n; log-probabilities add up, scores are means by length."""
    overrides = DecodingOverrides(beam_size=3, num_hypotheses=2)

    [outcome] = await translate(pipeline, "The dog.\nThe fox.", overrides=overrides)

    one = translation(outcome)
    assert one.engine is Engine.BEAM
    assert [hypothesis.text for hypothesis in one.hypotheses] == ["The dog.\nThe fox.", "The dog..\nThe fox.."]
    assert one.hypotheses[0].logp > one.hypotheses[1].logp
    # The fake's best hypothesis has one unit a token, so its score under a length penalty of 1 is -1 for any text.
    assert one.hypotheses[0].score == pytest.approx(-1.0)


async def test_a_length_limit_is_reported(pipeline: Pipeline) -> None:
    """One piece that reached its limit makes the text's reason LENGTH."""
    [outcome] = await translate(pipeline, "The\nquick brown fox jumps", overrides=DecodingOverrides(max_length=4))

    assert translation(outcome).finish_reason is FinishReason.LENGTH


async def test_one_stream_gives_each_text_as_it_finishes(pipeline: Pipeline) -> None:
    """Every index comes exactly once."""
    texts = tuple(f"text {n}" for n in range(20))

    async with aclosing(pipeline.stream(Request(texts))) as stream:
        found = {index: translation(outcome).text async for index, outcome in stream}

    assert found == dict(enumerate(texts))


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (0, "segments: empty: send at least one text"),
        (65, r"segments: 65 texts, the limit is 64 \(--max-segments\)"),
        (10_000, r"segments: 10000 texts, the limit is 64 \(--max-segments\)"),
    ],
)
async def test_too_many_or_no_texts_are_refused_before_any_work(
    pipeline: Pipeline, lanes: FakeLanes, number: int, message: str
) -> None:
    """The message says how many came and how many may."""
    with pytest.raises(InvalidRequest, match=message):
        await translate(pipeline, *["x"] * number)

    assert (lanes.submitted, pipeline.admission.held_requests) == ([], 0)


async def test_a_full_backlog_refuses_the_whole_request(pipeline_of: Callable[..., Pipeline], lanes: FakeLanes) -> None:
    """All texts or none: what does not fit leaves no segment behind, and fits again once there is room."""
    pipeline = pipeline_of(backlog_tokens=30)
    lanes.hold()
    first = asyncio.create_task(translate(pipeline, "The quick brown fox jumps."))
    await eventually(lambda: lanes.waiting_segments == 1)
    held = pipeline.admission.held_tokens

    with pytest.raises(Overloaded, match=f"the backlog holds {held} source tokens") as refused:
        await translate(pipeline, "a", "The lazy dog sleeps in the box, " * 3)

    assert refused.value.retry_after_s
    assert (lanes.waiting_segments, pipeline.admission.held_tokens) == (1, held)
    lanes.release()
    await first
    assert (pipeline.admission.held_tokens, pipeline.admission.held_requests) == (0, 0)
    assert len(await translate(pipeline, "a", "The lazy dog.")) == 2


async def test_a_request_larger_than_the_backlog_is_not_told_to_retry(pipeline_of: Callable[..., Pipeline]) -> None:
    """No pause would help, so it is invalid, not overload."""
    with pytest.raises(InvalidRequest, match="the whole backlog takes 10"):
        await translate(pipeline_of(backlog_tokens=10), "x" * 100)


async def test_the_reservation_is_corrected_to_the_tokens(pipeline: Pipeline, lanes: FakeLanes) -> None:
    """While a request is decoded it holds what it has, not what was estimated from its bytes."""
    lanes.hold()
    task = asyncio.create_task(translate(pipeline, "zzzzzzzzzz"))
    await eventually(lambda: lanes.waiting_segments == 1)

    assert pipeline.admission.held_tokens == lanes.waiting_tokens

    lanes.release()
    await task


async def test_cancelling_takes_every_segment_out_of_the_lanes(pipeline: Pipeline, lanes: FakeLanes) -> None:
    """Whoever stops waiting leaves neither work nor a reservation behind."""
    lanes.hold()
    task = asyncio.create_task(translate(pipeline, "The dog. The fox.", "The box."))
    await eventually(lambda: lanes.waiting_segments == 3)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert (lanes.waiting_segments, lanes.cancelled) == (0, 3)
    assert pipeline.admission.held_tokens == 0


async def test_closing_a_stream_takes_the_rest_out_of_the_lanes(pipeline: Pipeline, lanes: FakeLanes) -> None:
    """A reader that leaves after the first text cancels the others."""
    stream = pipeline.stream(Request(("", "The dog.", "The fox.")))
    lanes.hold()
    index, _ = await anext(stream)

    await stream.aclose()

    assert index == 0
    assert (lanes.waiting_segments, lanes.cancelled, pipeline.admission.held_tokens) == (0, 2, 0)


async def test_a_deadline_reaches_the_lanes(pipeline: Pipeline, lanes: FakeLanes) -> None:
    """Segments carry it, and what is late comes back as such."""
    lanes.hold()

    outcomes = await translate(pipeline, "The dog.", "", deadline_s=time.monotonic() + 0.02)

    assert isinstance(outcomes[0], DeadlineExceeded)
    assert translation(outcomes[1]).text == ""


async def test_a_deadline_that_has_passed_costs_nothing(pipeline: Pipeline, lanes: FakeLanes) -> None:
    """The request is refused before it is tokenized."""
    with pytest.raises(DeadlineExceeded):
        await translate(pipeline, "The dog.", deadline_s=time.monotonic() - 1)

    assert lanes.submitted == []


@pytest.mark.parametrize("failure", [EngineFailure("node 7 of /models/x"), ValueError("/models/x"), Cancelled()])
async def test_a_failing_lane_is_an_outcome(pipeline: Pipeline, lanes: FakeLanes, failure: Exception) -> None:
    """Every exception of a lane becomes a serving error that says nothing of the inside, and room is given back."""
    lanes.failure = failure

    [outcome] = await translate(pipeline, "The dog.")

    assert isinstance(outcome, ServingError)
    assert "/models" not in str(outcome)
    assert pipeline.admission.held_tokens == 0
    lanes.failure = None
    assert translation((await translate(pipeline, "The dog."))[0]).text == "The dog."


async def test_decoding_defaults_are_the_bundles(pipeline_of: Callable[..., Pipeline], lanes: FakeLanes) -> None:
    """What the request leaves open is the bundle's own, within what the network can take."""
    pipeline = pipeline_of(
        manifest={"decoding": Decoding(beam_size=4, max_length=500), "limits": Limits(32, 64)},
    )

    await translate(pipeline, "The dog.", overrides=DecodingOverrides(length_penalty=0.5))

    assert lanes.submitted[0].decoding == Decoding(beam_size=4, max_length=64, length_penalty=0.5)


async def test_long_texts_leave_the_event_loop_free(pipeline: Pipeline, lanes: FakeLanes) -> None:
    """Text over the threshold is tokenized elsewhere: other tasks run before it is submitted."""
    lanes.hold()
    task = asyncio.create_task(translate(pipeline, "The dog is in the box. " * 200, splitting=Splitting.SENTENCES))
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert not lanes.submitted

    await eventually(lambda: lanes.waiting_segments == 200)
    lanes.release()
    await task


async def test_the_languages_reach_the_lanes(many: Bundle, lanes: FakeLanes, pipeline: Pipeline) -> None:
    """Of each piece of each text; where one of them is left open, the request is refused with what there is."""
    with ThreadPoolExecutor(max_workers=1) as executor:
        told = Pipeline(many, Tokenizer(many), lanes, pipeline.limits, executor)

        outcomes = await translate(told, "The dog. The fox!", "", source_language="en", target_language="zh-Hant-TW")
        submitted = lanes.submitted
        with pytest.raises(InvalidRequest, match=r"source_language: .* many translates en/pt/zh-Hant into en/pt/zh-"):
            await translate(told, "The dog.")
        with pytest.raises(InvalidRequest, match=r"target_language: "):
            await translate(told, "The dog.", source_language="en")

    assert [translation(one).text for one in outcomes] == ["The dog. The fox!", ""]
    assert [(one.ids[:3], one.forced_first_id) for one in submitted] == [((390, 5, 392), 392)] * 2
    assert all(one.forced_first_id is None for one in (await _segments(pipeline, lanes)))


async def _segments(pipeline: Pipeline, lanes: FakeLanes) -> list[Segment]:
    before = len(lanes.submitted)
    await translate(pipeline, "The dog.")
    return lanes.submitted[before:]

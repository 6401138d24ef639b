"""A request's way through admission, text and lanes, and back."""

import asyncio
import re
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from dragoman.bundle.manifest import Context, Decoding, Form, Limits, Nat, Texts
from dragoman.bundle.reader import Bundle
from dragoman.glossary.terms import Term
from dragoman.server.core.errors import (
    Cancelled,
    DeadlineExceeded,
    DeadlineUnmeetable,
    EngineFailure,
    InvalidRequest,
    Overloaded,
    ServingError,
    UnsupportedByModel,
)
from dragoman.server.core.protection import Keeping, Protection
from dragoman.server.core.requests import (
    CacheMode,
    DecodingOverrides,
    EnginePreference,
    InputFormat,
    OnTooLong,
    Output,
    Request,
    Splitting,
)
from dragoman.server.core.segments import FinishReason, Priority, Segment
from dragoman.server.core.strategies import Beam, Engine, Strategy
from dragoman.server.core.translations import KeepingCounts, MarkCounts, Outcome, Translation
from dragoman.server.decode.strategies.alternatives import Alternatives
from dragoman.server.decode.strategies.diversity import Diversity
from dragoman.server.decode.strategies.forced import Forced
from dragoman.server.decode.strategies.minimum_bayes_risk import MinimumBayesRisk
from dragoman.server.decode.strategies.sampling import Sampling
from dragoman.server.pipeline.cache import Cache
from dragoman.server.pipeline.glossaries import Glossaries
from dragoman.server.pipeline.pipeline import Pipeline
from dragoman.server.pipeline.workers import Workers
from dragoman.server.testing import FakeLanes
from dragoman.server.text.assembling import Assembler
from dragoman.server.text.tokenizer import Tokenizer

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


@pytest.mark.parametrize(
    ("texts", "is_apart"),
    [
        (["--flag " * 4_000], True),
        (["Is it true? " * 100], True),
        (["The dog."], False),
        (["The dog. The box!"] * 60, False),
    ],
)
async def test_a_long_text_is_joined_apart_however_few_its_segments(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, texts: list[str], is_apart: bool
) -> None:
    """One full of spans leaves nothing to decode and much to join; short ones stay on the event loop, many or few."""
    threads, join = set[int](), Assembler.translation

    def noted(*given: Any) -> Translation:
        threads.add(threading.get_ident())
        return join(*given)

    monkeypatch.setattr(Assembler, "translation", noted)
    await translate(pipeline, *texts)

    assert (threads != {threading.get_ident()}) is is_apart


async def test_long_sentences_are_split_and_never_cut(pipeline: Pipeline, lanes: FakeLanes) -> None:
    """A sentence of many times the model's limit is decoded in segments that fit, and comes back whole."""
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


async def test_a_bundle_says_how_its_texts_are_treated(pipeline_of: Callable[..., Pipeline]) -> None:
    """One that does not translate reads texts whole and in part, protects nothing and warns of nothing."""
    summarising = pipeline_of({"texts": Texts("none", "truncate", translated=False)})
    text = "The lazy dog %s. The fox. " + "the lazy dog " * 40

    [whole, again] = await translate(summarising, text.strip(), "The dog of %s. A fox.")
    [cut] = await translate(summarising, "The dog. The fox.", splitting=Splitting.SENTENCES)

    one = translation(whole)
    assert (one.segments, one.source_tokens, one.source_truncated, one.warnings) == (1, 32, True, ())
    assert (translation(again).segments, translation(again).source_truncated) == (1, False)
    assert translation(again).keeping is None
    assert translation(cut).segments == 2


async def test_what_comes_before_a_text_is_read_before_each_of_its_segments(
    pipeline_of: Callable[..., Pipeline], lanes: FakeLanes, tokenizer: Tokenizer
) -> None:
    """Of a long one the end, then the separator; the same text without one is read alone."""
    reading = pipeline_of({"texts": Texts(context=Context((7, 8), 3))})
    before = (*tokenizer.encode("the lazy dog")[-4:-1], 7, 8)

    await translate(reading, "The fox. A dog.", "The fox.", contexts=("the lazy dog", ""))

    fox, dog = tokenizer.encode("The fox."), tokenizer.encode("A dog.")
    assert sorted(segment.ids for segment in lanes.submitted) == sorted([(*before, *fox), (*before, *dog), fox])


async def test_what_was_tried_again_has_its_context_and_links_are_to_the_text(
    pipeline_of: Callable[..., Pipeline], lanes: FakeLanes
) -> None:
    """Whatever the model does with forms, and wherever it looks."""
    reading = pipeline_of({"texts": Texts(context=Context((7,), 3)), "forms": (Form("X{n}", 1.0), Form("N{n}", 1.0))})
    lanes.says = lambda segment, rank: segment.ids[4:5]

    [kept] = await translate(reading, "The dog %s.", contexts=("fox",), output=Output(alignments=True))

    assert "%s" in translation(kept).text
    assert len(lanes.submitted) > 1
    assert len({segment.ids[: segment.ids.index(7) + 1] for segment in lanes.submitted}) == 1
    links = translation(kept).hypotheses[0].alignments
    assert all(0 <= link.source.start < link.source.end <= len("The dog %s.") for link in links)


async def test_a_long_context_is_not_read_before_dozens_of_parts(
    pipeline_of: Callable[..., Pipeline], lanes: FakeLanes
) -> None:
    """Where a segment would be cut around many spans they stand at its end; around few ones it is cut."""
    forms = (Form("X{n}", 1.0), Form("N{n}", 1.0))
    facts = {"texts": Texts(context=Context((7,), 60)), "forms": forms, "limits": Limits(200, 200)}
    reading = pipeline_of(facts)
    lanes.says = lambda segment, rank: segment.ids[-2:-1]
    many, few, context = "The dog %s " * 12 + "fox.", "The dog %s fox.", "the lazy dog " * 20

    [ends, cut] = await translate(reading, many, few, contexts=(context, context), output=Output(kept_spans=True))

    assert {kept.keeping for kept in translation(ends).kept} == {Keeping.APPENDED}
    assert {kept.keeping for kept in translation(cut).kept} == {Keeping.CUT}
    assert len(lanes.submitted) == 2 + 2 + 2  # each twice in one piece, and the second in two parts


async def test_a_model_that_reads_no_context_refuses_it_by_name(pipeline: Pipeline) -> None:
    """The first text that has one is named; where all are empty nothing is asked."""
    with pytest.raises(UnsupportedByModel, match=r"texts\[1\].context: this model was not trained to read"):
        await translate(pipeline, "The dog.", "The fox.", contexts=("", "A cat."))

    assert translation((await translate(pipeline, "The dog.", contexts=("",)))[0]).text == "The dog."


async def test_a_context_that_is_no_text_or_too_large_fails_its_text_alone(
    pipeline_of: Callable[..., Pipeline],
) -> None:
    """It is checked as the text is."""
    reading = pipeline_of({"texts": Texts(context=Context((), 3))})

    large, bad, good = await translate(
        reading, "The dog.", "The dog.", "The dog.", contexts=("x" * 10_001, "\ud800", "  ")
    )

    assert str(large).startswith("texts[0].context: 10001 bytes")
    assert str(bad).startswith("texts[1].context: character 0 is half")
    assert translation(good).text == "The dog."


async def test_a_context_before_many_segments_is_no_way_to_fill_the_memory(
    pipeline_of: Callable[..., Pipeline], lanes: FakeLanes
) -> None:
    """All texts of a request together have the backlog's tokens of it at most; the others are translated."""
    reading = pipeline_of({"texts": Texts(context=Context((), 4))}, backlog_tokens=400)
    contexts = ("the lazy dog", "the lazy dog", "the lazy dog", "")

    some, many, few, none = await translate(
        reading, "A fox. " * 3, "A dog. " * 110, "The fox.", "A dog. " * 2, contexts=contexts
    )

    assert str(many).startswith("texts[1].text: before each of its segments the context is too many tokens in all")
    assert [translation(outcome).segments for outcome in (some, few, none)] == [3, 1, 2]
    assert sum(len(segment.ids) for segment in lanes.submitted) < 400


async def test_long_sentences_may_be_refused_instead(pipeline: Pipeline, lanes: FakeLanes) -> None:
    """With `OnTooLong.REJECT`, a text with a segment over the limit fails alone, with the numbers and the way out."""
    [long, short] = await translate(pipeline, "the lazy dog " * 40, "the dog", on_too_long=OnTooLong.REJECT)

    assert isinstance(long, InvalidRequest)
    assert long.violations[0].field == "texts[0].text"
    assert "the model reads at most 32" in str(long)
    assert translation(short).text == "the dog"


async def test_what_memory_has_room_for_bounds_a_segment(
    pipeline: Pipeline, lanes: FakeLanes, bundle: Bundle, tokenizer: Tokenizer
) -> None:
    """By its hypotheses and their least number of tokens: longer ones are cut, or refused by name, or all that is asked
    for is.
    """
    asked: list[tuple[int, int]] = []

    def readable(width: int, steps: int) -> int:
        asked.append((width, steps))
        return 0 if width > 4 else 10 if width > 1 else 1000

    bounded = Pipeline(bundle, tokenizer, lanes, pipeline.limits, pipeline.workers, readable=readable)
    text, wide = "the lazy dog " * 3, DecodingOverrides(beam_size=4, min_length=7)

    [whole] = await translate(bounded, text)
    [cut] = await translate(bounded, text, overrides=wide)
    [refused] = await translate(bounded, text, overrides=wide, on_too_long=OnTooLong.REJECT)
    with pytest.raises(InvalidRequest, match=r"5 hypotheses side by side .* --lane-memory"):
        await translate(bounded, text, overrides=DecodingOverrides(beam_size=5))

    assert translation(whole).segments == 1 < translation(cut).segments
    assert "memory has room for 10, decoded as this is asked for (--lane-memory)" in str(refused)
    assert asked[1:3] == [(4, 7), (4, 7)]


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
    assert str(outcomes[1]).startswith("texts[1].text: 10001 bytes, the limit is 10000")
    assert str(outcomes[2]).startswith("texts[2].text: character 5 is half of a surrogate pair")


async def test_hypotheses_of_segments_are_joined_by_rank(pipeline: Pipeline) -> None:
    """Rank n of a text is made of its segments' rank n; log-probabilities add up, scores are means by length."""
    overrides = DecodingOverrides(beam_size=3, num_hypotheses=2)

    [outcome] = await translate(pipeline, "The dog.\nThe fox.", overrides=overrides)

    one = translation(outcome)
    assert one.engine is Engine.BEAM
    assert [hypothesis.text for hypothesis in one.hypotheses] == ["The dog.\nThe fox.", "The dog..\nThe fox.."]
    assert one.hypotheses[0].log_probability > one.hypotheses[1].log_probability
    # The fake's best hypothesis has one unit a token, so its score under a length penalty of 1 is -1 for any text.
    assert one.hypotheses[0].score == pytest.approx(-1.0)


async def test_a_length_limit_is_reported(pipeline: Pipeline) -> None:
    """One segment that reached its limit makes the text's reason LENGTH."""
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
        (0, "texts: empty: send at least one text"),
        (65, r"texts: 65 texts, the limit is 64 \(--max-texts\)"),
        (10_000, r"texts: 10000 texts, the limit is 64 \(--max-texts\)"),
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


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("(" * 1_500, {}),
        ("word", {"overrides": DecodingOverrides(beam_size=8, min_length=60, max_length_factor=100.0)}),
        ("word", {"method": Sampling(), "overrides": DecodingOverrides(num_hypotheses=12)}),
    ],
)
async def test_a_request_is_admitted_by_what_it_costs(
    pipeline_of: Callable[..., Pipeline], lanes: FakeLanes, text: str, fields: dict[str, object]
) -> None:
    """Few bytes may be many tokens, wide beams and long translations: refused, where they exceed the backlog."""
    pipeline = pipeline_of(backlog_tokens=20 if fields else 1_000)

    with pytest.raises(InvalidRequest, match=r"^texts: about \d+ source tokens, and the whole backlog takes"):
        await translate(pipeline, text, **fields)

    assert (lanes.submitted, pipeline.admission.held_tokens, pipeline.admission.held_requests) == ([], 0, 0)


async def test_what_a_text_costs_is_given_back_when_it_is_decoded(pipeline: Pipeline, lanes: FakeLanes) -> None:
    """Before it is read: whoever does not read what has been decoded keeps nobody out."""
    async with aclosing(pipeline.stream(Request(("The dog.", "A fox.", "\u200b")))) as stream:
        lanes.hold()
        assert (await anext(stream))[0] == 2
        whole = pipeline.admission.held_tokens
        lanes.release()
        index, _ = await anext(stream)
        rest = pipeline.admission.held_tokens
        await anext(stream)

        assert whole == sum(len(segment.ids) for segment in lanes.submitted)
        assert rest == len(lanes.submitted[1 - index].ids)
        assert (pipeline.admission.held_tokens, pipeline.admission.held_requests) == (0, 1)


async def test_the_reservation_is_corrected_to_the_tokens(pipeline: Pipeline, lanes: FakeLanes) -> None:
    """While a request is decoded it holds what it has, not what was estimated from its bytes."""
    lanes.hold()
    task = asyncio.create_task(translate(pipeline, "zzzzzzzzzz"))
    await eventually(lambda: lanes.waiting_segments == 1)

    assert pipeline.admission.held_tokens == lanes.waiting_tokens

    lanes.release()
    await task


@pytest.mark.parametrize(
    ("texts", "fields", "bulk"),
    [
        (("The dog.", "A fox."), {}, False),
        (("The quick brown fox jumps over the lazy dog.",) * 40, {}, True),
        (("The dog.",) * 9, {"method": Sampling(), "overrides": DecodingOverrides(num_hypotheses=12)}, True),
    ],
)
async def test_a_request_is_light_or_bulk_by_what_it_costs(
    pipeline: Pipeline, lanes: FakeLanes, texts: tuple[str, ...], fields: dict[str, object], bulk: bool
) -> None:
    """By its tokens, and by what is asked of them."""
    await translate(pipeline, *texts, **fields)

    assert {segment.bulk for segment in lanes.submitted} == {bulk}


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

    outcomes = await translate(pipeline, "The dog.", "", deadline_s=time.monotonic() + 0.2)

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
    pipeline = pipeline_of(manifest={"decoding": Decoding(beam_size=4, max_length=500), "limits": Limits(32, 64)})

    await translate(pipeline, "The dog.", overrides=DecodingOverrides(length_penalty=0.5))

    assert lanes.submitted[0].decoding == Decoding(beam_size=4, max_length=64, length_penalty=0.5)


async def test_long_texts_leave_the_event_loop_free(pipeline_of: Callable[..., Pipeline], lanes: FakeLanes) -> None:
    """Text over the threshold is tokenized elsewhere: other tasks run before it is submitted."""
    pipeline = pipeline_of(backlog_tokens=4_000)
    lanes.hold()
    task = asyncio.create_task(translate(pipeline, "The dog is in the box. " * 200, splitting=Splitting.SENTENCES))
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert not lanes.submitted

    await eventually(lambda: lanes.waiting_segments == 200)
    lanes.release()
    await task


@pytest.mark.parametrize(
    ("overrides", "beam_size"),
    [
        ({"length_penalty": 0.6, "length_penalty_kind": "gnmt", "word_penalty": -0.5, "coverage_penalty": 0.2}, 1),
        ({"patience": 2.0, "beam_size": 4, "min_length": 3, "max_length": 20, "max_length_factor": 1.5}, 4),
        ({"early_stopping": "exhaustive", "repetition_penalty": 1.5, "no_repeat_ngram_size": 2}, 1),
        ({"profile": "fairseq", "unknown_handling": "allow"}, 1),
    ],
)
async def test_decoding_options_reach_every_segment(
    pipeline: Pipeline, lanes: FakeLanes, overrides: dict[str, object], beam_size: int
) -> None:
    """With the values that were set."""
    await translate(pipeline, "The dog. The fox.", overrides=DecodingOverrides(**overrides))  # type: ignore[arg-type]

    assert len(lanes.submitted) == 2
    for segment in lanes.submitted:
        assert {name: getattr(segment.decoding, name) for name in overrides} == overrides
        assert segment.decoding.beam_size == beam_size


@pytest.mark.parametrize(
    "strategy", [Beam(), Sampling(3, top_k=5, top_p=0.5, temperature=0.7), Diversity(2, 0.5), Alternatives(2, 0.1)]
)
@pytest.mark.parametrize("priority", Priority)
async def test_strategy_and_priority_reach_the_segment(
    pipeline: Pipeline, lanes: FakeLanes, strategy: Strategy, priority: Priority
) -> None:
    """As they were asked for."""
    overrides = DecodingOverrides(beam_size=1 if isinstance(strategy, Sampling) else 4)

    await translate(pipeline, "The dog.", method=strategy, priority=priority, overrides=overrides)

    [segment] = lanes.submitted
    assert (segment.strategy, segment.priority) == (strategy, priority)


async def test_what_must_not_be_said_reaches_the_segment(
    pipeline: Pipeline, lanes: FakeLanes, tokenizer: Tokenizer
) -> None:
    """As ids, each once."""
    [outcome] = await translate(pipeline, "The dog.", suppressed_tokens=("▁do", "T", "T"))

    assert lanes.submitted[0].suppressed_ids == (tokenizer.token_id("▁do"), tokenizer.token_id("T"))
    assert translation(outcome).text == "heg."


@pytest.mark.parametrize(
    ("tokens", "fields"),
    [
        (("",), ["[0]"]),
        (("▁do", "nowhere", "</s>", "dog dog"), ["[1]", "[3]", "[2]"]),
        (("<s>",), ["[0]"]),
        (("▁do",) * 257, [""]),
    ],
)
async def test_tokens_that_cannot_be_suppressed_are_refused_by_their_place(
    pipeline: Pipeline, lanes: FakeLanes, tokens: tuple[str, ...], fields: list[str]
) -> None:
    """Those that the vocabulary lacks, the end token, and more than there may be."""
    with pytest.raises(InvalidRequest) as refused:
        await translate(pipeline, "a", suppressed_tokens=tokens)

    assert [one.field for one in refused.value.violations] == [f"decoding.suppressed_tokens{at}" for at in fields]
    assert lanes.submitted == []


@pytest.mark.parametrize(
    ("fields", "attention"),
    [
        ({}, False),
        ({"output": Output(token_scores=True, sentence_spans=True)}, False),
        ({"output": Output(alignments=True)}, True),
        ({"overrides": DecodingOverrides(unknown_handling="copy")}, True),
    ],
)
async def test_attention_is_asked_for_where_it_is_needed(
    pipeline: Pipeline, lanes: FakeLanes, fields: dict[str, object], attention: bool
) -> None:
    """And only there: it costs."""
    await translate(pipeline, "The dog.", **fields)

    assert lanes.submitted[0].attention == attention


async def test_a_prefix_is_the_beginning_of_the_translation(pipeline: Pipeline, lanes: FakeLanes) -> None:
    """Of the text that has one, and it counts as its tokens."""
    outcomes = await translate(pipeline, " The dog.", "The fox.", prefixes=("Ó,", ""))

    first, second = map(translation, outcomes)
    assert (first.text, second.text) == (" Ó, The dog.", "The fox.")
    assert first.target_tokens == first.source_tokens + len(lanes.submitted[0].prefix)
    assert lanes.submitted[1].prefix == ()


@pytest.mark.parametrize(
    ("text", "prefix", "message"),
    [
        (
            "The dog. The fox.",
            "O",
            r"the text is cut into 2 segments, and a prefix is for a text of one: set splitting",
        ),
        ("The dog.\n\u200b", "O", r"the text is cut into 2 segments"),
        (" ", "O", "the text has nothing to translate"),
        ("The dog.", "the quick brown fox jumps over the lazy dog " * 4, r"\d+ tokens, and .* room for \d+"),
        ("The dog.", "half \ud800", "half of a surrogate pair"),
        ("The dog.", "x" * 10_001, "10001 bytes, the limit is 10000"),
    ],
)
async def test_a_prefix_that_cannot_be_kept_fails_its_text_alone(
    pipeline: Pipeline, lanes: FakeLanes, text: str, prefix: str, message: str
) -> None:
    """By name, with the way out."""
    bad, good = await translate(pipeline, text, "The fox.", prefixes=(prefix, ""))

    assert isinstance(bad, InvalidRequest)
    assert [one.field for one in bad.violations] == ["texts[0].target_prefix"]
    assert re.search(message, str(bad))
    assert translation(good).text == "The fox."
    assert len(lanes.submitted) == 1


async def test_a_prefix_is_refused_where_it_cannot_be_although_its_like_without_was_answered(
    pipeline_of: Callable[..., Pipeline],
) -> None:
    """And the other way round: what is remembered of requests is of those with prefixes, or of those without."""
    ctc = Nat("ctc", 1, 64, canvas="split", upsample=2, blank_id=400)
    pipeline = pipeline_of({"nat": {"ctc": ctc}})

    for _ in range(2):
        [outcome] = await translate(pipeline, "The dog.", engine=EnginePreference.NAT)
        assert translation(outcome).engine is Engine.NAT
        with pytest.raises(UnsupportedByModel, match="cannot begin with given words"):
            await translate(pipeline, "The dog.", prefixes=("O",), engine=EnginePreference.NAT)


async def test_alternatives_are_for_a_text_of_one_segment(pipeline: Pipeline) -> None:
    """Those of several would be combined at random."""
    split, one = await translate(pipeline, "The dog. The fox.", "The fox.", method=Alternatives(3, 0.2))

    assert isinstance(split, InvalidRequest)
    assert split.violations[0].field == "decoding.alternatives"
    assert [hypothesis.text for hypothesis in translation(one).hypotheses] == ["The fox.", "The fox.."]


async def test_draws_of_a_sample_are_hypotheses_and_depend_on_its_seed(pipeline: Pipeline) -> None:
    """Equal seeds give equal draws; the engine says what they are."""

    async def draws(seed: int) -> list[str]:
        overrides = DecodingOverrides(num_hypotheses=5)
        [outcome] = await translate(pipeline, "The lazy dog.", method=Sampling(seed), overrides=overrides)
        assert translation(outcome).engine is Engine.SAMPLING
        return [one.text for one in translation(outcome).hypotheses]

    first = await draws(1)
    assert first == await draws(1) != await draws(2)
    assert len(first) == 5
    assert len(set(first)) > 1


async def score(pipeline: Pipeline, *pairs: tuple[str, str], **fields: object) -> list[Outcome]:
    texts, targets = tuple(text for text, _ in pairs), tuple(target for _, target in pairs)
    return await pipeline.translate(Request(texts, targets=targets, **fields))  # type: ignore[arg-type]


async def test_a_pair_is_scored_as_one_segment(pipeline: Pipeline, lanes: FakeLanes, tokenizer: Tokenizer) -> None:
    """However many sentences it has; nothing is split."""
    [scored] = await score(pipeline, ("The dog. The fox.", "O cão.\nA raposa."), priority=Priority.BATCH)

    [segment] = lanes.submitted
    assert segment.ids == tokenizer.encode("The dog. The fox.")
    assert segment.strategy == Forced(tokenizer.encode_target("O cão. A raposa."))
    assert segment.priority is Priority.BATCH
    one = translation(scored)
    assert (one.source_tokens, one.target_tokens) == (len(segment.ids), len(segment.strategy.target) + 1)
    [hypothesis] = one.hypotheses
    assert (hypothesis.log_probability, hypothesis.score, hypothesis.tokens) == (-one.target_tokens, -1.0, ())
    assert (one.text, one.is_given, one.engine) == ("O cão.\nA raposa.", True, None)


async def test_an_empty_translation_has_the_score_of_its_end(pipeline: Pipeline) -> None:
    """Which is one token."""
    [scored] = await score(pipeline, ("The dog.", ""), output=Output(token_scores=True))

    assert [(one.token, one.log_probability) for one in translation(scored).hypotheses[0].tokens] == [("</s>", -1.0)]


async def test_the_length_penalty_of_a_score_can_be_set(pipeline: Pipeline, lanes: FakeLanes) -> None:
    """All else is the bundle's."""
    overrides = DecodingOverrides(length_penalty=0.0, length_penalty_kind="gnmt")
    [scored] = await score(pipeline, ("The dog.", "The dog."), overrides=overrides)

    [hypothesis] = translation(scored).hypotheses
    assert hypothesis.score == hypothesis.log_probability
    assert lanes.submitted[0].decoding == Decoding(max_length=64, length_penalty=0.0, length_penalty_kind="gnmt")


async def test_bad_pairs_do_not_lose_the_good_ones(pipeline_of: Callable[..., Pipeline]) -> None:
    """Each has its own outcome, in the order of the pairs, and names its side."""
    pipeline = pipeline_of(backlog_tokens=10_000)
    outcomes = await score(
        pipeline,
        ("The dog.", "a"),
        ("", "a"),
        ("\u200b", "a"),
        ("the lazy dog " * 40, "a"),
        ("a", "the lazy dog " * 80),
        ("x" * 10_001, "a"),
        ("a", "half \ud800"),
        ("The fox.", "b"),
    )

    assert [one.violations[0].field if isinstance(one, ServingError) else "" for one in outcomes] == [
        "",
        "pairs[1].source",
        "pairs[2].source",
        "pairs[3].source",
        "pairs[4].target",
        "pairs[5].source",
        "pairs[6].target",
        "",
    ]
    assert "the model takes at most 32" in str(outcomes[3])
    assert pipeline.admission.held_tokens == 0


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"texts": (), "targets": ()}, "pairs"),
        ({"texts": ("a",) * 65, "targets": ("b",) * 65}, "pairs"),
        ({"texts": ("x" * 10_000,), "targets": ("b",)}, "pairs"),
        ({"texts": ("a",), "targets": ("b",), "overrides": DecodingOverrides(length_penalty=-1.0)}, "length_penalty"),
    ],
)
async def test_bad_requests_to_score_are_refused_before_any_work(
    pipeline: Pipeline, lanes: FakeLanes, fields: dict[str, object], field: str
) -> None:
    """By the names that their fields have there."""
    with pytest.raises(InvalidRequest) as refused:
        await pipeline.translate(Request(**fields))  # type: ignore[arg-type]

    assert [one.field for one in refused.value.violations] == [field]
    assert lanes.submitted == []


async def test_cancelling_a_score_takes_its_pairs_out_of_the_lanes(pipeline: Pipeline, lanes: FakeLanes) -> None:
    """As with a translation."""
    lanes.hold()
    task = asyncio.create_task(score(pipeline, ("The dog.", "a"), ("The fox.", "b")))
    await eventually(lambda: lanes.waiting_segments == 2)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert (lanes.waiting_segments, lanes.cancelled, pipeline.admission.held_tokens) == (0, 2, 0)


async def test_a_failing_lane_fails_its_pair(pipeline: Pipeline, lanes: FakeLanes) -> None:
    """With nothing of the inside."""
    lanes.failure = ValueError("/models/x")

    [outcome] = await score(pipeline, ("The dog.", "a"))

    assert isinstance(outcome, EngineFailure)
    assert "/models" not in str(outcome)


@pytest.mark.parametrize("priority", Priority)
async def test_a_request_that_cannot_be_in_time_is_refused_at_admission(
    pipeline: Pipeline, lanes: FakeLanes, priority: Priority
) -> None:
    """By the wait of its own priority; one without a deadline, or with time enough, is taken in."""
    lanes.waits_s[priority] = 1000.0
    soon = time.monotonic() + 500.0

    with pytest.raises(DeadlineUnmeetable, match=r"wait for about 1e\+03 s and its deadline is in (500|499\.\d*) s"):
        await translate(pipeline, "The dog.", deadline_s=soon, priority=priority)
    with pytest.raises(DeadlineUnmeetable):
        await score(pipeline, ("The dog.", "a"), deadline_s=soon, priority=priority)
    assert lanes.submitted == []
    assert pipeline.admission.held_requests == 0

    other = Priority.BATCH if priority is Priority.INTERACTIVE else Priority.INTERACTIVE
    assert len(await translate(pipeline, "The dog.", priority=priority)) == 1
    assert len(await translate(pipeline, "The dog.", deadline_s=soon, priority=other)) == 1
    assert len(await translate(pipeline, "The dog.", deadline_s=soon + 1000, priority=priority)) == 1


@pytest.mark.parametrize(("wait_s", "retry_after_s"), [(0.0, 0.1), (3.25, 3.25)])
async def test_overload_is_over_when_what_waits_is_done(
    pipeline_of: Callable[..., Pipeline], lanes: FakeLanes, wait_s: float, retry_after_s: float
) -> None:
    """As far as it is known; clients do not try in a circle where it is not."""
    pipeline = pipeline_of(backlog_tokens=12)
    lanes.hold()
    lanes.waits_s[Priority.BATCH] = wait_s
    first = asyncio.create_task(translate(pipeline, "The dog."))
    await eventually(lambda: lanes.waiting_segments == 1)

    with pytest.raises(Overloaded) as refused:
        await translate(pipeline, "The quick brown fox jumps.", priority=Priority.BATCH)

    assert refused.value.retry_after_s == retry_after_s
    lanes.release()
    await first


async def test_the_languages_reach_the_lanes(many: Bundle, lanes: FakeLanes, pipeline: Pipeline) -> None:
    """Of each segment of each text; where one of them is left open, the request is refused with what there is."""
    with ThreadPoolExecutor(max_workers=1) as executor:
        told = Pipeline(many, Tokenizer(many), lanes, pipeline.limits, Workers(executor))

        outcomes = await translate(told, "The dog. The fox!", "", source_language="en", target_language="zh-Hant-TW")
        submitted = lanes.submitted
        outcomes += await score(told, ("The dog.", "The dog."), source_language="en", target_language="pt")
        *submitted, score_segment = lanes.submitted
        with pytest.raises(InvalidRequest, match=r"source_language: .* many translates en/pt/zh-Hant into en/pt/zh-"):
            await translate(told, "The dog.")
        with pytest.raises(InvalidRequest, match=r"target_language: "):
            await translate(told, "The dog.", source_language="en")

    assert [translation(one).text for one in outcomes[:2]] == ["The dog. The fox!", ""]
    assert [(one.ids[:3], one.prefix) for one in submitted] == [((390, 5, 392), (392,))] * 2
    assert score_segment.prefix == (391,)
    assert (score_segment.ids[:3], score_segment.max_target_tokens) == ((390, 5, 391), 2 + len(score_segment.ids) - 4)
    assert all(one.prefix == () for one in (await _segments(pipeline, lanes)))


async def _segments(pipeline: Pipeline, lanes: FakeLanes) -> list[Segment]:
    before = len(lanes.submitted)
    await translate(pipeline, "The dog.")
    return lanes.submitted[before:]


@pytest.fixture
def remembering(pipeline_of: Callable[..., Pipeline]) -> Pipeline:
    """A pipeline that remembers."""
    return pipeline_of(cache=Cache(1_000_000).of("echo", "abc"))


def same(one: Translation) -> tuple[object, ...]:
    """What a translation says, but for what it took."""
    return one.hypotheses, one.finish_reason, one.engine, one.source_tokens, one.target_tokens, one.sentence_spans


async def test_what_was_decoded_is_not_decoded_again(remembering: Pipeline, lanes: FakeLanes) -> None:
    """The translation is the same, cost nothing, and says so; of a text that is new in part, only that is decoded."""
    output = Output(token_scores=True, alignments=True, sentence_spans=True)
    [first] = await translate(remembering, "The dog. A fox.", output=output)
    [second, third] = await translate(remembering, "The dog. A fox.", "A fox. The box.", output=output)

    assert same(translation(first)) == same(translation(second))
    assert [translation(one).cache_hit for one in (first, second, third)] == [False, True, False]
    assert translation(second).decode_steps == 0
    assert translation(second).timings.decode_s == 0.0
    assert len(lanes.submitted) == 3


async def test_what_is_remembered_holds_no_backlog(remembering: Pipeline, lanes: FakeLanes) -> None:
    """Only the new sentence of a request does."""
    await translate(remembering, "The dog. A fox.")
    lanes.hold()
    task = asyncio.create_task(translate(remembering, "The dog. A fox. The box."))
    await eventually(lambda: lanes.waiting_segments == 1)

    assert remembering.admission.held_tokens == len(lanes.submitted[-1].ids)

    lanes.release()
    await task


@pytest.mark.parametrize("deadline_s", [None, 5.0])
async def test_what_is_remembered_is_answered_beside_a_full_backlog(
    pipeline_of: Callable[..., Pipeline], lanes: FakeLanes, deadline_s: float | None
) -> None:
    """Or behind a long one: it costs nothing. What is new, or asked for in another way, is refused before any work."""
    pipeline = pipeline_of(cache=Cache(1_000_000).of("echo", "abc"), backlog_tokens=30)
    known = "The lazy dog sleeps in the box"
    await translate(pipeline, known)
    await translate(pipeline, "The box.")
    lanes.hold()
    held = asyncio.create_task(translate(pipeline, "The quick brown fox jumps."))
    await eventually(lambda: lanes.waiting_segments == 1)
    tokens, numbered = pipeline.admission.held_tokens, len(lanes.submitted)
    if deadline_s is not None:
        lanes.waits_s[Request.priority] = 60.0

    def asked(*texts: str, **fields: object) -> Awaitable[list[Outcome]]:
        until_s = None if deadline_s is None else time.monotonic() + deadline_s
        return translate(pipeline, *texts, deadline_s=until_s, **fields)

    for texts in ((known,), (known, "The box.", known)):
        assert all(translation(one).cache_hit for one in await asked(*texts))
    refusal = Overloaded if deadline_s is None else DeadlineUnmeetable
    for texts, fields in (
        ((known, known + "es"), {}),
        ((known,), {"overrides": DecodingOverrides(beam_size=2)}),
        ((known,), {"cache": CacheMode.BYPASS}),
        ((known,) * 70, {}),
    ):
        with pytest.raises((refusal, InvalidRequest)):
            await asked(*texts, **fields)
    assert (pipeline.admission.held_tokens, pipeline.admission.held_requests, len(lanes.submitted)) == (
        tokens,
        1,
        numbered,
    )
    lanes.release()
    await held


async def test_what_has_been_forgotten_is_refused_after_all(
    pipeline_of: Callable[..., Pipeline], lanes: FakeLanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a text only its hash is known: its segments say what it costs."""
    cache = Cache(1_000_000).of("echo", "abc")
    assert cache is not None
    pipeline = pipeline_of(cache=cache, backlog_tokens=30)
    text = "The quick brown fox jumps."
    await translate(pipeline, text)
    lanes.hold()
    held = asyncio.create_task(translate(pipeline, "The lazy dog sleeps in the box"))
    await eventually(lambda: lanes.waiting_segments == 1)
    monkeypatch.setattr(cache, "recall", lambda _: None)

    with pytest.raises(Overloaded):
        await translate(pipeline, text)
    lanes.waits_s[Request.priority] = 60.0
    with pytest.raises(DeadlineUnmeetable):
        await translate(pipeline, text, deadline_s=time.monotonic() + 5)
    assert pipeline.admission.held_requests == 1
    lanes.release()
    await held


@pytest.mark.parametrize(
    ("fields", "decoded"),
    [
        ({}, 1),
        ({"cache": CacheMode.READ_ONLY}, 2),
        ({"cache": CacheMode.BYPASS}, 2),
        ({"method": Sampling()}, 2),
        ({"method": Sampling(7)}, 1),
        ({"method": MinimumBayesRisk(4)}, 2),
        ({"method": MinimumBayesRisk(4, Sampling(7))}, 1),
        ({"targets": ("A fox.",)}, 2),
    ],
)
async def test_a_request_says_what_may_be_remembered(
    remembering: Pipeline, lanes: FakeLanes, fields: dict[str, object], decoded: int
) -> None:
    """Draws that nobody gave a seed are new each time, and so are scores."""
    for seed in (1, 2):
        [outcome] = await translate(remembering, "The dog.", seed=seed, **fields)

    assert len(lanes.submitted) == decoded
    assert translation(outcome).cache_hit == (decoded == 1)


async def test_what_others_kept_may_be_read_alone_or_not_at_all(remembering: Pipeline, lanes: FakeLanes) -> None:
    """Whoever only reads keeps nothing, whoever does neither is decoded anew."""
    await translate(remembering, "The dog.")
    for mode in CacheMode:
        await translate(remembering, "The dog.", cache=mode)

    assert len(lanes.submitted) == 2


async def test_failures_are_not_remembered(remembering: Pipeline, lanes: FakeLanes) -> None:
    """The next request may have better luck."""
    lanes.failure = EngineFailure("node 7")
    [failed] = await translate(remembering, "The dog.")
    lanes.failure = None
    [outcome] = await translate(remembering, "The dog.")

    assert isinstance(failed, EngineFailure)
    assert not translation(outcome).cache_hit


PROTECTED = "Hello %1$s, visit https://example.com/a?b=1 {now}. \U0001f389 The dog.\r\n\t{a} {b}\r\n"


def spoiled(tokenizer: Tokenizer, change: Callable[[str], str]) -> Callable[[Segment, int], tuple[int, ...]]:
    """A model that says something else than what it reads, the same at each rank."""
    return lambda segment, _: tokenizer.encode_target(change(tokenizer.decode(segment.ids[:-1])))


def without_digits(read: str) -> str:
    return " ".join(word for word in read.split() if not re.search(r"\d", word))


async def test_protected_spans_come_back(pipeline: Pipeline, lanes: FakeLanes) -> None:
    """The model reads forms in their place; what is nothing but spans it never sees."""
    [outcome] = await translate(pipeline, PROTECTED, output=Output(kept_spans=True))

    one = translation(outcome)
    assert one.text == PROTECTED
    assert one.keeping == KeepingCounts(as_it_was=2 + 1, form=3)
    assert [PROTECTED[slice(*kept.source)] for kept in one.kept] == [one.text[slice(*k.target or ())] for k in one.kept]
    assert len(lanes.submitted) == 2


async def test_a_model_that_loses_forms_is_asked_up_to_three_times(
    pipeline: Pipeline, lanes: FakeLanes, tokenizer: Tokenizer
) -> None:
    """For the sentence that lacks them alone; the result counts what that took."""
    lanes.says = spoiled(tokenizer, without_digits)

    [outcome] = await translate(pipeline, "The dog. Hello %1$s and {count} dogs.")

    one = translation(outcome)
    assert one.text == "The dog. Hello %1$s and {count} dogs."
    assert one.keeping == KeepingCounts(cut=2)
    assert len(lanes.submitted) == 2 + 1 + 3
    assert [segment.attention for segment in lanes.submitted] == [False, False, True, True, True, True]
    assert one.decode_steps == sum(len(segment.ids) for segment in lanes.submitted)


async def test_nothing_is_protected_where_that_is_asked_for(pipeline: Pipeline, lanes: FakeLanes) -> None:
    """Patterns hold all the same, and are refused where they are none."""
    [outcome] = await translate(pipeline, "Hello %1$s and {count}.", protection=Protection(frozenset(), ("and",)))

    assert translation(outcome).keeping == KeepingCounts(form=1)
    with pytest.raises(InvalidRequest, match=r"protection.patterns\[1\]"):
        await translate(pipeline, "a", protection=Protection(patterns=("a", "(")))


async def test_a_prefix_may_have_spans_of_its_text(pipeline: Pipeline, lanes: FakeLanes, tokenizer: Tokenizer) -> None:
    """The model continues the form; a symbol before the sentence is no part of what it says."""
    lanes.says = spoiled(tokenizer, lambda read: without_digits(read).removeprefix("Hello "))

    [outcome] = await translate(
        pipeline, "\U0001f389 Hello {name}, the dog!", prefixes=("\U0001f389 Ol\u00e1 {name},",)
    )

    assert translation(outcome).text == "\U0001f389 Ol\u00e1 {name}, the dog!"
    assert tokenizer.decode(lanes.submitted[0].prefix) == "Ol\u00e1 X1,"


async def test_a_deadline_holds_for_the_second_decode(
    pipeline: Pipeline, lanes: FakeLanes, tokenizer: Tokenizer
) -> None:
    """A text that could not be mended in time is late, and not broken."""
    change = spoiled(tokenizer, without_digits)

    def says(segment: Segment, rank: int) -> tuple[int, ...]:
        lanes.hold()
        return change(segment, rank)

    lanes.says = says

    [outcome] = await translate(pipeline, "Hello {name}", deadline_s=time.monotonic() + 0.3)

    assert isinstance(outcome, DeadlineExceeded)


async def test_cancelling_takes_the_second_decode_out(
    pipeline: Pipeline, lanes: FakeLanes, tokenizer: Tokenizer
) -> None:
    """Its cost is held until then, and given back."""
    change = spoiled(tokenizer, without_digits)

    def says(segment: Segment, rank: int) -> tuple[int, ...]:
        lanes.hold()
        return change(segment, rank)

    lanes.says = says
    call = asyncio.ensure_future(translate(pipeline, "Hello {name}"))
    await eventually(lambda: len(lanes.submitted) == 2)
    assert pipeline.admission.held_tokens > 0

    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call

    assert (lanes.waiting_segments, pipeline.admission.held_tokens) == (0, 0)


@pytest.mark.parametrize(
    "fields",
    [
        {"overrides": DecodingOverrides(num_hypotheses=3)},
        {"method": Sampling(seed=1), "overrides": DecodingOverrides(num_hypotheses=3)},
        {"method": MinimumBayesRisk(samples=4)},
        {"method": Alternatives(count=3)},
        {"output": Output(alignments=True, token_scores=True)},
        {"overrides": DecodingOverrides(unknown_handling="copy")},
        {"splitting": Splitting.NONE},
    ],
)
@pytest.mark.parametrize("change", [without_digits, lambda read: f"{read} {read}", lambda read: read.lower()])
async def test_every_hypothesis_holds_all_spans(
    pipeline: Pipeline, lanes: FakeLanes, tokenizer: Tokenizer, fields: dict[str, object], change: Callable[[str], str]
) -> None:
    """By every way of decoding, whatever the model does with forms."""
    lanes.says = spoiled(tokenizer, change)

    [outcome] = await translate(pipeline, "Hello {name}, the {n} dogs", **fields)

    for one in translation(outcome).hypotheses:
        assert (one.text.count("{name}"), one.text.count("{n}")) == (1, 1)


async def test_terms_of_a_request_and_of_glossaries_hold(pipeline_of: Callable[..., Pipeline], tmp_path: Path) -> None:
    """The request's own first; each says whose it is. What was decoded for a text without terms is remembered for one
    whose terms the model has said, and the other way round nothing is taken for something else.
    """
    (tmp_path / "ui.tsv").write_text("box\tdog\nlazy dog\tquick fox\n", "utf-8")
    cache = Cache(1_000_000)
    pipeline = pipeline_of(cache=cache.of("m", "d"))
    pipeline._glossaries = Glossaries(str(tmp_path))
    terms = (Term("box", "fox"),)

    [first] = await translate(pipeline, "The lazy dog.  The box!", terms=terms, glossaries=("ui",))
    [again] = await translate(pipeline, "The lazy dog.  The box!", terms=terms, glossaries=("ui",))
    [plain] = await translate(pipeline, "The lazy dog.  The box!")

    assert translation(first).text == "The quick fox.  The fox!"
    assert [(each.source, each.glossary, each.applied) for each in translation(first).terms] == [
        ("lazy dog", "ui", 1),
        ("box", "", 1),
    ]
    assert (translation(again).text, translation(again).terms) == (translation(first).text, translation(first).terms)
    assert translation(again).cache_hit
    assert (translation(plain).text, translation(plain).terms) == ("The lazy dog.  The box!", ())


async def test_a_request_has_so_many_terms_at_most(pipeline_of: Callable[..., Pipeline]) -> None:
    """More are refused with the way out."""
    terms = tuple(Term(f"a{number}", "b") for number in range(4))

    with pytest.raises(
        InvalidRequest, match=r"^terms: 4 terms, the limit is 3 \(--max-terms\): keep them in a glossary"
    ):
        await translate(pipeline_of(max_terms=3), "The box.", terms=terms)
    with pytest.raises(InvalidRequest, match="this server takes none"):
        await translate(pipeline_of(max_terms=0), "The box.", terms=terms)


MARKED = "<p title='Red car'>Hello <b>big</b> dog. <i>Good day.</i></p><p>{n} &amp; <code>x</code></p><pre>y</pre>"


async def test_a_text_with_mark_up_comes_back_with_all_of_it(pipeline: Pipeline, lanes: FakeLanes) -> None:
    """The model reads plain sentences, those with marks carry their attention; what has no text is never read."""
    [outcome] = await translate(pipeline, MARKED, format=InputFormat.HTML, output=Output(kept_spans=True))

    one = translation(outcome)
    assert one.text == MARKED
    assert one.marks == MarkCounts(by_attention=1)
    assert [segment.attention for segment in lanes.submitted] == [True, False]


async def test_attributes_are_segments_of_their_own(pipeline: Pipeline, lanes: FakeLanes) -> None:
    """Where they are asked for."""
    await translate(pipeline, MARKED, format=InputFormat.HTML, translate_attributes=True)

    assert len(lanes.submitted) == 3


async def test_spans_within_marks_come_back_whatever_a_model_loses(
    pipeline: Pipeline, lanes: FakeLanes, tokenizer: Tokenizer
) -> None:
    """A segment that is cut around its spans has its marks in parts; none is lost or doubled."""
    lanes.says = spoiled(tokenizer, without_digits)
    source = "<p>Hello <b>my {count} dogs</b> and <i><code>x&lt;y</code></i> too.</p>"

    [outcome] = await translate(pipeline, source, format=InputFormat.HTML)

    one = translation(outcome)
    assert one.text == source
    assert one.keeping == KeepingCounts(cut=2)


async def test_xml_that_is_not_well_formed_fails_alone(pipeline: Pipeline, lanes: FakeLanes) -> None:
    """Its own error says where; the other texts are translated."""
    outcomes = await translate(pipeline, "<a>The dog.</b>", "<a>The dog.</a>", format=InputFormat.XML)

    assert isinstance(outcomes[0], InvalidRequest)
    assert "texts[0].text: not well-formed XML: mismatched tag, line 1" in str(outcomes[0])
    assert translation(outcomes[1]).text == "<a>The dog.</a>"


async def test_formats_are_not_remembered_for_each_other(remembering: Pipeline, lanes: FakeLanes) -> None:
    """The same characters are another text."""
    source = "The &amp; dog."
    [html] = await translate(remembering, source, format=InputFormat.HTML)
    [plain] = await translate(remembering, source)

    assert (translation(html).text, translation(plain).text) == (source, source)
    assert len(lanes.submitted) == 2

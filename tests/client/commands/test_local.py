"""Translating in this process: what a server would do, without one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dragoman.client import (
    Alternatives,
    DragomanError,
    Engine,
    EnginePreference,
    FinishReason,
    InvalidRequest,
    OnTooLong,
    Options,
    Priority,
    Sampling,
    Score,
    ScoreOptions,
    Splitting,
    Translation,
    UnknownModel,
    UnsupportedByModel,
    codec,
)
from dragoman.client.commands import local
from dragoman.server.app.in_process import InProcessService
from dragoman.server.app.translator import LocalTranslator
from dragoman.server.core import segments
from dragoman.server.core.errors import EngineFailure
from dragoman.server.decode.strategies import sampling
from dragoman.server.decode.strategies.forced import Forced
from dragoman.server.testing import FakeLanes, write_bundle


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundles") / "echo").directory


@pytest.fixture
def lanes() -> FakeLanes:
    return FakeLanes()


@pytest.fixture
def service(directory: Path, lanes: FakeLanes) -> Iterator[InProcessService]:
    with LocalTranslator(directory, lanes=lanes) as translator:
        yield InProcessService(translator)


def translate(service: InProcessService, options: Options, *texts: str) -> list[Any]:
    """All outcomes, two texts at a time."""
    return list(local.translate_batches(service, codec.batches(texts, 2), options))


def test_texts_come_back_in_order_with_every_fact(service: InProcessService) -> None:
    """That the server's results hold; a batch without texts is none."""
    batches = [["The dog.", ""], [], ["The fox."]]

    outcomes = list(local.translate_batches(service, batches, Options()))

    assert [(one.text, one.engine) for one in outcomes if isinstance(one, Translation)] == [
        ("The dog.", Engine.GREEDY),
        ("", None),
        ("The fox.", Engine.GREEDY),
    ]
    first, second, _ = outcomes
    assert isinstance(first, Translation)
    assert isinstance(second, Translation)
    assert (first.segments, first.decode_steps) == (1, first.source_tokens)
    assert (first.hypotheses[0].score, second.finish_reason) == (-1.0, FinishReason.EMPTY_INPUT)


def test_options_reach_the_lanes(service: InProcessService, lanes: FakeLanes) -> None:
    """All of them, also those that only a server was once asked for."""
    options = Options(
        source_language="EN",
        target_language="pt-BR",
        model="echo",
        splitting=Splitting.NONE,
        priority=Priority.BATCH,
        target_prefix="O",
        sampling=Sampling(top_k=3, seed=7),
        min_length=2,
        token_scores=True,
        alignments=True,
    )

    [one] = translate(service, options, "The dog. The fox.")

    [segment] = lanes.submitted
    assert segment.strategy == sampling.Sampling(7, top_k=3)
    assert (segment.decoding.min_length, segment.priority, segment.attention) == (2, segments.Priority.BATCH, True)
    assert len(segment.prefix) > 0
    assert (len(one.hypotheses[0].tokens), one.hypotheses[0].alignments != ()) == (one.target_tokens, True)


def test_a_sample_without_a_seed_is_another_one_each_time(service: InProcessService, lanes: FakeLanes) -> None:
    """As with a server."""
    for _ in range(3):
        translate(service, Options(sampling=Sampling()), "The dog.")

    assert len({segment.strategy.seed for segment in lanes.submitted}) == 3  # type: ignore[union-attr]


def test_the_end_of_what_is_too_long_may_be_left_out(service: InProcessService) -> None:
    """And the translation says so."""
    options = Options(on_too_long=OnTooLong.TRUNCATE)

    whole, cut = translate(service, options, "The dog.", "the lazy dog, " * 40)

    assert (whole.source_truncated, cut.source_truncated, cut.segments) == (False, True, 1)


@pytest.mark.parametrize(
    ("options", "kind", "named"),
    [
        (Options(patience=0.0), InvalidRequest, r"decoding\.patience"),
        (Options(model="other"), UnknownModel, "no model is called 'other'"),
        (Options(target_language="de"), UnknownModel, "no model translates .* to de; served are en-pt"),
        (Options(source_language="pt", target_language="en"), UnknownModel, "from pt to en"),
        (Options(shortlist=True), UnsupportedByModel, r"decoding\.shortlist"),
        (Options(engine=EnginePreference.NAT), UnsupportedByModel, "engine"),
        (Options(sampling=Sampling(), alternatives=Alternatives(2)), InvalidRequest, r"decoding\.alternatives"),
    ],
)
def test_what_cannot_be_done_is_refused_as_a_server_would(
    service: InProcessService, lanes: FakeLanes, options: Options, kind: type[DragomanError], named: str
) -> None:
    """Before anything is decoded; no option is ignored."""
    with pytest.raises(kind, match=named):
        translate(service, options, "a")

    assert lanes.submitted == []


def test_a_text_that_fails_loses_no_other(service: InProcessService) -> None:
    """It comes as its error."""
    bad, good = translate(service, Options(target_prefix="O"), "The dog. The fox.", "The fox.")

    assert isinstance(bad, InvalidRequest)
    assert good.text == "O The fox."


def test_a_failure_of_the_engine_says_why(service: InProcessService, lanes: FakeLanes) -> None:
    """There is no log to look into, and nobody to keep it from."""
    lanes.failure = EngineFailure("node 7")

    [outcome] = translate(service, Options(), "a")

    assert isinstance(outcome, DragomanError)
    assert (outcome.code, str(outcome)) == ("INTERNAL", "the engine failed on this text: node 7")


def test_pairs_are_scored(service: InProcessService, lanes: FakeLanes) -> None:
    """In order, with the options; a bad pair loses no other."""
    batches = [[("The dog.", ""), ("", "a")], [], [("The fox.", "The fox.")]]

    options = ScoreOptions(token_scores=True, length_penalty=0.0, target_language="pt")
    first, bad, last = local.score_batches(service, batches, options)

    assert isinstance(first, Score)
    assert isinstance(last, Score)
    assert isinstance(bad, InvalidRequest)
    assert (first.score, first.tokens[0].token) == (-1.0, "</s>")
    assert last.score == -last.target_tokens
    assert all(isinstance(segment.strategy, Forced) for segment in lanes.submitted)


def test_scores_that_cannot_be_had_are_refused(service: InProcessService) -> None:
    """By the names of the request."""
    with pytest.raises(InvalidRequest, match=r"^length_penalty: -1 is not between"):
        list(local.score_batches(service, [[("a", "b")]], ScoreOptions(length_penalty=-1.0)))
    with pytest.raises(UnknownModel):
        list(local.score_batches(service, [[("a", "b")]], ScoreOptions(model="other")))


def test_a_bundle_that_is_not_there_is_an_error_of_the_client(tmp_path: Path) -> None:
    """With the reader's own message."""
    with pytest.raises(DragomanError) as caught, local.local_service(tmp_path / "nowhere"):
        pass

    assert "nowhere" in str(caught.value)
    assert caught.value.code == "FAILED_PRECONDITION"


def test_a_bundle_is_loaded_through_the_door(directory: Path) -> None:
    """Which the server's own module is; graphs that are none are refused in its words."""
    with pytest.raises(DragomanError, match=r"encoder\.onnx"), local.local_service(directory):
        pass


def test_a_bundle_stands_where_a_client_does(service: InProcessService, directory: Path) -> None:
    """It answers batches, and says who it is."""
    client = local.LocalClient(directory, service)

    assert [outcome.text for outcome in client.translate_batches([["a"], ["b"]], Options())] == ["a", "b"]
    assert repr(client) == f"<LocalClient of {directory}>"

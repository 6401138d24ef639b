"""The service within a process: the messages and errors of a server, without one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from dragoman.bundle.reader import Bundle
from dragoman.server.app.in_process import InProcessError, InProcessService, open_service
from dragoman.server.app.translator import LocalTranslator
from dragoman.server.core.errors import EngineFailure
from dragoman.server.testing import FakeLanes
from dragoman.v1 import translation_pb2 as pb

TEXT = pb.Text(text="The dog.")


@pytest.fixture
def service(bundle: Bundle, lanes: FakeLanes) -> Iterator[InProcessService]:
    with LocalTranslator(bundle.directory, lanes=lanes) as translator:
        yield InProcessService(translator)


def test_texts_are_translated(service: InProcessService, bundle: Bundle) -> None:
    """As by a server, with no limit on their number."""
    answer = service.Translate(pb.TranslateRequest(texts=[TEXT] * 1000))

    assert [result.text for result in answer.results] == ["The dog."] * 1000
    assert (answer.model, answer.model_version) == ("echo", bundle.digest[:12])


def test_given_translations_are_scored(service: InProcessService) -> None:
    """A pair that cannot be is an outcome of its own."""
    pairs = [pb.ScorePair(source="The dog.", target=""), pb.ScorePair(target="a")]

    first, second = service.Score(pb.ScoreRequest(pairs=pairs)).results

    assert (first.score, second.status.message) == (-1.0, "pairs[1].source: nothing in it that the model could read")


@pytest.mark.parametrize(
    ("message", "code", "said"),
    [
        (pb.TranslateRequest(), "INVALID_ARGUMENT", "texts: empty"),
        (pb.TranslateRequest(texts=[TEXT], model="other"), "NOT_FOUND", "model: no model is called 'other'"),
        (pb.TranslateRequest(texts=[TEXT], engine=pb.ENGINE_PREFERENCE_NAT), "FAILED_PRECONDITION", "engine: "),
        (pb.TranslateRequest(texts=[TEXT], format=pb.INPUT_FORMAT_TOKENS), "UNIMPLEMENTED", "format: "),
    ],
)
def test_a_call_that_fails_has_the_status_that_a_server_sends(
    service: InProcessService, message: pb.TranslateRequest, code: str, said: str
) -> None:
    """It is an error of gRPC, as callers of servers know them."""
    with pytest.raises(grpc.RpcError) as failed:
        service.Translate(message)

    assert isinstance(failed.value, InProcessError)
    assert failed.value.code() is grpc.StatusCode[code]
    assert failed.value.details().startswith(said)


def test_scores_fail_alike(service: InProcessService) -> None:
    """By the names that fields have there."""
    with pytest.raises(InProcessError) as failed:
        service.Score(pb.ScoreRequest())

    assert failed.value.details() == "pairs: empty: send at least one pair"


def test_a_failure_of_the_engine_says_why(service: InProcessService, lanes: FakeLanes) -> None:
    """There is no log to look into, and nobody to keep it from."""
    lanes.failure = EngineFailure("node 7")

    [result] = service.Translate(pb.TranslateRequest(texts=[TEXT])).results

    assert result.status.message == "the engine failed on this text: node 7"


def test_a_bundle_that_cannot_be_loaded_is_an_error_of_the_call(tmp_path: Path) -> None:
    """With the reader's own message."""
    with pytest.raises(InProcessError, match="no such directory") as failed, open_service(tmp_path / "none"):
        pass

    assert failed.value.code() is grpc.StatusCode.FAILED_PRECONDITION


def test_texts_of_a_pipe_are_answered_one_by_one(service: InProcessService) -> None:
    """Before the next message is taken; a whole text is followed by another, and settings hold until others come."""
    asked: list[str] = []

    def messages() -> Iterator[pb.TranslatePipeRequest]:
        settings = pb.TranslateRequest(live=pb.Live(wait=2))
        for text, is_whole in (("", False), ("The d", False), ("The dog.", True), ("No", True)):
            asked.append(text)
            yield pb.TranslatePipeRequest(
                settings=None if len(asked) > 1 else settings, texts=[pb.Text(text=text)], is_whole=is_whole
            )
        yield pb.TranslatePipeRequest(settings=pb.TranslateRequest())
        yield pb.TranslatePipeRequest(texts=[TEXT, TEXT])

    said = []
    for answer in service.TranslatePipe(messages()):
        said.append([(result.index, result.text) for result in answer.results])
        assert len(asked) == min(len(said), 4)

    assert said[:4] == [[(0, "")], [(0, "")], [(0, "The dog.")], [(1, "No")]]
    assert said[4] == [(4, "The dog."), (5, "The dog.")]


def test_what_is_wrong_with_a_pipe_ends_it(service: InProcessService) -> None:
    """With the status that a server sends."""
    refused = pb.TranslatePipeRequest(settings=pb.TranslateRequest(live=pb.Live(wait=101)), texts=[TEXT])

    with pytest.raises(InProcessError, match=r"live\.wait: not between 1 and 100"):
        next(service.TranslatePipe(iter([refused])))

"""From a message to a request, and from outcomes to the message that answers it."""

from dataclasses import replace

import pytest

from dragoman.server.core.errors import InvalidRequest, UnknownModel, UnsupportedOption
from dragoman.server.core.segments import FinishReason
from dragoman.server.core.strategies import Engine
from dragoman.server.core.translations import TextHypothesis, Timings, Translation
from dragoman.server.decode.strategies.sampling import Sampling
from dragoman.server.pipeline.models import Models
from dragoman.server.pipeline.pipeline import Pipeline
from dragoman.server.transport.front import Front, Message
from dragoman.v1 import translation_pb2 as pb

TEXT = pb.Text(text="The dog.")
PAIR = pb.ScorePair(source="The dog.", target="O cão.")
TERM = pb.Term(source="dog", target="cão")
FORMS = pb.Term(source="dog", target="cão", forms=[pb.TermForm(source="dogs", target="cães")] * 5)
TRANSLATION = Translation(
    (TextHypothesis("O cão.", -2.0, -0.5),), FinishReason.STOP, Engine.GREEDY, 3, 4, 1, 4, Timings(decode_s=0.5)
)


@pytest.fixture
def front(pipeline: Pipeline) -> Front:
    return Front(Models([pipeline]), max_texts=2, max_terms=3)


def test_texts_become_a_request_of_the_model_that_they_mean(front: Front, pipeline: Pipeline) -> None:
    """With the pair that the tags stand for, and the deadline of the call."""
    call = front.accept(pb.TranslateRequest(texts=[TEXT], target_language="PT-br"), "mine")
    request = call.request(deadline_s=9.0)

    assert (call.pipeline, call.id) == (pipeline, "mine")
    assert (request.texts, request.targets, request.deadline_s) == (("The dog.",), None, 9.0)
    assert (request.source_language, request.target_language) == ("en", "pt")


def test_pairs_become_a_request_with_targets(front: Front) -> None:
    """The same path; the id is the client's own where it gives one."""
    call = front.accept(pb.ScoreRequest(pairs=[PAIR], request_id="theirs"), "mine")

    assert call.id == "theirs"
    assert (call.request().texts, call.request().targets) == (("The dog.",), ("O cão.",))


def test_a_sample_without_a_seed_is_another_one_each_time(front: Front) -> None:
    """A seed of the client's own is kept."""
    free = pb.TranslateRequest(texts=[TEXT], decoding={"sampling": {}})
    seeded = pb.TranslateRequest(texts=[TEXT], decoding={"sampling": {"seed": 7}})

    assert front.accept(free).request().seed != front.accept(free).request().seed
    assert front.accept(seeded).request().method == Sampling(7)


@pytest.mark.parametrize(
    ("message", "kind", "said"),
    [
        (pb.TranslateRequest(texts=[TEXT] * 3), InvalidRequest, "texts: 3 texts, the limit is 2"),
        (pb.ScoreRequest(pairs=[PAIR] * 3), InvalidRequest, "pairs: 3 texts, the limit is 2"),
        (pb.TranslateRequest(texts=[TEXT], terms=[TERM] * 4), InvalidRequest, "terms: 4 terms, the limit is 3"),
        (pb.TranslateRequest(texts=[TEXT], terms=[FORMS] * 3), InvalidRequest, "terms: 15 forms, the limit is 12"),
        (pb.TranslateRequest(texts=[pb.Text(text="a", tokens=["b"])]), UnsupportedOption, r"texts\[0\].tokens"),
        (pb.TranslateRequest(texts=[TEXT], model="other"), UnknownModel, "no model is called 'other'"),
        (pb.ScoreRequest(pairs=[PAIR], target_language="de"), UnknownModel, "no model translates .* to de"),
    ],
)
def test_what_cannot_be_honoured_is_refused(front: Front, message: Message, kind: type[Exception], said: str) -> None:
    """Before anything is made of it."""
    with pytest.raises(kind, match=said):
        front.accept(message)


def test_the_number_of_texts_is_looked_at_first(front: Front) -> None:
    """A message has room for millions, and what follows looks at each of them."""
    message = pb.TranslateRequest(texts=[TEXT] * 3, model="other", on_too_long=pb.ON_TOO_LONG_REJECT)

    with pytest.raises(InvalidRequest, match="the limit is 2"):
        front.accept(message)


def test_a_bad_field_is_found_after_the_model(front: Front, pipeline: Pipeline) -> None:
    """So a refusal is counted with the model that the message means."""
    call = front.accept(pb.TranslateRequest(texts=[TEXT], decoding={"sampling": {}, "diversity": {"groups": 2}}))

    with pytest.raises(InvalidRequest, match=r"decoding\.diversity"):
        call.request()
    assert call.pipeline is pipeline


@pytest.mark.parametrize("with_timings", [False, True])
def test_every_answer_says_whose_it_is_and_who_gave_it(front: Front, pipeline: Pipeline, *, with_timings: bool) -> None:
    """And has the results in order; a text's own timings only where they are asked for."""
    asked = pb.TranslateRequest(texts=[TEXT] * 2, output={"timings": with_timings})
    call, outcomes = front.accept(asked, "mine"), [TRANSLATION, InvalidRequest("texts[1].text", "bad")]

    answers = [call.translated(outcomes), call.piped(outcomes, 5), call.streamed(1, outcomes[1])]

    for answer in (*answers, call.stream_ended(outcomes), call.scored(outcomes)):
        assert (answer.request_id, answer.model, answer.model_version) == ("mine", "echo", pipeline.version)
    whole, piped, streamed = answers
    assert isinstance(whole, pb.TranslateResponse)
    assert isinstance(piped, pb.TranslatePipeResponse)
    assert isinstance(streamed, pb.TranslateStreamResponse)
    assert [result.index for result in (*whole.results, *piped.results, streamed.result)] == [0, 1, 5, 6, 1]
    assert whole.results[0].HasField("timings") is with_timings
    assert whole.timings.decode.ToMilliseconds() == 500


def test_scores_answer_pairs(front: Front) -> None:
    """Each with what its translation's best hypothesis has."""
    answer = front.accept(pb.ScoreRequest(pairs=[PAIR])).scored([TRANSLATION])

    assert [(result.log_probability, result.score) for result in answer.results] == [(-2.0, -0.5)]


def test_messages_that_differ_in_their_texts_ask_the_same(front: Front) -> None:
    """Each its own texts, prefixes, contexts, id and deadline; what is known of the first is not looked at again."""
    first = pb.TranslateRequest(texts=[TEXT], target_language="pt", request_id="one")
    second = pb.TranslateRequest(
        texts=[pb.Text(text="The cat.", target_prefix="O", context="A fox."), TEXT],
        target_language="pt",
        request_id="two",
    )
    fresh = Front(front._models, max_texts=2, max_terms=3)
    expected = fresh.accept(second).request(deadline_s=5.0)
    fresh._models.known.clear()
    known = fresh.accept(first).request(deadline_s=3.0)

    call = fresh.accept(second)

    assert call.like == replace(known, texts=(), seed=0, deadline_s=None)
    assert call.id == "two"
    assert replace(call.request(deadline_s=5.0), seed=0) == replace(expected, seed=0)


def test_texts_are_not_kept(front: Front) -> None:
    """They may be as large as a message, and what is known of its like needs none of them."""
    front.accept(
        pb.TranslateRequest(texts=[pb.Text(text="secret" * 10_000, target_prefix="O", context="secret")])
    ).request(3.0)

    [known] = front._models.known.values()

    asked = known.request
    assert (asked.texts, asked.prefixes, asked.contexts, asked.deadline_s) == ((), (), (), None)


@pytest.mark.parametrize(
    ("message", "kind", "said"),
    [
        (pb.TranslateRequest(texts=[TEXT] * 3), InvalidRequest, "3 texts, the limit is 2"),
        (pb.TranslateRequest(texts=[TEXT], request_id="x" * 200), InvalidRequest, "request_id"),
        (pb.TranslateRequest(texts=[TEXT], target_language="de"), UnknownModel, "de"),
    ],
)
def test_what_is_wrong_with_a_message_is_refused_although_its_like_is_known(
    front: Front, message: Message, kind: type[Exception], said: str
) -> None:
    """Number, id and languages are looked at each time."""
    front.accept(pb.TranslateRequest(texts=[TEXT])).request()

    with pytest.raises(kind, match=said):
        front.accept(message).request()


def test_a_text_with_a_newer_field_is_refused_although_its_like_is_known(front: Front) -> None:
    """By its place, as in the first message."""
    front.accept(pb.TranslateRequest(texts=[TEXT])).request()
    text = pb.Text.FromString(TEXT.SerializeToString() + b"\xa0\x06\x01")

    with pytest.raises(UnsupportedOption, match=r"texts\[0\]\.field number 100"):
        front.accept(pb.TranslateRequest(texts=[text])).request()


def test_nothing_is_known_any_more_when_a_bundle_goes(pipeline: Pipeline) -> None:
    """A message that meant it is refused, and nothing keeps the bundle in memory."""
    models = Models([pipeline])
    front = Front(models, max_texts=2, max_terms=3)
    front.accept(pb.TranslateRequest(texts=[TEXT])).request()
    assert models.known

    models.leave(pipeline)

    assert not models.known
    with pytest.raises(UnknownModel):
        front.accept(pb.TranslateRequest(texts=[TEXT]))

"""From the users' types to the wire and back."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from dragoman.client import codec
from dragoman.client.errors import DeadlineExceeded, InvalidRequest, ServerFault, SomeTextsFailed
from dragoman.client.types import (
    Alignment,
    Alternatives,
    CacheMode,
    Diversity,
    DraftSource,
    EarlyStopping,
    Engine,
    EnginePreference,
    FinishReason,
    Glossary,
    Grammar,
    InputFormat,
    Keeping,
    KeepingCounts,
    KeptSpan,
    Labels,
    LanguagePair,
    LengthPenaltyKind,
    Lossy,
    MarkCounts,
    MinimumBayesRisk,
    ModelState,
    Nat,
    OffsetUnit,
    OnLoop,
    OnTooLong,
    Options,
    Priority,
    Protection,
    Sampling,
    Score,
    ScoreOptions,
    Span,
    SpanKind,
    SpanPair,
    Speculation,
    Splitting,
    TermOccurrence,
    TermOutcome,
    TermUse,
    TextWarning,
    TokenScore,
    Translation,
    UnknownHandling,
    WarningKind,
)
from dragoman.glossary.terms import Term, TermForm
from dragoman.v1 import translation_pb2 as pb

# Zero and false where they can be, for that is what "not set" must not be confused with.
VALUES: dict[str, Any] = {
    "source_language": "en",
    "target_language": "pt-BR",
    "model": "enpt",
    "model_version": "7",
    "format": InputFormat.HTML,
    "translate_attributes": True,
    "splitting": Splitting.LINES,
    "on_too_long": OnTooLong.REJECT,
    "on_loop": OnLoop.CONTINUE,
    "protection": Protection(kinds=(SpanKind.URL, SpanKind.EMAIL), patterns=("a+",), off=True),
    "engine": EnginePreference.SPECULATIVE,
    "nat": Nat(passes=4, length_scale=1.5, exact_length=9, length_candidates=3, decoder="ctc", rescore=True),
    "speculation": Speculation(draft=DraftSource.SOURCE, draft_tokens=8, lossy=Lossy(top=5, margin=0.5)),
    "priority": Priority.BATCH,
    "cache": CacheMode.READ_ONLY,
    "terms": (Term("a", "b", inflected=True, forms=(TermForm("as", "bs"),)), Term("c", do_not_translate=True)),
    "glossaries": ("brands", "ui"),
    "target_prefix": "Olá",
    "context": "Antes.",
    "scores": True,
    "token_scores": True,
    "alignments": True,
    "sentence_spans": True,
    "kept_spans": True,
    "term_spans": True,
    "offset_unit": OffsetUnit.UTF16,
    "beam_size": 4,
    "num_hypotheses": 2,
    "length_penalty": 0.0,
    "length_penalty_kind": LengthPenaltyKind.GNMT,
    "word_penalty": -0.5,
    "coverage_penalty": 0.0,
    "patience": 2.0,
    "early_stopping": EarlyStopping.EXHAUSTIVE,
    "min_length": 0,
    "max_length": 1,
    "max_length_factor": 1.5,
    "repetition_penalty": 1.25,
    "no_repeat_ngram_size": 0,
    "source_no_repeat_ngram_size": 0,
    "suppressed_tokens": ("▁a", ""),
    "unknown_handling": UnknownHandling.COPY,
    "sampling": Sampling(top_k=1, top_p=0.5, temperature=2.0, seed=0, min_p=0.25, epsilon=0.125),
    "diversity": Diversity(groups=2, penalty=0.5),
    "grammar": Grammar("{}", "a|b", "start: a"),
    "choice": Labels(("a", "b"), 2, " | "),
    "minimum_bayes_risk": MinimumBayesRisk(4, Sampling(1, 0.5, 2.0, 0, 0.25, 0.125)),
    "alternatives": Alternatives(count=3, min_probability=0.25),
    "decoder": "ssru",
    "profile": "fairseq",
    "shortlist": False,
}


def plain(value: object) -> object:
    """A users' value as the wire spells it."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, DraftSource):
        return f"DRAFT_SOURCE_{value.name}"
    if isinstance(value, SpanKind):
        return f"SPAN_KIND_{value.name}"
    if isinstance(value, tuple):
        return list(map(plain, value))
    return value


def without_defaults(value: Any) -> Any:
    """A value as `plain` writes it, without what a repeated message need not have."""
    if isinstance(value, list):
        return [without_defaults(item) for item in value]
    return {name: without_defaults(part) for name, part in value.items() if part} if isinstance(value, dict) else value


def sent(message: Any) -> dict[str, object]:
    """All fields that are set, by name, without regard to the message that holds them; enums as their value's name."""
    found: dict[str, object] = {}
    for field, value in message.ListFields():
        if field.name in ("decoding", "output"):
            found |= sent(value)
        elif field.name == "texts":
            found |= {name: prefix for name, prefix in sent(value[0]).items() if name != "text"}
        elif field.name == "pairs":
            pass
        elif field.is_repeated:
            names = field.enum_type and field.enum_type.values_by_number
            inner = field.message_type is not None
            found[field.name] = [names[item].name if names else sent(item) if inner else item for item in value]
        elif field.enum_type is not None:
            found[field.name] = field.enum_type.values_by_number[value].name
        elif field.message_type is not None:
            found[field.name] = sent(value)
        else:
            found[field.name] = value
    return found


def test_every_option_has_a_value_below() -> None:
    """A new field of Options is tested without anyone thinking of it."""
    assert set(VALUES) == {field.name for field in dataclasses.fields(Options)}


@pytest.mark.parametrize("name", VALUES)
def test_an_option_arrives_when_it_is_set_and_nothing_else_does(name: str) -> None:
    """One set field of Options is one set field of the message, zero and false included."""
    message = codec.request(["a"], Options(**{name: VALUES[name]}))

    arrived = sent(pb.TranslateRequest.FromString(message.SerializeToString()))
    assert set(arrived) == {name}
    value = arrived[name]
    if isinstance(value, str) and hasattr(VALUES[name], "name"):
        assert value.endswith(f"_{VALUES[name].name}")
    else:
        expected = plain(VALUES[name])
        assert value == (without_defaults(expected) if name == "terms" else expected)


SCORE_VALUES: dict[str, Any] = {name: VALUES[name] for name in vars(ScoreOptions())}


@pytest.mark.parametrize("name", SCORE_VALUES)
def test_an_option_of_a_score_arrives_when_it_is_set(name: str) -> None:
    """One set field of ScoreOptions is one set field of the message."""
    message = codec.score_request([("a", "b")], ScoreOptions(**{name: SCORE_VALUES[name]}))

    arrived = sent(pb.ScoreRequest.FromString(message.SerializeToString()))
    assert set(arrived) == {name}
    value = arrived[name]
    if hasattr(SCORE_VALUES[name], "name"):
        assert str(value).endswith(f"_{SCORE_VALUES[name].name}")
    else:
        assert value == SCORE_VALUES[name]


def test_pairs_are_sent_as_they_are() -> None:
    """Empty translations, too; what has no UTF-8 is refused by its place."""
    message = codec.score_request([("a", ""), ("ü\n", "b")], ScoreOptions())

    assert message == pb.ScoreRequest(pairs=[{"source": "a"}, {"source": "ü\n", "target": "b"}])
    with pytest.raises(InvalidRequest, match=r"pairs\[0\]\.target: .*surrogate"):
        codec.score_request([("a", "\udcff")], ScoreOptions())


def test_scores_come_back_whole() -> None:
    """Each in its place, a failed one as its error."""
    response = pb.ScoreResponse(
        results=[
            pb.ScoreResult(
                index=0,
                log_probability=-2.0,
                score=-0.5,
                source_tokens=3,
                target_tokens=4,
                tokens=[pb.TokenScore(token="</s>", log_probability=-2.0)],
            ),
            pb.ScoreResult(index=1, status={"code": 3, "message": "pairs[1].source: empty"}),
        ]
    )

    first, second = codec.score_outcomes(response, 2)

    assert first == Score(-2.0, -0.5, 3, 4, (TokenScore("</s>", -2.0),))
    assert isinstance(second, InvalidRequest)
    with pytest.raises(ServerFault, match="3 pairs were sent and 2 results came"):
        codec.score_outcomes(response, 3)


def test_without_options_only_the_texts_are_sent() -> None:
    """Everything else is left to the server and the bundle."""
    message = codec.request(["a", "", "ü\n"], Options())

    assert message == pb.TranslateRequest(texts=[{"text": "a"}, {"text": ""}, {"text": "ü\n"}])


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"beam_size": -1}, "beam_size"),
        ({"beam_size": 2**32}, "beam_size"),
        ({"splitting": "words"}, "splitting: 'words' is not one of sentences, lines, none"),
        ({"length_penalty_kind": LengthPenaltyKind.UNKNOWN}, "length_penalty_kind"),
        ({"sampling": Sampling(top_p="much")}, "sampling.top_p"),  # type: ignore[arg-type]
        ({"suppressed_tokens": (1,)}, "suppressed_tokens"),
    ],
)
def test_what_the_wire_cannot_carry_is_refused_by_name(options: dict[str, Any], named: str) -> None:
    """The error names the option, whatever was wrong with its value."""
    with pytest.raises(InvalidRequest, match=named):
        codec.request(["a"], Options(**options))


def test_a_text_that_is_not_unicode_is_refused_by_its_position() -> None:
    """A lone surrogate, as Python makes of undecodable bytes, cannot travel."""
    with pytest.raises(InvalidRequest, match=r"texts\[1\]\.text: .*surrogate"):
        codec.request(["fine", "\udcff"], Options())


def test_a_result_comes_back_whole() -> None:
    """Every fact of a result that has a place in Translation arrives in it."""
    facts: dict[str, Any] = {
        "source_truncated": True,
        "source_tokens": 3,
        "target_tokens": 4,
        "segments": 2,
        "decode_steps": 5,
        "nat_passes": 6,
        "drafted_tokens": 8,
        "accepted_tokens": 7,
        "cache_hit": True,
        "detected_source_language": "en",
    }
    result = pb.TextResult(text="a", finish_reason=pb.FINISH_REASON_LENGTH, engine=pb.ENGINE_NAT, **facts)
    result.hypotheses.add(
        text="a",
        log_probability=-2.0,
        score=0.0,
        finish_reason=pb.FINISH_REASON_LENGTH,
        tokens=[pb.TokenScore(token="▁a", log_probability=-0.5)],
        alignments=[pb.Alignment(source={"start": 0, "end": 2}, target={"start": 1, "end": 3}, weight=0.75)],
    )
    result.hypotheses.add(text="b", finish_reason=pb.FINISH_REASON_STOP)
    result.sentence_spans.add(source={"start": 0, "end": 1}, target={"start": 2, "end": 3})
    result.keeping.form = 2
    result.marks.by_position = 1
    url = {"kind": pb.SPAN_KIND_URL, "keeping": pb.KEEPING_FORM}
    result.kept.add(source={"start": 0, "end": 1}, target={"start": 0, "end": 2}, **url)
    result.kept.add(source={"start": 3, "end": 4}, kind=99, keeping=pb.KEEPING_LOST)
    result.warnings.add(kind=pb.WARNING_KIND_UNTRANSLATED, source={"start": 0, "end": 1}, detail="why")
    result.warnings.add(kind=99)
    found = [
        pb.TermOccurrence(source={"end": 1}, target={"start": 2, "end": 3}, use=pb.TERM_USE_APPLIED),
        pb.TermOccurrence(source={"start": 4, "end": 5}, use=pb.TERM_USE_PROTECTED),
    ]
    result.terms.add(term_index=3, occurrences=2, applied=1, glossary="ui", source="x", found=found)

    outcome = codec.outcome(result)

    assert isinstance(outcome, Translation)
    assert {name: getattr(outcome, name) for name in facts} == facts
    assert (outcome.finish_reason, outcome.engine, outcome.is_complete) == (FinishReason.LENGTH, Engine.NAT, False)
    assert [(one.text, one.log_probability, one.score) for one in outcome.hypotheses] == [
        ("a", -2.0, 0.0),
        ("b", None, None),
    ]
    first, second = outcome.hypotheses
    assert (first.finish_reason, second.finish_reason) == (FinishReason.LENGTH, FinishReason.STOP)
    assert (first.tokens, second.tokens) == ((TokenScore("▁a", -0.5),), ())
    assert (first.alignments, second.alignments) == ((Alignment(Span(0, 2), Span(1, 3), 0.75),), ())
    assert outcome.sentence_spans == (SpanPair(Span(0, 1), Span(2, 3)),)
    assert outcome.keeping == KeepingCounts(form=2)
    assert outcome.marks == MarkCounts(by_position=1)
    assert outcome.kept == (
        KeptSpan(Span(0, 1), SpanKind.URL, Keeping.FORM, Span(0, 2)),
        KeptSpan(Span(3, 4), SpanKind.UNKNOWN, Keeping.LOST),
    )
    assert outcome.warnings == (
        TextWarning(WarningKind.UNTRANSLATED, Span(0, 1), detail="why"),
        TextWarning(WarningKind.UNKNOWN),
    )
    places = (
        TermOccurrence(Span(0, 1), Span(2, 3), TermUse.APPLIED),
        TermOccurrence(Span(4, 5), None, TermUse.PROTECTED),
    )
    assert outcome.terms == (TermOutcome(3, 2, 1, 0, 0, "ui", "x", places),)


@pytest.mark.parametrize(
    ("enum", "kind"),
    [
        (pb.FinishReason, FinishReason),
        (pb.Engine, Engine),
        (pb.ModelState, ModelState),
        (pb.SpanKind, SpanKind),
        (pb.Keeping, Keeping),
        (pb.WarningKind, WarningKind),
        (pb.TermUse, TermUse),
    ],
)
def test_the_client_knows_every_value_of_the_contract(enum: Any, kind: Any) -> None:
    """What a result can say has a member of the same name."""
    prefix = enum.DESCRIPTOR.values[0].name.removesuffix("UNSPECIFIED")

    names = {name.removeprefix(prefix) for name in enum.DESCRIPTOR.values_by_name} - {"UNSPECIFIED"}
    assert names | {"UNKNOWN"} == set(kind.__members__)


def test_values_of_a_newer_contract_are_unknown_and_not_complete() -> None:
    """An old client never takes a reason that it does not know for a good end."""
    outcome = codec.outcome(pb.TextResult.FromString(b"\x28\x63\x48\x63"))  # fields 5 and 9, both 99

    assert isinstance(outcome, Translation)
    assert (outcome.finish_reason, outcome.engine) == (FinishReason.UNKNOWN, Engine.UNKNOWN)
    assert not outcome.is_complete


def test_an_empty_text_has_no_engine() -> None:
    """Nothing was decoded, so nothing decoded it; the translation is complete."""
    outcome = codec.outcome(pb.TextResult(finish_reason=pb.FINISH_REASON_EMPTY_INPUT))

    assert isinstance(outcome, Translation)
    assert (outcome.text, outcome.engine, outcome.is_complete) == ("", None, True)


def test_a_failed_text_is_its_error_and_the_others_are_kept() -> None:
    """One bad text does not lose the others, and cannot be taken for an empty translation."""
    response = pb.TranslateResponse(
        results=[{"index": 0, "text": "A"}, {"index": 1, "status": {"code": 4, "message": "late"}}]
    )

    outcomes = codec.outcomes(response, 2)
    with pytest.raises(SomeTextsFailed, match="1 of 2 texts failed, the first is text 1: late") as caught:
        codec.all_or_raise(outcomes)

    assert isinstance(outcomes[1], DeadlineExceeded)
    assert caught.value.code == "DEADLINE_EXCEEDED"
    assert isinstance(caught.value.outcomes[0], Translation)
    assert list(caught.value.errors) == [1]


def test_a_code_beyond_the_known_is_the_servers_fault() -> None:
    """No number of a status makes the client fail."""
    assert isinstance(codec.outcome(pb.TextResult(status={"code": 99})), ServerFault)


@pytest.mark.parametrize("indices", [[], [0], [1, 0], [0, 1, 2]])
def test_results_that_do_not_match_the_texts_are_refused(indices: list[int]) -> None:
    """A translation is never given to the wrong text."""
    response = pb.TranslateResponse(results=[pb.TextResult(index=index) for index in indices])

    with pytest.raises(ServerFault):
        codec.outcomes(response, 2)


def test_a_models_defaults_are_what_was_set_and_nothing_more() -> None:
    """A default of 0 or false is shown, one that is not known is None; 0.6 does not turn into 0.6000000238."""
    message = pb.Model(
        name="enpt",
        language_pairs=[{"source": "en", "target": "pt"}],
        defaults={"beam_size": 4, "length_penalty": 0.6, "shortlist": False, "sampling": {"top_p": 0.9}},
        engines=[pb.ENGINE_BEAM, pb.ENGINE_GREEDY],
        limits={"max_beam_size": 12},
        glossaries=[{"name": "ui", "terms": 7}],
        state=pb.MODEL_STATE_SERVING,
    )

    model = codec.model(message)

    assert model.defaults == Options(beam_size=4, length_penalty=0.6, shortlist=False, sampling=Sampling(top_p=0.9))
    assert model.language_pairs == (LanguagePair("en", "pt"),)
    assert model.glossaries == (Glossary("ui", 7),)
    assert (model.engines, model.state) == ((Engine.BEAM, Engine.GREEDY), ModelState.SERVING)
    assert (model.limits.max_beam_size, model.limits.max_texts) == (12, 0)


@pytest.mark.parametrize("value", [0.1, 1 / 3, 16777216.0, 1e-45, float("inf")])
def test_a_32_bit_default_is_shown_without_changing_it(value: float) -> None:
    """What the client shows can be sent back and is the same number."""
    sent = pb.Model(defaults={"length_penalty": value})

    shown = codec.model(sent).defaults.length_penalty

    assert pb.Model(defaults={"length_penalty": shown}) == sent


def test_batches_are_small_in_bytes_too() -> None:
    """Bytes of UTF-8, not characters; a text that is larger by itself travels alone."""
    texts = ["é" * 5, "a", "a", "é" * 6, "", "b"]

    assert list(codec.batches(texts, 9, max_bytes=11)) == [["é" * 5, "a"], ["a"], ["é" * 6], ["", "b"]]
    pairs = [("é" * 5, "a"), ("a", ""), ("", "b")]
    assert list(codec.batches(pairs, 9, max_bytes=11)) == [pairs[:1], pairs[1:]]


def test_batches_of_no_text_are_refused_at_once() -> None:
    """Not only when the first text is wanted."""
    with pytest.raises(ValueError, match="batch_size is 0, below 1"):
        codec.batches(["a"], 0)


def test_batches_read_no_further_than_they_must() -> None:
    """A pipe that is slow to write is not waited for before the texts that are there are sent."""
    read: list[str] = []

    def texts() -> Iterator[str]:
        for text in "abcde":
            read.append(text)
            yield text

    batches = codec.batches(texts(), 2)

    assert (next(batches), read) == (["a", "b"], ["a", "b"])
    assert list(batches) == [["c", "d"], ["e"]]

"""What became of a request, on the wire."""

from dataclasses import replace

from dragoman.server.core.errors import EngineFailure
from dragoman.server.core.protection import Keeping, KeptSpan, SpanKind, TextWarning, WarningKind
from dragoman.server.core.segments import FinishReason
from dragoman.server.core.spans import Span
from dragoman.server.core.strategies import Engine
from dragoman.server.core.translations import (
    Alignment,
    KeepingCounts,
    MarkCounts,
    SpanPair,
    TextHypothesis,
    Timings,
    TokenScore,
    Translation,
)
from dragoman.server.transport.codec import results
from dragoman.v1 import translation_pb2 as pb

TRANSLATION = Translation(
    hypotheses=(
        TextHypothesis(
            "um",
            -1.5,
            -0.75,
            FinishReason.LENGTH,
            tokens=(TokenScore("▁um", -0.5), TokenScore("</s>", -1.0)),
            alignments=(Alignment(Span(0, 3), Span(0, 2), 0.5),),
        ),
        TextHypothesis("uma", -2.0, -1.0, FinishReason.STOP),
    ),
    finish_reason=FinishReason.LENGTH,
    engine=Engine.BEAM,
    source_tokens=3,
    target_tokens=4,
    segments=2,
    decode_steps=7,
    timings=Timings(0.001, 0.002, 0.003, 0.004, 0.005),
    sentence_spans=(SpanPair(Span(1, 3), Span(0, 2)),),
    keeping=KeepingCounts(form=1, lost=1),
    kept=(
        KeptSpan(Span(0, 1), Span(2, 3), SpanKind.URL, Keeping.FORM),
        KeptSpan(Span(1, 2), None, SpanKind.TERM, Keeping.LOST),
    ),
    warnings=(TextWarning(WarningKind.UNTRANSLATED, Span(0, 1), None, "why"),),
    marks=MarkCounts(by_attention=2, by_position=1),
)


def test_a_result_says_all_that_is_known() -> None:
    """Every field of a translation is on the wire; timings only where they were asked for."""
    result = results.result(5, TRANSLATION, timings=True)

    assert (result.index, result.text, result.finish_reason) == (5, "um", pb.FINISH_REASON_LENGTH)
    assert [(one.text, one.log_probability, one.score) for one in result.hypotheses] == [
        ("um", -1.5, -0.75),
        ("uma", -2.0, -1.0),
    ]
    assert (result.engine, result.source_tokens, result.target_tokens) == (pb.ENGINE_BEAM, 3, 4)
    assert (result.decode_steps, result.segments, result.timings.detokenize.ToMilliseconds()) == (7, 2, 5)
    assert list(result.sentence_spans) == [pb.SpanPair(source={"start": 1, "end": 3}, target={"start": 0, "end": 2})]
    assert result.marks == pb.MarkCounts(by_attention=2, by_position=1)
    assert result.keeping == pb.KeepingCounts(form=1, lost=1)
    url = {"kind": pb.SPAN_KIND_URL, "keeping": pb.KEEPING_FORM}
    assert list(result.kept) == [
        pb.KeptSpan(source={"end": 1}, target={"start": 2, "end": 3}, **url),
        pb.KeptSpan(source={"start": 1, "end": 2}, kind=pb.SPAN_KIND_TERM, keeping=pb.KEEPING_LOST),
    ]
    assert list(result.warnings) == [pb.TextWarning(kind=pb.WARNING_KIND_UNTRANSLATED, source={"end": 1}, detail="why")]
    assert not results.result(5, TRANSLATION, timings=False).HasField("timings")


def test_a_hypothesis_says_all_that_is_known() -> None:
    """Its tokens and alignments, and why it ended."""
    first, second = results.result(0, TRANSLATION, timings=False).hypotheses

    assert [(one.token, one.log_probability) for one in first.tokens] == [("▁um", -0.5), ("</s>", -1.0)]
    assert list(first.alignments) == [
        pb.Alignment(source={"start": 0, "end": 3}, target={"start": 0, "end": 2}, weight=0.5)
    ]
    assert first.finish_reason == pb.FINISH_REASON_LENGTH
    assert (second.finish_reason, len(second.tokens)) == (pb.FINISH_REASON_STOP, 0)


def test_a_score_says_all_that_is_known() -> None:
    """Every field but the timings, which are the call's."""
    hypothesis = TextHypothesis("a", -3.0, -1.5, tokens=(TokenScore("▁a", -3.0),))
    timings = Timings(queue_s=0.25)
    scored = Translation((hypothesis,), FinishReason.STOP, None, 4, 2, 1, 2, timings, is_given=True)

    assert results.score_result(2, scored) == pb.ScoreResult(
        index=2,
        log_probability=-3.0,
        score=-1.5,
        source_tokens=4,
        target_tokens=2,
        tokens=[pb.TokenScore(token="▁a", log_probability=-3.0)],
    )
    assert results.call_timings([scored], 1.0).queue.ToMilliseconds() == 250


def test_every_reason_and_engine_has_a_number() -> None:
    """A new member of either enum cannot be forgotten."""
    for reason in FinishReason:
        sent = results.result(0, replace(TRANSLATION, finish_reason=reason), timings=False).finish_reason
        assert pb.FinishReason.Name(sent) == f"FINISH_REASON_{reason.name}"
    for engine in Engine:
        sent = results.result(0, replace(TRANSLATION, engine=engine), timings=False).engine
        assert pb.Engine.Name(sent) == f"ENGINE_{engine.name}"
    assert results.result(0, replace(TRANSLATION, engine=None), timings=False).engine == pb.ENGINE_UNSPECIFIED


def test_an_error_is_a_status_and_nothing_else() -> None:
    """What failed inside stays inside, of a text and of a pair."""
    status = pb.TextStatus(code=13, message="the engine failed on this text; the server's log says why")
    failure = EngineFailure("node 7 of /models/x")

    assert results.result(1, failure, timings=True) == pb.TextResult(index=1, status=status)
    assert results.score_result(1, failure) == pb.ScoreResult(index=1, status=status)

"""What became of a request, as messages: pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

from google.protobuf.duration_pb2 import Duration
from google.rpc.code_pb2 import Code

from dragoman.server.core.errors import ServingError
from dragoman.server.core.segments import FinishReason
from dragoman.server.core.strategies import Engine
from dragoman.server.core.translations import (
    Outcome,
    Span,
    TextHypothesis,
    Timings,
    TokenScore,
    Translation,
)
from dragoman.v1 import translation_pb2 as pb

FINISH_REASON = {
    FinishReason.STOP: pb.FINISH_REASON_STOP,
    FinishReason.LENGTH: pb.FINISH_REASON_LENGTH,
    FinishReason.EMPTY_INPUT: pb.FINISH_REASON_EMPTY_INPUT,
}
ENGINE = {
    None: pb.ENGINE_UNSPECIFIED,
    Engine.GREEDY: pb.ENGINE_GREEDY,
    Engine.BEAM: pb.ENGINE_BEAM,
    Engine.SAMPLING: pb.ENGINE_SAMPLING,
    Engine.SPECULATIVE: pb.ENGINE_SPECULATIVE,
    Engine.SPECULATIVE_LOSSY: pb.ENGINE_SPECULATIVE_LOSSY,
    Engine.NAT: pb.ENGINE_NAT,
}


def result(index: int, outcome: Outcome, *, timings: bool) -> pb.TextResult:
    """What became of one text."""
    if isinstance(outcome, ServingError):
        return pb.TextResult(index=index, status=_status(outcome))
    return pb.TextResult(
        index=index,
        text=outcome.text,
        hypotheses=[_hypothesis(one, outcome.finish_reason) for one in outcome.hypotheses],
        finish_reason=FINISH_REASON[outcome.finish_reason],
        source_tokens=outcome.source_tokens,
        target_tokens=outcome.target_tokens,
        engine=ENGINE[outcome.engine],
        decode_steps=outcome.steps,
        nat_passes=outcome.work.nat_passes,
        drafted_tokens=outcome.work.drafted,
        accepted_tokens=outcome.work.accepted,
        segments=outcome.segments,
        sentence_spans=[
            pb.SpanPair(source=_span(pair.source), target=_span(pair.target)) for pair in outcome.sentence_spans
        ],
        timings=_timings(outcome.timings) if timings else None,
    )


def score_result(index: int, outcome: Outcome) -> pb.ScoreResult:
    """What became of one pair: of a text and its given translation."""
    if isinstance(outcome, ServingError):
        return pb.ScoreResult(index=index, status=_status(outcome))
    return pb.ScoreResult(
        index=index,
        log_probability=outcome.hypotheses[0].logp,
        score=outcome.hypotheses[0].score,
        source_tokens=outcome.source_tokens,
        target_tokens=outcome.target_tokens,
        tokens=_tokens(outcome.hypotheses[0].tokens),
    )


def _status(error: ServingError) -> pb.TextStatus:
    return pb.TextStatus(code=Code.Value(error.code), message=str(error))


def _hypothesis(one: TextHypothesis, reason: FinishReason) -> pb.Hypothesis:
    return pb.Hypothesis(
        text=one.text,
        log_probability=one.logp,
        score=one.score,
        finish_reason=pb.FINISH_REASON_UNSPECIFIED if one.reason is reason else FINISH_REASON[one.reason],
        tokens=_tokens(one.tokens),
        alignments=[
            pb.Alignment(source=_span(link.source), target=_span(link.target), weight=link.weight)
            for link in one.alignments
        ],
    )


def _tokens(tokens: Iterable[TokenScore]) -> list[pb.TokenScore]:
    return [pb.TokenScore(token=one.token, log_probability=one.logp) for one in tokens]


def _span(span: Span) -> pb.Span:
    return pb.Span(start=span.start, end=span.end)


def call_timings(outcomes: Sequence[Outcome], total_s: float) -> pb.Timings:
    """Where the time of a call went: of its texts, the stages of the last one."""
    message = _timings(Timings.last(one.timings for one in outcomes if isinstance(one, Translation)))
    message.total.CopyFrom(_duration(total_s))
    return message


def _timings(timings: Timings) -> pb.Timings:
    return pb.Timings(
        tokenize=_duration(timings.tokenize_s),
        queue=_duration(timings.queue_s),
        encode=_duration(timings.encode_s),
        decode=_duration(timings.decode_s),
        detokenize=_duration(timings.detokenize_s),
    )


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromTimedelta(timedelta(seconds=max(0.0, seconds)))
    return duration

"""Outcomes to messages: pure functions."""

from collections.abc import Sequence

from google.protobuf.duration_pb2 import Duration
from google.rpc.code_pb2 import Code

from dragoman.server.core.errors import ServingError
from dragoman.server.core.translations import Outcome, Timings, Translation
from dragoman.v1 import translation_pb2 as pb
from dragoman.v1.values import write


def result(index: int, outcome: Outcome, *, timings: bool) -> pb.TextResult:
    """What became of one text."""
    if isinstance(outcome, ServingError):
        return pb.TextResult(index=index, status=_status(outcome))
    stages = _timings(outcome.timings) if timings else None
    return write(pb.TextResult, outcome, outcome.work, index=index, timings=stages)


def score_result(index: int, outcome: Outcome) -> pb.ScoreResult:
    """What became of one pair: of a text and its given translation."""
    if isinstance(outcome, ServingError):
        return pb.ScoreResult(index=index, status=_status(outcome))
    return write(pb.ScoreResult, outcome, outcome.hypotheses[0], index=index)


def _status(error: ServingError) -> pb.TextStatus:
    return pb.TextStatus(code=Code.Value(error.code), message=str(error))


def call_timings(outcomes: Sequence[Outcome], total_s: float) -> pb.Timings:
    """Where the time of a call went: the stages of the text that was finished last."""
    last = Timings.last(one.timings for one in outcomes if isinstance(one, Translation))
    return _timings(last, total=_duration(total_s))


def _timings(timings: Timings, **more: Duration) -> pb.Timings:
    return pb.Timings(
        tokenize=_duration(timings.tokenize_s),
        queue=_duration(timings.queue_s),
        encode=_duration(timings.encode_s),
        decode=_duration(timings.decode_s),
        detokenize=_duration(timings.detokenize_s),
        **more,
    )


def _duration(seconds: float) -> Duration:
    """To the microsecond; none is below zero."""
    whole, micros = divmod(round(seconds * 1e6), 1_000_000) if seconds > 0 else (0, 0)
    return Duration(seconds=whole, nanos=1_000 * micros)

"""Outcomes to messages: pure functions."""

from collections.abc import Sequence
from datetime import timedelta

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
    message = _timings(Timings.last(one.timings for one in outcomes if isinstance(one, Translation)))
    message.total.CopyFrom(_duration(total_s))
    return message


def _timings(timings: Timings) -> pb.Timings:
    return pb.Timings(**{name.removesuffix("_s"): _duration(seconds) for name, seconds in vars(timings).items()})


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromTimedelta(timedelta(seconds=max(0.0, seconds)))
    return duration

"""The front of the service: a message is checked, finds its model and becomes a request; outcomes become its answer.

The gRPC service and the service within a process share it: an option means the same in both, and what cannot be
honoured is refused in the same words.
"""

import secrets
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from dragoman.bundle.manifest import LanguagePair
from dragoman.server.core.errors import Forbidden
from dragoman.server.core.limits import check_number, check_number_of_terms
from dragoman.server.core.requests import Request
from dragoman.server.core.strategies import Beam
from dragoman.server.core.translations import Outcome
from dragoman.server.pipeline.models import Models
from dragoman.server.pipeline.pipeline import Pipeline
from dragoman.server.transport.callers import ANYBODY, Caller
from dragoman.server.transport.codec import requests, results, supported
from dragoman.v1 import translation_pb2 as pb

FEW_TEXTS, SMALL_BYTES, MOST_KNOWN = 16, 1_000, 256
"""Messages of so few texts are known by what they have beside them, where that is small; and of how many this is known.
"""
Message = pb.TranslateRequest | pb.ScoreRequest
Answer = TypeVar("Answer", pb.TranslateResponse, pb.TranslateStreamResponse, pb.TranslatePipeResponse, pb.ScoreResponse)


class Front:
    """Accepts messages for `models`."""

    def __init__(self, models: Models, max_texts: int, max_terms: int) -> None:
        self._models = models
        self._max_texts, self._max_terms = max_texts, max_terms

    def accept(self, message: Message, call_id: str = "", caller: Caller = ANYBODY) -> "Call":
        """Check a message and find its model. `call_id` is the id of a call whose client has given it none."""
        arrived_s = time.perf_counter()
        key = self._key(message, caller)
        known: _Known | None = None if key is None else self._models.known.get(key)
        if known is not None and isinstance(message, pb.TranslateRequest):
            check_number(len(message.texts), self._max_texts)
            for index, text in enumerate(message.texts):
                supported.refuse_unknown(text, f"texts[{index}].")
            call_id = message.request_id or call_id
            return Call(message, known.pipeline, known.pair, call_id, arrived_s, caller, known.request)
        # Numbers first of all: what follows looks at each text and term, and a message has room for millions.
        if isinstance(message, pb.ScoreRequest):
            check_number(len(message.pairs), self._max_texts, "pairs")
            supported.check(message, supported.SCORE)
        else:
            check_number(len(message.texts), self._max_texts)
            check_number_of_terms(len(message.terms), sum(len(term.forms) for term in message.terms), self._max_terms)
            supported.check(message)
        pipeline, pair = self._models.among(caller.models).route(requests.model_query(message))
        learn = None if key is None else partial(self._learn, key, pipeline, pair)
        return Call(message, pipeline, pair, message.request_id or call_id, arrived_s, caller, learn=learn)

    def _key(self, message: Message, caller: Caller) -> Hashable | None:
        """All that decides what a message asks, but for its texts and its id; None of a large one."""
        if not isinstance(message, pb.TranslateRequest) or len(message.texts) > FEW_TEXTS or len(message.terms):
            return None
        rest = pb.TranslateRequest()
        rest.CopyFrom(message)
        rest.ClearField("texts")
        rest.ClearField("request_id")
        written = rest.SerializeToString()
        return (written, caller.models) if len(written) <= SMALL_BYTES else None

    def _learn(self, key: Hashable, pipeline: Pipeline, pair: LanguagePair, request: Request) -> None:
        """Such a message is in order, and asks this."""
        if len(self._models.known) >= MOST_KNOWN:
            self._models.known.clear()
        asked = request.of_texts((), (), (), seed=0, deadline_s=None)  # texts may be large, and are nobody else's
        self._models.known[key] = _Known(pipeline, pair, asked)


@dataclass(frozen=True)
class _Known:
    """What is known of messages that differ in their texts alone."""

    pipeline: Pipeline
    pair: LanguagePair
    request: Request
    """What all of them ask, without texts."""


@dataclass(frozen=True)
class Call:
    """An accepted message, and the messages that answer it."""

    message: Message
    pipeline: Pipeline
    pair: LanguagePair
    id: str
    arrived_s: float
    caller: Caller = ANYBODY
    like: Request | None = None
    """What a message asked that differed in its texts alone."""
    learn: Callable[[Request], None] | None = None
    """Told what this one asks, where it is in order."""

    def request(self, deadline_s: float | None = None) -> Request:
        """What the message asks of the pipeline. Raises what is wrong with its fields, or not the caller's to ask."""
        if self.like is not None and isinstance(self.message, pb.TranslateRequest):
            seed = 0 if isinstance(self.like.method, Beam) else secrets.randbits(64)
            request = requests.like_request(self.message, self.like, deadline_s=deadline_s, fresh_seed=seed)
        elif isinstance(self.message, pb.ScoreRequest):
            request = requests.score_request(self.message, pair=self.pair, deadline_s=deadline_s)
        else:
            seed = secrets.randbits(64)
            request = requests.request(self.message, pair=self.pair, deadline_s=deadline_s, fresh_seed=seed)
            if self.learn is not None:
                self.learn(request)
        if request.grammar is not None:
            request = replace(request, caller=self.caller.name)
        if request.priority >= self.caller.max_priority:
            return request
        if self.message.priority != pb.PRIORITY_UNSPECIFIED:
            raise Forbidden("priority", f"{self.caller.name} may ask for {self.caller.max_priority.name} at most")
        return replace(request, priority=self.caller.max_priority)

    def translated(self, outcomes: Sequence[Outcome]) -> pb.TranslateResponse:
        """The answer to texts."""
        return self._labelled(pb.TranslateResponse(results=self._results(outcomes), timings=self._timings(outcomes)))

    def scored(self, outcomes: Sequence[Outcome]) -> pb.ScoreResponse:
        """The answer to pairs."""
        scores = [results.score_result(index, outcome) for index, outcome in enumerate(outcomes)]
        return self._labelled(pb.ScoreResponse(results=scores, timings=self._timings(outcomes)))

    def streamed(self, index: int, outcome: Outcome) -> pb.TranslateStreamResponse:
        """The part of a stream that says what became of one text."""
        return self._labelled(pb.TranslateStreamResponse(result=self._results([outcome], index)[0]))

    def stream_ended(self, outcomes: Sequence[Outcome]) -> pb.TranslateStreamResponse:
        """The last part of a stream, when there is an outcome of every text."""
        return self._labelled(pb.TranslateStreamResponse(timings=self._timings(outcomes)))

    def piped(self, outcomes: Sequence[Outcome], first: int) -> pb.TranslatePipeResponse:
        """The answer to texts of a pipe, the first of which has the index `first` in it."""
        return self._labelled(pb.TranslatePipeResponse(results=self._results(outcomes, first)))

    def _results(self, outcomes: Sequence[Outcome], first: int = 0) -> list[pb.TextResult]:
        timings = isinstance(self.message, pb.TranslateRequest) and self.message.output.timings
        return [results.result(first + n, outcome, timings=timings) for n, outcome in enumerate(outcomes)]

    def _timings(self, outcomes: Sequence[Outcome]) -> pb.Timings:
        return results.call_timings(outcomes, time.perf_counter() - self.arrived_s)

    def _labelled(self, answer: Answer) -> Answer:
        """An answer that says whose it is and who gave it."""
        answer.request_id, answer.model, answer.model_version = self.id, self.pipeline.name, self.pipeline.version
        return answer

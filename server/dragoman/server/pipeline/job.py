"""A request while it is worked on: its texts as they were prepared, and what becomes of their answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

from dragoman.server.core.changing import changed
from dragoman.server.core.errors import EngineFailure, InvalidRequest, ServingError
from dragoman.server.core.requests import Request
from dragoman.server.core.segments import Decoded, Segment
from dragoman.server.core.translations import Outcome, Translation
from dragoman.server.pipeline.attempts import Attempted, Attempts
from dragoman.server.pipeline.cache import BundleCache
from dragoman.server.pipeline.workers import Workers
from dragoman.server.planning.plans import Plan
from dragoman.server.text.assembling import Assembler
from dragoman.server.text.preparing import PreparedText
from dragoman.server.text.tokenizer import Tokenizer

INLINE_CHARACTERS = 2_000
"""Texts shorter than this together are tokenized on the event loop: handing them to a thread would take longer."""
INLINE_SEGMENTS = 64
"""A text of fewer segments is joined on the event loop, for the same reason, unless it is long: it may be full
of spans."""


@dataclass(frozen=True)
class Retrying:
    """What it takes to try a text again."""

    tokenizer: Tokenizer
    template: Segment
    """What the request's segments have in common."""
    has_attention: bool
    """Whether they can carry their attention."""
    max_tokens: int
    recalls: BundleCache | None
    keeps: BundleCache | None

    def attempts(self, assembler: Assembler, *, is_whole: bool, is_bulk: bool) -> Attempts:
        """Further attempts, whose segments carry their attention if the model can give it."""
        template = changed(self.template, attention=self.template.attention or self.has_attention, bulk=is_bulk)
        return Attempts(
            self.tokenizer,
            assembler,
            template,
            self.max_tokens,
            is_whole=is_whole,
            recalls=self.recalls,
            keeps=self.keeps,
        )


class Job:
    """The texts of one request that is let in."""

    def __init__(
        self,
        request: Request,
        prepared: Sequence[PreparedText | InvalidRequest],
        segments: Sequence[Sequence[Segment | Decoded]],
        costs: Sequence[int],
        plan: Plan,
        assembler: Assembler,
        retrying: Retrying,
        workers: Workers,
        tokenize_s: float,
        *,
        is_long: bool,
    ) -> None:
        self._request, self._prepared, self.segments, self.costs = request, prepared, segments, costs
        self._plan, self._assembler, self._retrying, self._workers = plan, assembler, retrying, workers
        self._tokenize_s, self._is_long = tokenize_s, is_long
        self._tried: dict[int, Attempted] = {}

    def __repr__(self) -> str:
        return f"<Job {len(self.segments)} texts>"

    @cached_property
    def _attempts(self) -> Attempts:
        is_bulk = any(isinstance(each, Segment) and each.bulk for text in self.segments for each in text)
        return self._retrying.attempts(self._assembler, is_whole=bool(self._request.whole_field), is_bulk=is_bulk)

    async def again(self, index: int, answers: Sequence[Decoded | Exception]) -> Sequence[Segment | Decoded] | None:
        """What else is to be decoded for a text with these answers, in their place; None where nothing is."""
        text = self._prepared[index]
        if isinstance(text, ServingError) or (self._retrying.keeps is None and not text.shown):
            return None
        decoded = decoded_of(answers)
        if isinstance(decoded, ServingError):
            return None
        attempt = self._tried.get(index) or Attempted(text, self.segments[index])
        work = self._attempts.next(attempt, decoded)
        following = await self._workers.done(work, is_long=len(decoded) >= INLINE_SEGMENTS)
        if following is None:
            return None
        self._tried[index] = following
        return following.segments

    async def outcome(self, index: int, answers: Sequence[Decoded | Exception]) -> Outcome:
        """What became of a text with these answers, which are the last."""
        text, decoded = self._prepared[index], decoded_of(answers)
        if isinstance(text, ServingError):
            return text
        if isinstance(decoded, ServingError):
            return decoded
        given = self._request.texts[index]
        if self._retrying.keeps is not None:
            self._retrying.keeps.remember_text(given)
        attempt = self._tried.pop(index, None)
        if attempt is not None:
            text, decoded = attempt.text, attempt.settled(decoded)
        is_large = self._is_long and (text.marked is not None or len(given) >= INLINE_CHARACTERS)
        work = partial(self._assembler.translation, text, decoded, self._tokenize_s)
        return await self._assembled(work, is_long=is_large or len(decoded) >= INLINE_SEGMENTS)

    async def _assembled(self, work: Callable[[], Translation], *, is_long: bool) -> Translation:
        """The translation of a text; off the event loop where that takes long."""
        if self._plan.chooser is not None:  # which looks at all pairs of hypotheses
            return await self._workers.choose(work)
        return await self._workers.run(work) if is_long else work()


def decoded_of(answers: Sequence[Decoded | Exception]) -> list[Decoded] | ServingError:
    """One text's decoded segments, or the first segment's error."""
    decoded: list[Decoded] = []
    for answer in answers:
        match answer:
            case Decoded():
                decoded.append(answer)
            case ServingError():
                return answer
            case _:
                failure = EngineFailure(f"decoding failed: {answer!r}")
                failure.__cause__ = answer
                return failure
    return decoded

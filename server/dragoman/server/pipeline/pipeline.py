"""A request's way through one bundle: admission, text to segments, lanes, and segments back to text.

Owns nothing but the wiring. Each text of a request ends as exactly one outcome, a `Translation` or a `ServingError`;
what concerns the whole request (its options, its size, a full backlog) is raised instead, before any work is done.
Whoever stops reading, by cancelling its task or closing the stream, takes its segments out of the lanes.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import Executor
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import TypeVar

from dragoman.bundle.directions import Directions
from dragoman.bundle.manifest import Decoding, LanguagePair
from dragoman.bundle.reader import Bundle
from dragoman.server.core.errors import (
    DeadlineExceeded,
    DeadlineUnmeetable,
    EngineFailure,
    InvalidRequest,
    ServingError,
    UnsupportedByModel,
    Violation,
)
from dragoman.server.core.limits import Bounds, RequestLimits
from dragoman.server.core.ports import SegmentDecoder
from dragoman.server.core.requests import EnginePreference, Request
from dragoman.server.core.segments import Decoded, Segment, is_light
from dragoman.server.core.strategies import Beam
from dragoman.server.core.translations import Outcome
from dragoman.server.decode.strategies.forced import Forced
from dragoman.server.pipeline.admission import Admission, Reservation, estimate_tokens
from dragoman.server.pipeline.answers import decode
from dragoman.server.pipeline.intake import Intake, field_names
from dragoman.server.planning.capabilities import searches
from dragoman.server.planning.plans import Plan, choose, plans
from dragoman.server.planning.settings import resolve
from dragoman.server.text.assembling import Assembler
from dragoman.server.text.preparing import PreparedText, suppressed_ids
from dragoman.server.text.tokenizer import Tokenizer

T = TypeVar("T")

INLINE_CHARACTERS = 2_000
"""Texts shorter than this together are tokenized on the event loop: handing them to a thread would take longer."""


class Pipeline:
    """One served bundle."""

    def __init__(
        self, bundle: Bundle, tokenizer: Tokenizer, lanes: SegmentDecoder, limits: RequestLimits, executor: Executor
    ) -> None:
        self.bundle = bundle
        self.lanes = lanes
        self.limits = limits
        self.admission = Admission(limits.backlog_tokens)
        self.directions = Directions.of(bundle.manifest)
        self._tokenizer = tokenizer
        self._executor = executor
        self._choosing = asyncio.Semaphore(1)  # so that who chooses never has all threads that cut and join texts
        self._intake = Intake(tokenizer, limits, bundle.manifest.limits)
        self._bounds = Bounds(limits.max_beam_size, limits.max_hypotheses, bundle.manifest)

    def __repr__(self) -> str:
        return f"<Pipeline {self.name} {self.admission!r}>"

    @property
    def name(self) -> str:
        """The model's name, which requests use."""
        return self.bundle.manifest.name

    @property
    def version(self) -> str:
        """The model's version: the beginning of its bundle's digest."""
        return self.bundle.digest[:12]

    def decoding(self, request: Request) -> Decoding:
        """What the request's segments are decoded with."""
        decoding = resolve(request, request.engine, self._bounds)
        if isinstance(decoding, ServingError):
            raise decoding
        return decoding

    def template(self, request: Request) -> Segment:
        """What the request's segments have in common. Raises what is wrong with the request but for its texts."""
        return self._template(request, self.plans(request)[0])

    def plans(self, request: Request) -> list[Plan]:
        """The plans by which the request may be decoded."""
        return plans(request, self._bounds) if request.targets is None else [self._scoring(request)]

    def _scoring(self, request: Request) -> Plan:
        """The only plan for a request with given translations."""
        if not searches(self.bundle.manifest):
            raise UnsupportedByModel("model", "this model decodes without autoregression alone and cannot score")
        try:
            return Plan(Beam(), self.decoding(request))
        except InvalidRequest as error:  # such a request has these fields at its top
            violations = (Violation(v.field.removeprefix("decoding."), v.message) for v in error.violations)
            raise InvalidRequest.of(violations) from None

    def _template(self, request: Request, plan: Plan) -> Segment:
        decoding = plan.decoding
        return Segment(
            ids=(),
            decoding=decoding,
            deadline_s=request.deadline_s,
            strategy=plan.strategy,
            suppressed_ids=suppressed_ids(request.suppressed_tokens, self._tokenizer),
            attention=request.output.alignments or (decoding.unknown_handling == "copy" and request.targets is None),
            priority=request.priority,
        )

    def pair(self, source: str, target: str) -> LanguagePair:
        """What a request's tags mean. Only a model that reads its languages must know which they are."""
        pairs = self.directions.closest(source, target).pairs
        if len(pairs) == 1:
            return pairs[0]
        if self.bundle.manifest.tokenizer.slots:
            way_out = f"name one of each side, {self.name} translates {self.directions}"
            raise InvalidRequest("target_language" if source else "source_language", way_out)
        first = self.directions.first
        return LanguagePair(source or first.source, target or first.target)

    async def translate(self, request: Request) -> list[Outcome]:
        """The outcome of each text, in the order of the texts."""
        async with aclosing(self.stream(request)) as stream:
            outcomes = {index: outcome async for index, outcome in stream}
        return [outcomes[index] for index in range(len(request.texts))]

    async def stream(self, request: Request) -> AsyncGenerator[tuple[int, Outcome], None]:
        """The outcome of each text with its index, as soon as it is known. Close it when you stop reading early."""
        candidates, pair = self.plans(request), self.pair(request.source_language, request.target_language)
        plan, template = candidates[0], self._template(request, candidates[0])
        decoding = plan.decoding
        texts = self._intake.check(request)
        accepted = [text for text in texts if isinstance(text, str)]
        with self._admit(request, accepted) as reservation:
            started = time.perf_counter()
            size = sum(map(len, (*accepted, *(request.targets or ()))))
            prepared = await self._work(size, lambda: self._intake.prepare(request, texts, pair, decoding))
            tokenize_s = time.perf_counter() - started
            reservation.correct(sum(text.source_tokens for text in prepared if isinstance(text, PreparedText)))
            if len(candidates) > 1:
                plan = self._chosen(request, candidates, prepared)
                template = self._template(request, plan)
            copies_unknown = decoding.unknown_handling == "copy"
            assembler = Assembler(self._tokenizer, request.output, copies_unknown=copies_unknown, chooser=plan.chooser)
            async with aclosing(decode(self.lanes, self._classed(prepared, template))) as finished:
                async for index, answers in finished:
                    text, decoded = prepared[index], _decoded(answers)
                    if isinstance(text, ServingError):
                        yield index, text
                    elif isinstance(decoded, ServingError):
                        yield index, decoded
                    elif plan.chooser is None:
                        yield index, assembler.translation(text, decoded, tokenize_s)
                    else:  # which looks at all pairs of hypotheses
                        translation = partial(assembler.translation, text, decoded, tokenize_s)
                        async with self._choosing:
                            translated = await self._apart(translation)
                        yield index, translated

    def _classed(self, prepared: Sequence[PreparedText | InvalidRequest], template: Segment) -> list[list[Segment]]:
        """What is decoded of each text, light or bulk by what all of them cost together."""
        segments = [_segments(text, template) for text in prepared]
        default_width = self.bundle.manifest.decoding.beam_size
        if is_light(segment.cost(default_width) for text in segments for segment in text):
            return segments
        return [[replace(segment, bulk=True) for segment in text] for text in segments]

    def _chosen(
        self, request: Request, candidates: Sequence[Plan], prepared: Sequence[PreparedText | InvalidRequest]
    ) -> Plan:
        """The plan by which the request goes, by its deadline and what each engine takes now."""
        remaining_s = None
        if request.deadline_s is not None:
            remaining_s = request.deadline_s - time.monotonic() - self.lanes.predicted_wait_s(request.priority)
        texts = [text for text in prepared if isinstance(text, PreparedText)]
        return choose(
            candidates,
            is_fastest=request.engine is EnginePreference.FAST,
            tokens=max((len(ids) for text in texts for ids in text.decoded_ids), default=0),
            remaining_s=remaining_s,
            seconds_per_token=self.lanes.seconds_per_token,
        )

    def _admit(self, request: Request, texts: Sequence[str]) -> Reservation:
        """Capacity for a request that can be answered in time."""
        now_s, wait_s = time.monotonic(), self.lanes.predicted_wait_s(request.priority)
        deadline_s = request.deadline_s
        if deadline_s is not None and now_s >= deadline_s:
            raise DeadlineExceeded("the deadline had passed when the request arrived")
        if deadline_s is not None and now_s + wait_s > deadline_s:
            raise DeadlineUnmeetable(wait_s, deadline_s - now_s)
        return self.admission.reserve(estimate_tokens(texts), wait_s, field=field_names(request).texts)

    async def _work(self, size: int, work: Callable[[], T]) -> T:
        """Do something with texts of so many characters; off the event loop where that takes long."""
        return work() if size < INLINE_CHARACTERS else await self._apart(work)

    async def _apart(self, work: Callable[[], T]) -> T:
        """Do something off the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)


def _segments(text: PreparedText | InvalidRequest, template: Segment) -> list[Segment]:
    """What is decoded of a text."""
    if isinstance(text, InvalidRequest):
        return []
    if text.target is not None:
        template = replace(template, strategy=Forced(text.target.ids))
    segments = zip(text.ids, text.copies, strict=True)
    return [replace(template, ids=ids, prefix=text.prefix, copies=copies) for ids, copies in segments if ids]


def _decoded(answers: Sequence[Decoded | Exception]) -> list[Decoded] | ServingError:
    """One text's decoded segments, or the first segment's error."""
    decoded: list[Decoded] = []
    for answer in answers:
        match answer:
            case ServingError():
                return answer
            case Exception():
                failure = EngineFailure(f"decoding failed: {answer!r}")
                failure.__cause__ = answer
                return failure
            case _:
                decoded.append(answer)
    return decoded

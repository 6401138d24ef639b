"""A request's way through one bundle: admission, text to segments, lanes, and segments back to text.

Owns nothing but the wiring. Each text of a request ends as exactly one outcome, a `Translation` or a `ServingError`;
what concerns the whole request (its options, its size, a full backlog) is raised instead, before any work is done.
Whoever stops reading, by cancelling its task or closing the stream, takes its segments out of the lanes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import Executor
from contextlib import aclosing
from dataclasses import dataclass, replace
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
from dragoman.server.core.limits import Bounds, RequestLimits, check_number
from dragoman.server.core.ports import SegmentDecoder
from dragoman.server.core.requests import EnginePreference, OnTooLong, Request
from dragoman.server.core.segments import Decoded, Segment
from dragoman.server.core.strategies import Beam
from dragoman.server.core.translations import Outcome
from dragoman.server.decode.strategies.forced import Forced
from dragoman.server.pipeline.admission import Admission, Reservation, estimate_tokens
from dragoman.server.pipeline.answers import decode
from dragoman.server.planning.capabilities import searches
from dragoman.server.planning.plans import Plan, choose, plans
from dragoman.server.planning.settings import resolve
from dragoman.server.text.assembling import Assembler
from dragoman.server.text.preparing import (
    PreparedText,
    check_text,
    prepare,
    prepare_given,
    suppressed_ids,
    whole,
    with_prefix,
)
from dragoman.server.text.tokenizer import Tokenizer

T = TypeVar("T")

INLINE_BYTES = 2_000
"""Texts shorter than this together are tokenized on the event loop: handing them to a thread would take longer."""


@dataclass(frozen=True)
class FieldNames:
    """What the texts of a request are called in the message that it came as."""

    texts: str
    text: str

    def of_text(self, index: int, name: str = "") -> str:
        """Where a text stands, or another field beside it."""
        return f"{self.texts}[{index}].{name or self.text}"


TRANSLATE = FieldNames("texts", "text")
SCORE = FieldNames("pairs", "source")


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
        self._bounds = Bounds(limits.max_beam_size, bundle.manifest)

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
            fields = (Violation(one.field.removeprefix("decoding."), one.message) for one in error.violations)
            raise InvalidRequest.of(fields) from None

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
        found, pair = self.plans(request), self.pair(request.source_language, request.target_language)
        template = self._template(request, found[0])
        decoding = template.decoding
        texts = self._accepted(request)
        accepted = [text for text in texts if isinstance(text, str)]
        with self._admit(request, accepted) as reservation:
            started = time.perf_counter()
            size = sum(map(len, (*accepted, *(request.targets or ()))))
            prepared = await self._work(size, lambda: self._prepared(request, texts, pair, decoding))
            tokenize_s = time.perf_counter() - started
            reservation.correct(sum(text.source_tokens for text in prepared if isinstance(text, PreparedText)))
            if len(found) > 1:
                template = self._template(request, self._chosen(request, found, prepared))
            copies_unknown = decoding.unknown_handling == "copy"
            assembler = Assembler(self._tokenizer, request.output, copies_unknown=copies_unknown)
            async with aclosing(decode(self.lanes, [_segments(text, template) for text in prepared])) as finished:
                async for index, answers in finished:
                    text, decoded = prepared[index], _decoded(answers)
                    if isinstance(text, ServingError):
                        yield index, text
                    elif isinstance(decoded, ServingError):
                        yield index, decoded
                    else:
                        yield index, assembler.translation(text, decoded, tokenize_s)

    def _chosen(
        self, request: Request, found: Sequence[Plan], prepared: Sequence[PreparedText | InvalidRequest]
    ) -> Plan:
        """The plan by which the request goes, by its deadline and what each engine takes now."""
        remaining_s = None
        if request.deadline_s is not None:
            remaining_s = request.deadline_s - time.monotonic() - self.lanes.predicted_wait_s(request.priority)
        texts = [text for text in prepared if isinstance(text, PreparedText)]
        return choose(
            found,
            is_fastest=request.engine is EnginePreference.FAST,
            tokens=max((len(ids) for text in texts for ids in text.decoded_ids), default=0),
            remaining_s=remaining_s,
            seconds_per_token=self.lanes.seconds_per_token,
        )

    def _accepted(self, request: Request) -> list[str | InvalidRequest]:
        """The texts, each that is too large or malformed replaced by its error."""
        names = _names(request)
        if not request.texts:
            raise InvalidRequest(names.texts, f"empty: send at least one {names.texts.removesuffix('s')}")
        check_number(len(request.texts), self.limits.max_texts, names.texts)
        return [self._check(text, names.of_text(index)) for index, text in enumerate(request.texts)]

    def _check(self, text: str, field: str) -> str | InvalidRequest:
        return check_text(text, field, self.limits.max_text_bytes)

    def _admit(self, request: Request, texts: Sequence[str]) -> Reservation:
        """Room for a request that can be answered in time."""
        now_s, wait_s = time.monotonic(), self.lanes.predicted_wait_s(request.priority)
        deadline_s = request.deadline_s
        if deadline_s is not None and now_s >= deadline_s:
            raise DeadlineExceeded("the deadline had passed when the request arrived")
        if deadline_s is not None and now_s + wait_s > deadline_s:
            raise DeadlineUnmeetable(wait_s, deadline_s - now_s)
        return self.admission.reserve(estimate_tokens(texts), wait_s, field=_names(request).texts)

    def _prepared(
        self, request: Request, texts: list[str | InvalidRequest], pair: LanguagePair, decoding: Decoding
    ) -> list[PreparedText | InvalidRequest]:
        """Cut and number all texts."""
        return [
            text if isinstance(text, InvalidRequest) else self._prepare(request, index, text, pair, decoding)
            for index, text in enumerate(texts)
        ]

    def _prepare(
        self, request: Request, index: int, text: str, pair: LanguagePair, decoding: Decoding
    ) -> PreparedText | InvalidRequest:
        if request.targets is not None:
            return self._given(index, text, request.targets[index], pair)
        prepared = prepare(
            text,
            field=TRANSLATE.of_text(index),
            tokenizer=self._tokenizer,
            splitting=request.splitting,
            pair=pair,
            max_tokens=self.bundle.manifest.limits.max_source_tokens,
            split_long=request.on_too_long is OnTooLong.SPLIT,
        )
        if isinstance(prepared, PreparedText) and request.method.is_whole:
            field = f"decoding.{request.method.field}"
            prepared = whole(prepared, field=field, what=f"a choice of {request.method.field}")
        if isinstance(prepared, InvalidRequest) or not request.prefixes:
            return prepared
        field = TRANSLATE.of_text(index, "target_prefix")
        prefix = self._check(request.prefixes[index], field)
        if isinstance(prefix, InvalidRequest):
            return prefix
        return with_prefix(prepared, prefix, field=field, tokenizer=self._tokenizer, decoding=decoding)

    def _given(self, index: int, text: str, target: str, pair: LanguagePair) -> PreparedText | InvalidRequest:
        fields = SCORE.of_text(index), SCORE.of_text(index, "target")
        checked = self._check(target, fields[1])
        if isinstance(checked, InvalidRequest):
            return checked
        limits = self.bundle.manifest.limits
        return prepare_given(text, checked, fields=fields, tokenizer=self._tokenizer, pair=pair, limits=limits)

    async def _work(self, size: int, work: Callable[[], T]) -> T:
        """Do something with texts of so many characters; off the event loop where that takes long."""
        if size < INLINE_BYTES:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)


def _names(request: Request) -> FieldNames:
    return TRANSLATE if request.targets is None else SCORE


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

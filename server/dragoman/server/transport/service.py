"""The gRPC service: message in, pipeline, message out. It holds no rules of its own."""

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import grpc

from dragoman.server.core import logs
from dragoman.server.core.errors import Draining, EngineFailure, InvalidRequest, Overloaded, ServingError
from dragoman.server.core.requests import Request
from dragoman.server.core.tracing import Trace
from dragoman.server.core.translations import Outcome, Translation
from dragoman.server.pipeline.live import LiveText
from dragoman.server.pipeline.live import check as check_live
from dragoman.server.pipeline.models import Models, joins
from dragoman.server.pipeline.pipeline import Pipeline
from dragoman.server.telemetry.request_metrics import Metrics, RequestRecord
from dragoman.server.telemetry.traces import Traces
from dragoman.server.transport.ahead import ahead
from dragoman.server.transport.codec import descriptions, supported
from dragoman.server.transport.codec import requests as codec_request
from dragoman.server.transport.front import Call, Front, Message
from dragoman.server.transport.interceptor import current_trace, current_visit, request_id
from dragoman.server.transport.pipe import Pipe
from dragoman.server.transport.unread import current_receiver
from dragoman.v1 import translation_pb2 as pb
from dragoman.v1 import translation_pb2_grpc as pb_grpc

_logger = logging.getLogger(__name__)
Context = grpc.aio.ServicerContext[Any, Any]

T = TypeVar("T")

SERVICE = pb.DESCRIPTOR.services_by_name["TranslationService"].full_name
PIPE = "TranslatePipe"
INLINE_PARTS = 1_000
"""Messages of fewer parts are made on the event loop: handing them to a thread would take longer."""
PATIENCE_S = 0.1
"""Between two tries of a pipe that meets a full backlog."""


async def _translate_with_patience(pipeline: Pipeline, request: Request) -> list[Outcome]:
    """Translate, waiting where the backlog is full: a pipe is held back, not turned away."""
    least_cost = 0
    while True:
        try:
            return await pipeline.translate(request, least_cost=least_cost)
        except Overloaded as refusal:
            least_cost = refusal.wanted  # so that its texts are numbered no third time
            # Not for as long as a client is told to wait: the lanes would have nothing left to do by then.
            await asyncio.sleep(PATIENCE_S)


def _log(method: str, record: RequestRecord, trace: Trace | None, seconds: float) -> None:
    """One line for a request: what it was, what became of it and where its time went; never a text."""
    stages = {name: round(value, 6) for name, value in vars(record.timings).items()}
    facts: dict[str, Any] = {"id": request_id(), "caller": current_visit().name, "method": method}
    facts |= {"model": record.model, "outcome": record.outcome, "engine": record.engine, "texts": record.texts}
    facts |= {"source_tokens": record.source_tokens, "target_tokens": record.target_tokens}
    if trace is not None:
        facts["trace_id"] = trace.hex_id
    logs.event(_logger, logging.INFO, "request", **facts, seconds=round(seconds, 6), **stages)


def _cut() -> str:
    """Why the server has ended a call by itself."""
    refusal = current_visit().refusal
    return "unread" if current_receiver().is_ended else refusal.outcome if refusal else ""


async def _written(call: Call, write: Callable[[Any], T], outcomes: Sequence[Outcome] | Outcome) -> T:
    """A message made of outcomes; off the event loop where they say much."""
    listed = outcomes if isinstance(outcomes, Sequence) else (outcomes,)
    num_parts = sum(outcome.num_parts for outcome in listed if isinstance(outcome, Translation))
    work = partial(write, outcomes)
    return work() if num_parts < INLINE_PARTS else await call.pipeline.workers.run(work)


class _Written:
    """The texts of a pipe that are still being written, one behind another."""

    def __init__(self) -> None:
        self._number = 0
        self._text: LiveText | None = None
        self._turn = asyncio.Lock()  # who waits for it longest is next

    async def read(self, pipeline: Pipeline, request: Request, *, is_whole: bool) -> tuple[int, list[Outcome]]:
        """The number of the text, and what is said of it by now."""
        async with self._turn:
            if self._text is None:
                self._text = LiveText(partial(_translate_with_patience, pipeline))
            outcome, number = await self._text.read(request, is_whole=is_whole), self._number
            if is_whole:
                self._text, self._number = None, number + 1
        return number, [outcome]


class TranslationService(pb_grpc.TranslationServiceServicer):
    """Serves `Models`."""

    def __init__(
        self,
        models: Models,
        metrics: Metrics,
        *,
        max_request_bytes: int,
        max_texts: int,
        max_terms: int,
        traces: Traces | None = None,
        logs_requests: bool = False,
    ) -> None:
        self._traces, self._logs_requests = traces, logs_requests
        self._models = models
        self._metrics = metrics
        self._front = Front(models, max_texts, max_terms)
        self._max_request_bytes = max_request_bytes
        self._max_texts = max_texts
        self.draining = False
        """Set to refuse new requests."""
        self._num_active = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def idle(self) -> None:
        """Wait until no request is in flight."""
        await self._idle.wait()

    @contextmanager
    def _request(self, method: str) -> Iterator[RequestRecord]:
        """A request in flight, counted; at its end it is logged, and traced where somebody asks for that."""
        self._num_active += 1
        self._idle.clear()
        trace = current_trace()
        if trace is not None and method == PIPE:  # whose messages are requests of their own
            trace = replace(trace, span_id=secrets.randbits(64) or 1)

        def ended(record: RequestRecord, seconds: float) -> None:
            if trace is not None and self._traces is not None:
                self._traces.request(record, trace, f"{SERVICE}/{method}", time.time_ns(), seconds)
            if self._logs_requests:
                _log(method, record, trace, seconds)

        try:
            with self._metrics.request(ended) as record:
                record.trace_id = trace.hex_id if trace is not None and trace.is_sampled else ""
                try:
                    yield record
                except (asyncio.CancelledError, GeneratorExit):
                    record.cut = _cut()
                    raise
        finally:
            self._num_active -= 1
            if self._num_active == 0:
                self._idle.set()

    async def Translate(self, request: pb.TranslateRequest, context: Context) -> pb.TranslateResponse:  # noqa: N802
        """All texts, answered together."""
        with self._request("Translate") as record:
            call, wanted = self._accept(request, context, record)
            with self._models.calling(call.pipeline):
                outcomes = await call.pipeline.translate(wanted)
            self._end(call, record, outcomes)
            return await _written(call, call.translated, outcomes)

    async def TranslateStream(  # noqa: N802
        self, request: pb.TranslateStreamRequest, context: Context
    ) -> AsyncIterator[pb.TranslateStreamResponse]:
        """One message for each text when it is finished, then one with the timings."""
        with self._request("TranslateStream") as record:
            supported.refuse_unknown(request)
            call, wanted = self._accept(request.request, context, record)
            outcomes: list[Outcome] = []

            async def translated() -> AsyncGenerator[pb.TranslateStreamResponse, None]:
                async with aclosing(call.pipeline.stream(wanted)) as stream:
                    async for index, outcome in stream:
                        outcomes.append(outcome)
                        yield await _written(call, partial(call.streamed, index), outcome)

            with self._models.calling(call.pipeline):
                async with aclosing(ahead(translated(), current_receiver())) as answers:
                    async for answer in answers:
                        yield answer
            self._end(call, record, outcomes, whole=False)
            yield call.stream_ended(outcomes)

    async def TranslatePipe(  # noqa: N802
        self, request_iterator: AsyncIterator[pb.TranslatePipeRequest], context: Context
    ) -> AsyncIterator[pb.TranslatePipeResponse]:
        """One message for each that came with texts, when it is finished; each counts as a request."""
        settings, receiver = codec_request.PipeSettings(self._max_texts), current_receiver()
        written = _Written()

        async def requests() -> AsyncIterator[tuple[pb.TranslateRequest, int, bool]]:
            async for message in request_iterator:
                request, first = self._read(settings, message, context)
                if request.texts:
                    yield request, first, message.is_whole

        async def answer(read: tuple[pb.TranslateRequest, int, bool]) -> pb.TranslatePipeResponse:
            message, first, is_whole = read
            with self._request(PIPE) as record:
                call, wanted = self._accept(message, context, record)
                with self._models.calling(call.pipeline):
                    if wanted.live is not None:
                        first, outcomes = await written.read(call.pipeline, wanted, is_whole=is_whole)
                    else:
                        outcomes = await _translate_with_patience(call.pipeline, wanted)
                self._end(call, record, outcomes, whole=False)
                answer = await _written(call, partial(call.piped, first=first), outcomes)
                receiver.hold(answer.ByteSize())
                return answer

        async with aclosing(Pipe(answer).run(requests())) as answers:
            async for response in answers:
                yield response
                receiver.give(response.ByteSize())

    def _read(
        self, settings: codec_request.PipeSettings, message: pb.TranslatePipeRequest, context: Context
    ) -> tuple[pb.TranslateRequest, int]:
        """A message of a pipe. One without texts is no request, but what it sets is checked at once."""
        seen = RequestRecord()
        try:
            request, first = settings.request(message)
            if not request.texts:
                call, wanted = self._accept(request, context, seen)
                if wanted.live is None:
                    call.pipeline.template(wanted)
                else:
                    check_live(replace(wanted, texts=("",)))
                    call.pipeline.template(replace(wanted, live=None))
        except ServingError:
            with self._request(PIPE) as record:  # refused before it could become a request: counted all the same
                record.model = seen.model
                raise
        return request, first

    async def Score(self, request: pb.ScoreRequest, context: Context) -> pb.ScoreResponse:  # noqa: N802
        """All pairs, answered together."""
        with self._request("Score") as record:
            call, wanted = self._accept(request, context, record)
            with self._models.calling(call.pipeline):
                outcomes = await call.pipeline.translate(wanted)
            self._end(call, record, outcomes)
            return await _written(call, call.scored, outcomes)

    async def ListModels(self, request: pb.ListModelsRequest, context: Context) -> pb.ListModelsResponse:  # noqa: ARG002, N802
        """The models that translate between the named languages, those that are coming and leaving among them."""
        supported.check(request, supported.plain("source_language", "target_language"))
        known, tags = self._known_models(), (request.source_language, request.target_language)
        served = [self._describe(pipeline) for pipeline in known.between(*tags)]
        coming = [descriptions.coming(bundle) for bundle in known.coming if joins(bundle, *tags)]
        leaving = [self._describe(each, draining=True) for each in known.leaving if joins(each.bundle, *tags)]
        return pb.ListModelsResponse(models=[*served, *coming, *leaving])

    async def GetModel(self, request: pb.GetModelRequest, context: Context) -> pb.GetModelResponse:  # noqa: ARG002, N802
        """One served model."""
        supported.check(request, supported.plain("name", "version"))
        if not request.name:
            raise InvalidRequest("name", "empty; ListModels gives the names")
        return pb.GetModelResponse(
            model=self._describe(self._known_models().named(request.name, request.version, field="name"))
        )

    def _known_models(self) -> Models:
        return self._models.among(current_visit().caller.models)

    def _describe(self, pipeline: Pipeline, *, draining: bool = False) -> pb.Model:
        is_draining = draining or self.draining
        return descriptions.model(pipeline, max_request_bytes=self._max_request_bytes, draining=is_draining)

    def _accept(self, message: Message, context: Context, record: RequestRecord) -> tuple[Call, Request]:
        """The call that a message makes, and what it asks; the record learns its deadline and its model."""
        remaining_s = context.time_remaining()
        record.deadline_s = None if remaining_s is None else time.monotonic() + remaining_s
        if self.draining:
            raise Draining
        call = self._front.accept(message, request_id(), current_visit().caller)
        record.model = call.pipeline.name
        return call, call.request(record.deadline_s)

    def _end(self, call: Call, record: RequestRecord, outcomes: Sequence[Outcome], *, whole: bool = True) -> None:
        """Count what became of the texts. A `whole` call of a single text fails as that text does."""
        name = call.pipeline.name
        failures = [outcome for outcome in outcomes if isinstance(outcome, EngineFailure)]
        if failures:  # one line, as a failing step fails all that shared it
            facts = {"id": call.id, "model": name, "texts": len(failures), "detail": failures[0].detail}
            logs.event(_logger, logging.ERROR, "engine_failure", exc_info=failures[0].__cause__, **facts)
        self._metrics.answered(name, outcomes)
        record.end(outcomes)
        if whole and len(outcomes) == 1 and isinstance(outcomes[0], ServingError):
            raise outcomes[0]

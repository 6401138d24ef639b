"""A request's way through one bundle: admission, text to segments, lanes, and segments back to text.

Owns nothing but the wiring. Each text of a request ends as exactly one outcome, a `Translation` or a `ServingError`;
what concerns the whole request (its options, its size, a full backlog) is raised instead, before any work is done.
Whoever stops reading, by cancelling its task or closing the stream, takes its segments out of the lanes.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Executor
from contextlib import aclosing
from dataclasses import dataclass

from dragoman.bundle.directions import Directions
from dragoman.bundle.manifest import Decoding, LanguagePair
from dragoman.bundle.reader import Bundle
from dragoman.server.admission import Admission, estimate_tokens
from dragoman.server.decoding import DecodingBounds, resolve
from dragoman.server.domain import Decoded, Request, Segment, Translation
from dragoman.server.errors import DeadlineExceeded, EngineFailure, InvalidRequest, ServingError
from dragoman.server.pieces import Prepared, Refused, assemble, check_text, prepare
from dragoman.server.scheduling import SegmentDecoder, Ticket
from dragoman.server.tokenizer import Tokenizer

Outcome = Translation | ServingError

INLINE_BYTES = 2_000
"""Texts shorter than this together are tokenized on the event loop: handing them to a thread would take longer."""


@dataclass(frozen=True)
class RequestLimits:
    """What one request may ask for at most."""

    max_segments: int
    max_text_bytes: int
    max_beam_size: int
    backlog_tokens: int


def check_number(number: int, most: int) -> None:
    """Refuse more texts than one message may have."""
    if number > most:
        raise InvalidRequest(
            "segments", f"{number} texts, the limit is {most} (--max-segments): send them in several requests"
        )


class Pipeline:
    """One served bundle."""

    def __init__(
        self, bundle: Bundle, tokenizer: Tokenizer, lanes: SegmentDecoder, limits: RequestLimits, executor: Executor
    ) -> None:
        self.bundle = bundle
        self.lanes = lanes
        self.limits = limits
        self.admission = Admission(limits.backlog_tokens)
        manifest = bundle.manifest
        self.directions = Directions.of(manifest)
        self._tokenizer = tokenizer
        self._executor = executor
        self._bounds = DecodingBounds(
            max_beam_size=limits.max_beam_size,
            limits=manifest.limits,
            has_shortlist=manifest.shortlist is not None and "step_shortlist" in manifest.graphs,
        )

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
        return resolve(self.bundle.manifest.decoding, request.overrides, self._bounds)

    def pair(self, request: Request) -> LanguagePair:
        """What the request's tags mean. Only a model that reads its languages must know which they are."""
        pairs = self.directions.closest(request.source_language, request.target_language).pairs
        if len(pairs) == 1:
            return pairs[0]
        if self.bundle.manifest.tokenizer.slots:
            way_out = f"name one of each side, {self.name} translates {self.directions}"
            raise InvalidRequest("target_language" if request.source_language else "source_language", way_out)
        first = self.directions.first
        return LanguagePair(request.source_language or first.source, request.target_language or first.target)

    async def translate(self, request: Request) -> list[Outcome]:
        """The outcome of each text, in the order of the texts."""
        async with aclosing(self.stream(request)) as stream:
            outcomes = {index: outcome async for index, outcome in stream}
        return [outcomes[index] for index in range(len(request.texts))]

    async def stream(self, request: Request) -> AsyncGenerator[tuple[int, Outcome], None]:
        """The outcome of each text with its index, as soon as it is known. Close it when you stop reading early."""
        decoding, pair = self.decoding(request), self.pair(request)
        texts = self._accepted(request)
        if request.deadline_s is not None and time.monotonic() >= request.deadline_s:
            raise DeadlineExceeded("the deadline had passed when the request arrived")
        with self.admission.reserve(estimate_tokens([text for text in texts if isinstance(text, str)])) as reservation:
            started = time.perf_counter()
            prepared = await self._prepare(request, texts, pair)
            tokenize_s = time.perf_counter() - started
            reservation.correct(sum(text.source_tokens for text in prepared if isinstance(text, Prepared)))
            async with aclosing(self._decode(prepared, pair, decoding, request.deadline_s)) as finished:
                async for index, answers in finished:
                    text = prepared[index]
                    yield index, (text if isinstance(text, ServingError) else self._finish(text, answers, tokenize_s))

    def _accepted(self, request: Request) -> list[str | Refused]:
        """The texts, each that is too large or malformed replaced by its error."""
        if not request.texts:
            raise InvalidRequest("segments", "empty: send at least one text")
        check_number(len(request.texts), self.limits.max_segments)
        return [
            check_text(text, f"segments[{index}].text", self.limits.max_text_bytes)
            for index, text in enumerate(request.texts)
        ]

    async def _prepare(
        self, request: Request, texts: list[str | Refused], pair: LanguagePair
    ) -> list[Prepared | Refused]:
        """Cut and number all texts; off the event loop where that takes long."""

        def work() -> list[Prepared | Refused]:
            return [
                text
                if isinstance(text, ServingError)
                else prepare(
                    text,
                    field=f"segments[{index}].text",
                    tokenizer=self._tokenizer,
                    splitting=request.splitting,
                    pair=pair,
                    max_tokens=self.bundle.manifest.limits.max_source_tokens,
                    split_long=request.split_long,
                )
                for index, text in enumerate(texts)
            ]

        if sum(len(text) for text in texts if isinstance(text, str)) < INLINE_BYTES:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    async def _decode(
        self,
        prepared: list[Prepared | Refused],
        pair: LanguagePair,
        decoding: Decoding,
        deadline_s: float | None,
    ) -> AsyncGenerator[tuple[int, list[Decoded | Exception]], None]:
        """Each text's answered segments, in the order in which texts are finished."""
        answers = _Answers([text.num_segments if isinstance(text, Prepared) else 0 for text in prepared])
        tickets: list[Ticket] = []
        first = self._tokenizer.forced_first(pair)
        try:
            for index, text in enumerate(prepared):
                segments = text.segments if isinstance(text, Prepared) else ()
                for piece, ids in enumerate(segments):
                    segment = Segment(ids, decoding, deadline_s, first)
                    tickets.append(self.lanes.submit(segment, answers.callback(index, piece)))
            for _ in prepared:
                yield await answers.next_finished()
        finally:
            if not answers.complete:
                for ticket in tickets:  # cancelling what has been answered already changes nothing
                    self.lanes.cancel(ticket)

    def _finish(self, text: Prepared, answers: list[Decoded | Exception], tokenize_s: float) -> Outcome:
        """One text's outcome: its pieces joined, or the first piece's error."""
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
        return assemble(text, decoded, self._tokenizer, tokenize_s)


class _Answers:
    """Collects a request's answered segments from the lanes' threads, and wakes the request once per finished text."""

    def __init__(self, num_segments: list[int]) -> None:
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._slots: list[list[Decoded | Exception | None]] = [[None] * number for number in num_segments]
        self._missing = list(num_segments)
        self._finished: asyncio.Queue[int] = asyncio.Queue()
        for index, number in enumerate(num_segments):
            if number == 0:
                self._finished.put_nowait(index)

    @property
    def complete(self) -> bool:
        """Whether every segment has been answered."""
        return not any(self._missing)

    def callback(self, index: int, piece: int) -> Callable[[Decoded | Exception], None]:
        """What the lanes call, from any thread, with the answer of one segment."""

        def answered(answer: Decoded | Exception) -> None:
            with self._lock:
                self._slots[index][piece] = answer
                self._missing[index] -= 1
                finished = self._missing[index] == 0
            # The loop is closed only after a stop that did not wait for its requests: nobody listens then.
            if finished and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._finished.put_nowait, index)

        return answered

    async def next_finished(self) -> tuple[int, list[Decoded | Exception]]:
        """The next text all of whose segments are answered."""
        index = await self._finished.get()
        return index, [answer for answer in self._slots[index] if answer is not None]

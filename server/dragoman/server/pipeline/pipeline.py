"""A request's way through one bundle: admission, text to segments, lanes, and segments back to text.

Owns nothing but the wiring. Each text of a request ends as exactly one outcome, a `Translation` or a `ServingError`;
what concerns the whole request (its options, its size, a full backlog) is raised instead, before anything is decoded.
Whoever stops reading, by cancelling its task or closing the stream, takes its segments out of the lanes.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Hashable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import lru_cache, partial

from dragoman.bundle.directions import Directions
from dragoman.bundle.manifest import Decoding, LanguagePair
from dragoman.bundle.reader import Bundle
from dragoman.bundle.rules import has_attention
from dragoman.server.core.changing import changed
from dragoman.server.core.errors import (
    DeadlineExceeded,
    DeadlineUnmeetable,
    InvalidRequest,
    Overloaded,
    ServingError,
    UnsupportedByModel,
    Violation,
)
from dragoman.server.core.limits import Bounds, RequestLimits
from dragoman.server.core.ports import SegmentDecoder
from dragoman.server.core.requests import CacheMode, EnginePreference, InputFormat, OnLoop, Request, TextSettings
from dragoman.server.core.segments import Priority, Segment, is_light
from dragoman.server.core.strategies import Beam
from dragoman.server.core.translations import Outcome
from dragoman.server.decode.strategies.nat import NonAutoregressive
from dragoman.server.pipeline.admission import Admission, Reservation
from dragoman.server.pipeline.answers import TOGETHER, decode, gather
from dragoman.server.pipeline.cache import BundleCache
from dragoman.server.pipeline.costs import estimate, segmented, tokens_of
from dragoman.server.pipeline.glossaries import Glossaries
from dragoman.server.pipeline.intake import TRANSLATE, Intake, field_names
from dragoman.server.pipeline.job import INLINE_CHARACTERS, Job, Retrying
from dragoman.server.pipeline.mailbox import Mailbox
from dragoman.server.pipeline.workers import Workers
from dragoman.server.planning.capabilities import searches
from dragoman.server.planning.plans import Plan, choose, plans
from dragoman.server.planning.settings import resolve, searcher
from dragoman.server.text import languages
from dragoman.server.text.assembling import Assembler
from dragoman.server.text.grammars.grammars import GrammarPhrasing, Grammars, check
from dragoman.server.text.grammars.helper import GrammarHelpers
from dragoman.server.text.labels import label_tree, said_freely, said_whole
from dragoman.server.text.preparing import Find, PreparedText, suppressed_ids
from dragoman.server.text.recognition.readable import Readable
from dragoman.server.text.recognition.recogniser import Recogniser
from dragoman.server.text.terms import Glossary
from dragoman.server.text.tokenizer import Tokenizer

INLINE_MARKUP = 400
"""With mark-up: taking a text apart takes longer than numbering it."""
MOST_ASKINGS = 256
"""Kinds of requests of which it is remembered what they ask."""


@dataclass(frozen=True)
class _Asking:
    """What a request asks of its texts, whatever they are."""

    candidates: Sequence[Plan]
    pair: LanguagePair
    phrasing: GrammarPhrasing | None
    template: Segment
    """What its segments have in common, by the first of the plans."""
    find: Find
    glossaries: Sequence[Glossary]
    is_repeatable: bool
    attention: bool
    """Whether segments by the first of the plans can carry it."""
    assembler: Assembler


Texts = Sequence[str | InvalidRequest]
"""A request's texts that were checked."""


class Pipeline:
    """One served bundle."""

    def __init__(
        self,
        bundle: Bundle,
        tokenizer: Tokenizer,
        lanes: SegmentDecoder,
        limits: RequestLimits,
        workers: Workers,
        cache: BundleCache | None = None,
        glossaries: Glossaries | None = None,
        helpers: GrammarHelpers | None = None,
        readable: Callable[[int, int], int] | None = None,
    ) -> None:
        """`readable` says how many tokens of a source memory has room for where so many hypotheses side by side have
        at least so many steps; None: as many as the bundle reads.
        """
        self.bundle = bundle
        self._readable_tokens = readable
        self.lanes = lanes
        self.limits = limits
        self.admission = Admission(limits.backlog_tokens)
        self.directions = Directions.of(bundle.manifest)
        self._tokenizer = tokenizer
        self._readable = Readable(tokenizer)
        self.workers = workers
        self._cache = cache
        self._glossaries = glossaries or Glossaries()
        words = bundle.manifest.architecture.target_vocabulary
        self._grammars = Grammars(tokenizer, words, helpers or GrammarHelpers())
        self._settings = TextSettings.of(bundle.manifest.texts)
        self._intake = Intake(tokenizer, limits, bundle.manifest.limits, self._settings)
        languages.load()
        self._width = bundle.manifest.decoding.beam_size  # of a default request, which costs its source tokens
        self._bounds = Bounds(limits.max_beam_size, limits.max_hypotheses, bundle.manifest)
        self._askings: dict[Hashable, _Asking] = {}
        self._mail: Mailbox | None = None

    def __repr__(self) -> str:
        return f"<Pipeline {self.name} {self.admission!r}>"

    @property
    def name(self) -> str:
        """The model's name, which requests use."""
        return self.bundle.manifest.name

    @property
    def glossaries(self) -> list[Glossary]:
        """Those that requests may name."""
        return self._glossaries.of_model(self.name)

    @property
    def version(self) -> str:
        """The model's version."""
        return self.bundle.version

    def decoding(self, request: Request) -> Decoding:
        """What the request's segments are decoded with."""
        decoding = resolve(request, request.engine, self._bounds.of(searcher(request, self.bundle.manifest)))
        if isinstance(decoding, ServingError):
            raise decoding
        return decoding

    def template(self, request: Request) -> Segment:
        """What the request's segments have in common. Raises what is wrong with the request but for its texts."""
        return self._template(request, self.plans(request)[0])

    def plans(self, request: Request) -> list[Plan]:
        """The plans by which the request may be decoded."""
        if request.live is not None:
            raise InvalidRequest("live", "set, and only texts of TranslatePipe may be unfinished: unset it")
        if request.grammar is not None:
            check(request.grammar)
        return plans(request, self._bounds) if request.targets is None else [self._scoring(request)]

    def _scoring(self, request: Request) -> Plan:
        """The only plan for a request with given translations."""
        if not searches(self.bundle.manifest):
            raise UnsupportedByModel("model", "this model decodes without autoregression alone and cannot score")
        try:
            return Plan(Beam(), self.decoding(request), decoder=searcher(request, self.bundle.manifest))
        except InvalidRequest as error:  # such a request has these fields at its top
            violations = (Violation(v.field.removeprefix("decoding."), v.message) for v in error.violations)
            raise InvalidRequest.of(violations) from None

    def _template(self, request: Request, plan: Plan, phrasing: GrammarPhrasing | None = None) -> Segment:
        labels = label_tree(request, self._tokenizer, self.bundle.manifest.limits.max_target_tokens)
        decoding = plan.decoding if labels is None else said_whole(plan.decoding, labels)
        if request.grammar is not None:
            decoding = said_freely(decoding, is_short=request.overrides.max_length_factor is not None)
        return Segment(
            ids=(),
            decoding=decoding,
            phrasing=phrasing or labels,
            deadline_s=request.deadline_s,
            strategy=plan.strategy,
            decoder=plan.decoder,
            suppressed_ids=suppressed_ids(request.suppressed_tokens, self._tokenizer),
            attention=request.output.alignments or (decoding.unknown_handling == "copy" and request.targets is None),
            priority=request.priority,
            stops_loops=request.on_loop is OnLoop.STOP and labels is None and request.grammar is None,
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

    def may_remember(self, texts: Sequence[str]) -> bool:
        """Whether all of these texts are likely to be remembered. From any thread."""
        return self._cache is not None and all(map(self._cache.knows_text, texts))

    def refusal(self, texts: Sequence[str], priority: Priority, remaining_s: float | None) -> ServingError | None:
        """What a request for texts that asks for nothing else would be refused with now, at once. From any thread.

        None where it would not be, and where it has to be looked at: it may be remembered.
        """
        if self.may_remember(texts):
            return None
        cost = sum(map(tokens_of, texts))
        # Rounded, so that few messages have to be made for many requests.
        wait_s = rounded(self.lanes.predicted_wait_s(priority, cost))
        if remaining_s is not None and wait_s > rounded(remaining_s):
            return unmeetable(wait_s, rounded(remaining_s))
        try:
            self.admission.check(cost, self.admission.held_tokens, wait_s, TRANSLATE.texts)
        except Overloaded as error:
            return error
        except InvalidRequest:
            return None
        return None

    async def translate(self, request: Request, *, least_cost: int = 0) -> list[Outcome]:
        """The outcome of each text, in the order of the texts. Whoever has been told what it costs says so."""
        if len(request.texts) == 1 and not _is_long(request):
            return [await self._translate_one(request, least_cost)]
        async with aclosing(self.stream(request, least_cost=least_cost, together=TOGETHER)) as stream:
            outcomes = {index: outcome async for index, outcome in stream}
        return [outcomes[index] for index in range(len(request.texts))]

    async def _translate_one(self, request: Request, least_cost: int) -> Outcome:
        """The outcome of the only text of a request that is not long: as `stream`, with fewer stops on the way."""
        asking, texts = await self._asking(request)
        with self._admit(request, texts, asking, least_cost, is_long=False) as reservation:
            job = await self._begun(request, asking, texts, reservation, is_long=False)
            [answers] = await gather(self.lanes, job.segments, job.again, self._mailbox())
            return await job.outcome(0, answers)

    async def stream(
        self, request: Request, *, least_cost: int = 0, together: int = 1
    ) -> AsyncGenerator[tuple[int, Outcome], None]:
        """The outcome of each text with its index, as soon as it is known, or that of several `together`. Close it when
        you stop reading early.
        """
        asking, texts = await self._asking(request)
        is_long = _is_long(request)
        with self._admit(request, texts, asking, least_cost, is_long=is_long) as reservation:
            job = await self._begun(request, asking, texts, reservation, is_long=is_long)
            async with aclosing(decode(self.lanes, job.segments, job.again, together=together)) as answered:
                async for index, answers in answered:
                    outcome = await job.outcome(index, answers)
                    reservation.give_back(job.costs[index])
                    yield index, outcome

    async def _asking(self, request: Request) -> tuple[_Asking, Texts]:
        """What a request asks of its texts, and these. Raises what is wrong with it."""
        is_usual = type(request.method) is Beam and not (
            request.glossaries or request.terms or request.grammar or request.live or request.targets is not None
        )
        # Whether there are prefixes, or a deadline, decides which engines can answer.
        key = (request.kind, request.deadline_s is None, any(request.prefixes)) if is_usual else None
        asking = self._askings.get(key) if key is not None else None
        if asking is not None:
            if request.deadline_s is not None:
                asking = replace(asking, template=changed(asking.template, deadline_s=request.deadline_s))
            return asking, self._intake.check(request)
        asking, texts = await self._asked(request)
        if key is not None:
            if len(self._askings) >= MOST_ASKINGS:
                self._askings.clear()
            self._askings[key] = asking
        return asking, texts

    async def _asked(self, request: Request) -> tuple[_Asking, Texts]:
        candidates, pair = self.plans(request), self.pair(request.source_language, request.target_language)
        phrasing = None
        if request.grammar is not None:
            workers, caller = self.workers, request.caller
            phrasing = await self._grammars.phrasing(request.grammar, workers.run_in_slices, workers.run, caller)
        template = self._template(request, candidates[0], phrasing)
        texts = self._intake.check(request)
        settings = self._settings.asked(request)
        asking = _Asking(
            candidates,
            pair,
            phrasing,
            template,
            find=Recogniser(settings.protection, self._readable).find,
            glossaries=self._glossaries.named(request.glossaries, self.name),
            is_repeatable=_is_repeatable(request),
            attention=self._has_attention(template),
            assembler=self._assembler(request, candidates[0], settings),
        )
        return asking, texts

    def _assembler(self, request: Request, plan: Plan, settings: TextSettings) -> Assembler:
        return Assembler(
            self._tokenizer,
            request.output,
            copies_unknown=plan.decoding.unknown_handling == "copy",
            mends_numbers=bool(settings.protection.kinds),
            is_reviewed=settings.is_reviewed,
            is_alone=not request.translates,
            chooser=plan.chooser,
        )

    async def _begun(
        self, request: Request, asking: _Asking, texts: Texts, reservation: Reservation, *, is_long: bool
    ) -> Job:
        """A request whose texts are cut and numbered, and which is let in for what they cost."""
        plan, template, assembler = asking.candidates[0], asking.template, asking.assembler
        cache = self._cache if asking.is_repeatable else None
        started = time.perf_counter()
        most_tokens = self._most_tokens(template)
        preparing = self._intake.prepare(
            request,
            texts,
            asking.pair,
            plan.decoding,
            asking.find,
            glossaries=asking.glossaries,
            most_tokens=most_tokens,
        )
        prepared = await self.workers.done(preparing, is_long=is_long)
        attention = asking.attention
        if len(asking.candidates) > 1 and (chosen := self._chosen(request, asking.candidates, prepared)) is not plan:
            copies_unknown = plan.decoding.unknown_handling == "copy"
            plan, template = chosen, self._template(request, chosen, asking.phrasing)
            attention = self._has_attention(template)
            assembler = assembler.choosing(plan.chooser, copies_unknown=copies_unknown)
        recall = cache.recall if cache else lambda _: None
        cutting = segmented(prepared, template, default_width=self._width, recall=recall, attention=attention)
        segments, costs = await self.workers.done(cutting, is_long=is_long)
        tokenize_s = time.perf_counter() - started
        self._correct(reservation, request, sum(costs))
        return Job(
            request,
            prepared,
            segments,
            costs,
            plan,
            assembler,
            Retrying(
                self._tokenizer,
                template,
                has_attention=attention,
                max_tokens=most_tokens,
                recalls=cache,
                keeps=cache if request.cache is CacheMode.DEFAULT else None,
            ),
            self.workers,
            tokenize_s,
            is_long=is_long,
        )

    def _most_tokens(self, template: Segment) -> int:
        """How long a segment may be that is decoded so. Raises `InvalidRequest` where memory has room for none."""
        most, strategy, decoding = self.bundle.manifest.limits.max_source_tokens, template.strategy, template.decoding
        if self._readable_tokens is None:
            return most
        width = strategy.width(decoding)
        steps = max(decoding.min_length, (strategy.exact_length or 0) + 1)
        found = self._readable_tokens(width, steps)
        if not found:
            raise InvalidRequest(
                "decoding",
                f"{width} hypotheses side by side of {steps} tokens or more take more memory than a lane may fill: ask "
                "for fewer or shorter ones, or raise --lane-memory",
            )
        return min(most, found)

    def _mailbox(self) -> Mailbox:
        """The way from lanes to the running event loop."""
        loop = asyncio.get_running_loop()
        if self._mail is None or self._mail.loop is not loop:
            self._mail = Mailbox(loop)
        return self._mail

    def _has_attention(self, template: Segment) -> bool:
        """Whether segments can carry their attention."""
        is_searched = not isinstance(template.strategy, NonAutoregressive)
        manifest = self.bundle.manifest.of(template.decoder)
        return is_searched and has_attention(manifest, shortlist=template.decoding.shortlist)

    def _chosen(
        self, request: Request, candidates: Sequence[Plan], prepared: Sequence[PreparedText | InvalidRequest]
    ) -> Plan:
        """The plan by which the request goes, by its deadline and what each engine takes now."""
        texts = [text for text in prepared if isinstance(text, PreparedText)]
        cost = sum(text.source_tokens for text in texts)
        remaining_s = None
        if request.deadline_s is not None:
            wait_s = self.lanes.predicted_wait_s(request.priority, cost)
            remaining_s = request.deadline_s - time.monotonic() - wait_s
        return choose(
            candidates,
            is_fastest=request.engine is EnginePreference.FAST,
            tokens=max((len(ids) for text in texts for ids in text.decoded_ids), default=0),
            remaining_s=remaining_s,
            seconds_per_token=partial(self.lanes.seconds_per_token, bulk=not is_light([cost])),
        )

    def _admit(self, request: Request, texts: Texts, asking: _Asking, least_cost: int, *, is_long: bool) -> Reservation:
        """Capacity for a request that can be answered in time, or that is likely to need none."""
        most_tokens = self.bundle.manifest.limits.max_source_tokens
        cost = estimated = estimate(request, texts, asking.template, default_width=self._width, most_tokens=most_tokens)
        field = field_names(request).texts
        if request.deadline_s is not None and time.monotonic() >= request.deadline_s:
            raise DeadlineExceeded("the deadline had passed when the request arrived")
        cost = max(cost, least_cost)
        if request.deadline_s is None and self.admission.has_room(cost):
            return self.admission.reserve(cost, field=field)
        wait_s = self.lanes.predicted_wait_s(request.priority, estimated)
        try:
            _check_in_time(wait_s, _remaining_s(request))
            return self.admission.reserve(cost, wait_s, field=field)
        except (DeadlineUnmeetable, InvalidRequest, Overloaded):
            # What is likely to be remembered is worth its numbering, to find out.
            if is_long or not (asking.is_repeatable and self.may_remember(request.texts)):
                raise
        return self.admission.trial(field=field)

    def _correct(self, reservation: Reservation, request: Request, cost: int) -> None:
        """Hold what the request really costs; one that has been on trial is refused here where it is not in time."""
        if not reservation.is_trial and reservation.holds(cost):
            reservation.correct(cost)
            return
        wait_s = self.lanes.predicted_wait_s(request.priority, cost)
        if reservation.is_trial and cost:
            _check_in_time(wait_s, _remaining_s(request))
        reservation.correct(cost, wait_s)


def rounded(seconds: float) -> float:
    """To two digits."""
    return float(f"{seconds:.2g}")


@lru_cache(maxsize=256)
def unmeetable(wait_s: float, remaining_s: float) -> DeadlineUnmeetable:
    """An error that is answered and never raised: to make one takes as long as to find out that it is due."""
    return DeadlineUnmeetable(wait_s, remaining_s)


def _remaining_s(request: Request) -> float | None:
    """How long there is until its deadline; None where it has none."""
    return None if request.deadline_s is None else request.deadline_s - time.monotonic()


def _check_in_time(wait_s: float, remaining_s: float | None) -> None:
    """Refuse what would wait for longer than it may."""
    if remaining_s is not None and wait_s > remaining_s:
        raise DeadlineUnmeetable(wait_s, remaining_s)


def _is_repeatable(request: Request) -> bool:
    """Whether its like would be decoded to the same, and may be told so: draws without a seed are new each time."""
    method = request.method
    return (
        request.cache is not CacheMode.BYPASS
        and request.targets is None
        and request.translates
        and method.strategy(seed=0) == method.strategy(seed=1)
    )


def _is_long(request: Request) -> bool:
    """Whether its texts are cut, numbered and joined away from the event loop."""
    return _characters(request) >= (INLINE_CHARACTERS if request.format is InputFormat.PLAIN else INLINE_MARKUP)


def _characters(request: Request) -> int:
    """All that a request wants to have numbered."""
    sources = (form.source for term in request.terms for form in term.all_forms)
    return sum(map(len, (*request.texts, *request.prefixes, *request.contexts, *(request.targets or ()), *sources)))

"""Which ways of decoding a request may go, best first, and which of them it goes.

A demand for an engine leaves one way, or is refused by name where the model lacks it or another field excludes it. A
wish leaves several, as far as the model has them and no field stands against it:

    auto       the bundle's own way; where a deadline is set, greedy and then non-autoregressive decoding besides
    quality    the bundle's own beam, or one of 4
    balanced   greedy
    fast       non-autoregressive, or greedy

Greedy decoding is speculative where a decoder of the bundle can draft: the translation is the same. `choose` takes the
way by deadline and by what each way has been taking lately, which the load is part of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from dragoman.bundle.manifest import Decoding, Manifest
from dragoman.server.core.errors import InvalidRequest, ServingError, UnsupportedByModel
from dragoman.server.core.requests import EnginePreference, Request
from dragoman.server.core.strategies import (
    Alternatives,
    Beam,
    DiverseBeam,
    DraftSource,
    Engine,
    NonAutoregressive,
    Sample,
    Speculative,
    Strategy,
)
from dragoman.server.planning.capabilities import can_verify, draft_sources, nat_decoders, offered, searches
from dragoman.server.planning.nat_plans import FIELDS, MAX_LENGTH_CANDIDATES, resolve_nat
from dragoman.server.planning.settings import DecodingBounds, resolve

MAX_PASSES = 64
MAX_LENGTH_SCALE = 10.0
MAX_DRAFT_TOKENS = 16
MAX_MARGIN = 100.0
DRAFT_TOKENS = 8
"""Drafted at a time where nobody says otherwise. Each costs a row of a run, which is little: from 4 to 8 a real model's
rounds were 18 % fewer, from 8 to 12 another 7 %, which the rows then cost."""


@dataclass(frozen=True)
class Way:
    """One way of decoding a request."""

    strategy: Strategy
    decoding: Decoding

    @property
    def engine(self) -> Engine:
        """What its time is measured under; speculation is as fast as greedy search or faster."""
        match self.strategy:
            case NonAutoregressive():
                return Engine.NAT
            case Sample():
                return Engine.SAMPLING
            case DiverseBeam() | Alternatives():
                return Engine.BEAM
        return Engine.GREEDY if self.decoding.beam_size == 1 else Engine.BEAM


def ways(request: Request, bounds: DecodingBounds) -> list[Way]:
    """The ways that a request may go, the best translation first; raises what is wrong with it."""
    manifest, engine = bounds.manifest, request.engine
    if not searches(manifest):  # all wishes come to one
        if engine in (EnginePreference.GREEDY, EnginePreference.BEAM, EnginePreference.SPECULATIVE):
            raise UnsupportedByModel("engine", f"this model has no {engine.value} decoding: {offered(manifest)}")
        request = replace(request, engine=EnginePreference.NAT)
        engine = request.engine
    decoding = resolve(request, bounds)
    _check_fields(request, manifest)
    if engine is EnginePreference.NAT:
        return [Way(*resolve_nat(request, decoding, manifest))]
    if engine is EnginePreference.SPECULATIVE:
        return [Way(_speculative(request, decoding, manifest), decoding)]
    own = Way(request.strategy, decoding)
    if engine in (EnginePreference.AUTO, EnginePreference.BALANCED, EnginePreference.FAST):
        own = _drafted(request, own, manifest)
    if engine is EnginePreference.AUTO and request.deadline_s is None:
        return [own]
    found = [own]
    if engine is EnginePreference.AUTO and own.engine is Engine.BEAM and isinstance(request.strategy, Beam):
        found += _tried(lambda: _greedy(request, bounds))
    if engine is EnginePreference.AUTO:
        found += _tried(lambda: _nat_instead(request, bounds, own))
    if engine is EnginePreference.FAST:
        found += _tried(lambda: _one_pass(request, bounds, own, "ctc"))
        found += _tried(lambda: _one_pass(request, bounds, own, None)) if found == [own] else []
    return found


def choose(
    found: Sequence[Way],
    *,
    is_fastest: bool,
    tokens: int,
    remaining_s: float | None,
    seconds_per_token: Callable[[Engine], float | None],
) -> Way:
    """The first way that is in time, or the fastest one where that is asked for or none is.

    `tokens` are the source tokens of the longest segment, `seconds_per_token` what one took of late, waiting left out.
    A way that has not been gone lately counts as taking no time: so it is tried, and its time is known.
    """
    times = {id(way): tokens * (seconds_per_token(way.engine) or 0.0) for way in found}
    if not is_fastest:
        for way in found:
            if remaining_s is None or times[id(way)] <= remaining_s:
                return way
    return min(reversed(found), key=lambda way: times[id(way)])


def _tried(make: Callable[[], Way]) -> list[Way]:
    """A way, if the request can go it: a wish gives way to what else is asked for."""
    try:
        return [make()]
    except ServingError:
        return []


def _greedy(request: Request, bounds: DecodingBounds) -> Way:
    greedy = replace(request, engine=EnginePreference.GREEDY)
    return _drafted(request, Way(request.strategy, resolve(greedy, bounds)), bounds.manifest)


def _nat_instead(request: Request, bounds: DecodingBounds, own: Way) -> Way:
    """Over the same words as the request's own way."""
    demand = replace(request, engine=EnginePreference.NAT)
    strategy, decoding = resolve_nat(demand, resolve(demand, bounds), bounds.manifest)
    return Way(strategy, replace(decoding, shortlist=own.decoding.shortlist))


def _one_pass(request: Request, bounds: DecodingBounds, own: Way, decoder: str | None) -> Way:
    """In one pass where the request does not say otherwise; CTC is tried first, as it is the best in one."""
    nat = replace(request.nat, passes=request.nat.passes or 1, decoder=request.nat.decoder or decoder)
    return _nat_instead(replace(request, nat=nat), bounds, own)


def _drafted(request: Request, way: Way, manifest: Manifest) -> Way:
    """The same, by speculation where the bundle has a decoder that drafts; sources seldom repeat enough for it."""
    is_greedy = isinstance(way.strategy, Beam) and way.decoding.beam_size == way.decoding.num_hypotheses == 1
    sources = draft_sources(manifest)
    if not is_greedy or not manifest.nat or not sources:
        return way
    return replace(way, strategy=_speculative(request, way.decoding, manifest))


def _check_fields(request: Request, manifest: Manifest) -> None:
    """Fields out of range, and fields of an engine that will not run."""
    nat, speculation, engine = request.nat, request.speculation, request.engine
    for name, value, most in (
        ("nat.passes", nat.passes, MAX_PASSES),
        ("nat.length_candidates", nat.length_candidates, MAX_LENGTH_CANDIDATES),
        ("speculation.draft_tokens", speculation.draft_tokens, MAX_DRAFT_TOKENS),
    ):
        if value is not None and not 1 <= value <= most:
            raise InvalidRequest(name, f"{value} is not between 1 and {most}")
    if nat.length_scale is not None and not 0 < nat.length_scale <= MAX_LENGTH_SCALE:
        raise InvalidRequest(
            "nat.length_scale", f"{nat.length_scale:g} is not above 0 and at most {MAX_LENGTH_SCALE:g}"
        )
    for name in ("length_scale", "length_candidates"):
        if nat.exact_length is not None and getattr(nat, name) is not None:
            raise InvalidRequest(f"nat.{name}", "excluded by nat.exact_length: unset one of them")
    lossy = speculation.lossy
    if lossy is not None:
        if not 2 <= lossy.top <= MAX_DRAFT_TOKENS:
            raise InvalidRequest("speculation.lossy.top", f"{lossy.top} is not between 2 and {MAX_DRAFT_TOKENS}")
        if not 0 <= lossy.margin <= MAX_MARGIN:
            message = f"{lossy.margin:g} is not between 0 and {MAX_MARGIN:g}"
            raise InvalidRequest("speculation.lossy.margin", message)
        if engine is not EnginePreference.SPECULATIVE:
            message = (
                "another translation than greedy decoding's is given to those who demand speculative decoding only"
            )
            raise InvalidRequest("speculation.lossy", message)
    never = {EnginePreference.GREEDY, EnginePreference.BEAM, EnginePreference.QUALITY}
    for field, is_set, others in (
        ("nat", request.nat != type(nat)(), never | {EnginePreference.SPECULATIVE, EnginePreference.BALANCED}),
        ("speculation", speculation != type(speculation)(), never | {EnginePreference.NAT}),
    ):
        if is_set and engine in others:
            raise InvalidRequest(field, f"set, and engine {engine.value} has no use for it: unset one of them")
    demanded = engine in (EnginePreference.NAT, EnginePreference.SPECULATIVE)  # then it is what is refused
    for field, is_set, is_there in (
        ("nat", request.nat != type(nat)(), bool(manifest.nat)),
        ("speculation", speculation != type(speculation)(), bool(draft_sources(manifest))),
    ):
        if is_set and not is_there and not demanded:
            raise UnsupportedByModel(field, f"set, and no engine of this model has a use for it: {offered(manifest)}")


def _speculative(request: Request, decoding: Decoding, manifest: Manifest) -> Speculative:
    sources, wanted = draft_sources(manifest), request.speculation
    if not sources:
        reads = "" if can_verify(manifest) else ", as its decoder reads one word at a time"
        raise UnsupportedByModel("engine", f"this model has no speculative decoding{reads}: {offered(manifest)}")
    if not isinstance(request.strategy, Beam) or decoding.num_hypotheses != 1:
        field = "num_hypotheses" if isinstance(request.strategy, Beam) else FIELDS[type(request.strategy)]
        message = f"speculative decoding gives greedy decoding's one translation, not what decoding.{field} asks for"
        raise InvalidRequest("engine", f"{message}: unset one")
    if wanted.draft is not None and wanted.draft not in sources:
        known = ", ".join(source.value for source in sources)
        raise UnsupportedByModel(
            "speculation.draft", f"this model has no drafts from {wanted.draft.value}, but {known}"
        )
    draft = wanted.draft or sources[0]
    return Speculative(draft, wanted.draft_tokens or DRAFT_TOKENS, _draft_decoder(manifest, draft), wanted.lossy)


def _draft_decoder(manifest: Manifest, draft: DraftSource) -> str:
    """Who drafts: for whole texts CTC before others, as it is the best in one pass; nobody where the source does."""
    names = nat_decoders(manifest)
    match draft:
        case DraftSource.NAT:
            return next(name for name in names if manifest.nat[name].block)
        case DraftSource.HYPOTHESIS:
            return "ctc" if "ctc" in names else names[0]
    return ""

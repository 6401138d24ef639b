"""The plans by which a request may be decoded, best first, and which of them it goes by.

A demand for an engine leaves one plan, or is refused by name where the model lacks it or another field excludes it. A
wish leaves several, as far as the model has them and no field stands against it:

    auto       the bundle's own search; where a deadline is set, greedy and then non-autoregressive decoding besides
    quality    the bundle's own beam, or one of 4
    balanced   greedy
    fast       non-autoregressive, or greedy

A bundle may have several decoders that search: its default one does, but for a request that names another, or that has
to do with speculation, which needs one that reads several words at a time. Greedy decoding is speculative where that is
the one and a decoder of the bundle can draft: the translation is the same. `choose` takes the plan by deadline and by
what each engine has been taking lately, which the load is part of.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from dragoman.bundle.manifest import Decoding, Manifest
from dragoman.server.core.errors import InvalidRequest, ServingError, UnsupportedByModel, joined
from dragoman.server.core.limits import Bounds
from dragoman.server.core.requests import EnginePreference, NatOverrides, Request, SpeculationOverrides
from dragoman.server.core.strategies import Beam, Chooser, DraftSource, Engine, Strategy
from dragoman.server.decode.strategies.speculative import DRAFT_TOKENS, Speculative
from dragoman.server.planning.capabilities import can_verify, draft_sources, nat_decoders, offered, searches
from dragoman.server.planning.nat_plans import MAX_LENGTH_CANDIDATES, resolve_nat
from dragoman.server.planning.settings import resolve, searcher

MAX_PASSES = 64
MAX_LENGTH_SCALE = 10.0
MAX_DRAFT_TOKENS = 16
MAX_MARGIN = 100.0


@dataclass(frozen=True)
class Plan:
    """One way to decode a request's segments. Where a text's target is given, only the settings count."""

    strategy: Strategy
    decoding: Decoding
    chooser: Chooser | None = None
    decoder: str | None = None
    """The sibling that decodes; None: the architecture's own decoder, or one without autoregression."""

    @property
    def engine(self) -> Engine:
        """What its time is measured under."""
        return self.strategy.engine(self.decoding)


@dataclass(frozen=True)
class _Asked:
    """A request and what it may ask for; the engine is the one that it is taken to prefer."""

    request: Request
    engine: EnginePreference
    bounds: Bounds
    """What settings may be at most; their bundle has all its decoders."""
    decoder: str | None
    """The decoder that searches."""

    @property
    def manifest(self) -> Manifest:
        """As the decoder sees it."""
        return self.searched.manifest

    @cached_property
    def searched(self) -> Bounds:
        """The decoder's."""
        return self.bounds.of(self.decoder)

    @cached_property
    def decoding(self) -> Decoding | ServingError:
        """Its settings, or what is wrong with them."""
        return resolve(self.request, self.engine, self.searched)


Made = Plan | ServingError | None
"""A plan, or why there is none; None where it would be no other than the first."""


def plans(request: Request, bounds: Bounds) -> list[Plan]:
    """The plans by which a request may go, the best translation first; raises what is wrong with it."""
    engine = request.engine
    if not searches(bounds.manifest):  # all wishes come to one
        if engine in (EnginePreference.GREEDY, EnginePreference.BEAM, EnginePreference.SPECULATIVE):
            raise UnsupportedByModel("engine", f"this model has no {engine.value} decoding: {offered(bounds.manifest)}")
        if request.grammar is not None:
            raise UnsupportedByModel("decoding.grammar", "this model decodes without autoregression alone")
        engine = EnginePreference.NAT
    asked = _Asked(request, engine, bounds, searcher(request, bounds.manifest))
    own = [asked.decoding] if isinstance(asked.decoding, ServingError) else []
    problem = joined([*own, *_field_problems(asked)])
    if problem is not None:
        raise problem
    first, *others = _MAKERS[engine]
    if request.grammar is not None:
        others = [make for make in others if make is _greedy_in_time]
    best = first(asked)
    if not isinstance(best, Plan):
        assert best is not None, "the first plan is always made"
        raise best
    return [best, *(plan for make in others if isinstance(plan := make(asked), Plan))]


def choose(
    found: Sequence[Plan],
    *,
    is_fastest: bool,
    tokens: int,
    remaining_s: float | None,
    seconds_per_token: Callable[[Engine], float | None],
) -> Plan:
    """The first plan that is in time, or the fastest one where that is asked for or none is.

    `tokens` are the source tokens of the longest segment, `seconds_per_token` what one took of late, waiting left out.
    An engine that has not run lately counts as taking no time: so it is tried, and its time is known.
    """
    times = {id(plan): tokens * (seconds_per_token(plan.engine) or 0.0) for plan in found}
    if not is_fastest:
        for plan in found:
            if remaining_s is None or times[id(plan)] <= remaining_s:
                return plan
    return min(reversed(found), key=lambda plan: times[id(plan)])


def _searched(asked: _Asked) -> Plan | ServingError:
    """What the request's method asks for."""
    decoding, method = asked.decoding, asked.request.method
    if isinstance(decoding, ServingError):
        return decoding
    strategy, settings = method.strategy(asked.request.seed), method.settings(decoding)
    return Plan(strategy, settings, method.chooser(decoding), asked.decoder)


def _drafted(asked: _Asked) -> Plan | ServingError:
    """The same, by speculation where that changes nothing."""
    plan = _searched(asked)
    return plan if isinstance(plan, ServingError) else _with_drafts(asked, plan)


def _with_drafts(asked: _Asked, plan: Plan) -> Plan | ServingError:
    """By speculation where the bundle has a decoder that drafts; sources seldom repeat enough for it."""
    is_free = isinstance(plan.strategy, Beam) and asked.request.grammar is None
    is_greedy = is_free and plan.decoding.beam_size == plan.decoding.num_hypotheses == 1
    if not is_greedy or not asked.manifest.nat or not draft_sources(asked.manifest):
        return plan
    speculative = _speculative(asked.request, plan.decoding, asked.manifest)
    return speculative if isinstance(speculative, ServingError) else replace(plan, strategy=speculative)


def _verified(asked: _Asked) -> Made:
    """Speculation, which is demanded."""
    plan = _searched(asked)
    if isinstance(plan, ServingError):
        return plan
    strategy = _speculative(asked.request, plan.decoding, asked.manifest)
    return strategy if isinstance(strategy, ServingError) else replace(plan, strategy=strategy)


def _greedy_in_time(asked: _Asked) -> Made:
    """Greedy search instead of a beam, for a request with a deadline."""
    if asked.request.deadline_s is None:
        return None
    own = _searched(asked)
    is_beam = isinstance(own, Plan) and own.engine is Engine.BEAM and isinstance(own.strategy, Beam)
    return _drafted(replace(asked, engine=EnginePreference.GREEDY)) if is_beam else None


def _nat_in_time(asked: _Asked) -> Made:
    """No autoregression, for a request with a deadline."""
    return None if asked.request.deadline_s is None else _nat_instead(asked, asked.request.nat)


def _one_pass(asked: _Asked) -> Made:
    """In one pass where the request does not say otherwise; CTC is tried first, as it is the best in one."""
    nat = replace(asked.request.nat, passes=asked.request.nat.passes or 1)
    plan = _nat_instead(asked, replace(nat, decoder=nat.decoder or "ctc"))
    return plan if isinstance(plan, Plan) else _nat_instead(asked, nat)


def _nat_instead(asked: _Asked, nat: NatOverrides) -> Made:
    """No autoregression, over the same words as the request's own search."""
    own, plan = _searched(asked), _nat_plan(asked, nat)
    if isinstance(plan, ServingError) or isinstance(own, ServingError):
        return plan
    return replace(plan, decoding=replace(plan.decoding, shortlist=own.decoding.shortlist))


def _nat(asked: _Asked) -> Made:
    """No autoregression, which is demanded."""
    return _nat_plan(asked, asked.request.nat)


def _nat_plan(asked: _Asked, nat: NatOverrides) -> Plan | ServingError:
    bounds = asked.bounds.of(None)
    decoding = resolve(asked.request, EnginePreference.NAT, bounds)
    if isinstance(decoding, ServingError):
        return decoding
    resolved = resolve_nat(asked.request, nat, decoding, bounds.manifest)
    return resolved if isinstance(resolved, ServingError) else Plan(*resolved)


_MAKERS: dict[EnginePreference, tuple[Callable[[_Asked], Made], ...]] = {
    EnginePreference.AUTO: (_drafted, _greedy_in_time, _nat_in_time),
    EnginePreference.QUALITY: (_searched,),
    EnginePreference.BALANCED: (_drafted,),
    EnginePreference.FAST: (_drafted, _one_pass),
    EnginePreference.GREEDY: (_searched,),
    EnginePreference.BEAM: (_searched,),
    EnginePreference.SPECULATIVE: (_verified,),
    EnginePreference.NAT: (_nat,),
}
"""What makes the plans of each preference: the first must be made, the others are left out where they cannot be."""

_NEVER_NAT = (EnginePreference.SPECULATIVE, EnginePreference.BALANCED)
_NEVER = (EnginePreference.GREEDY, EnginePreference.BEAM, EnginePreference.QUALITY)


def _field_problems(asked: _Asked) -> Iterator[ServingError]:
    """Fields out of range, and fields of an engine that will not run."""
    nat, speculation, engine, method = asked.request.nat, asked.request.speculation, asked.engine, asked.request.method
    yield from _range_problems(nat, speculation)
    if speculation.lossy is not None and engine is not EnginePreference.SPECULATIVE:
        message = "another translation than greedy decoding's is given to those who demand speculative decoding only"
        yield InvalidRequest("speculation.lossy", message)
    whole, drafts = asked.bounds.manifest, draft_sources(asked.manifest)
    if asked.request.decoder is not None and engine is EnginePreference.NAT:
        message = "set, and engine nat searches with none: unset it, and name one without autoregression in nat.decoder"
        yield InvalidRequest("decoder", message)
    uses = (
        ("nat", nat != NatOverrides(), (*_NEVER, *_NEVER_NAT), whole.nat),
        ("speculation", speculation != SpeculationOverrides(), (*_NEVER, EnginePreference.NAT), drafts),
    )
    for field, is_set, never, _ in uses:
        if is_set and engine in never:
            yield InvalidRequest(field, f"set, and engine {engine.value} has no use for it: unset one of them")
        if is_set and asked.request.grammar is not None:
            yield InvalidRequest(
                field, "excluded by decoding.grammar, where nothing has a use for it: unset one of them"
            )
        if is_set and not isinstance(method, Beam):
            yield InvalidRequest(
                field, f"excluded by decoding.{method.field}, where nothing has a use for it: unset one of them"
            )
    if engine in (EnginePreference.NAT, EnginePreference.SPECULATIVE):  # then it is the engine that is refused
        return
    for field, is_set, _, is_there in uses:
        if is_set and not is_there:
            who = (
                "no engine of this model has" if asked.request.decoder is None else "not this decoder of the model has"
            )
            message = f"set, and {who} a use for it: {offered(whole)}"
            yield UnsupportedByModel(field, message)


def _range_problems(nat: NatOverrides, speculation: SpeculationOverrides) -> Iterator[InvalidRequest]:
    for name, value, most in (
        ("nat.passes", nat.passes, MAX_PASSES),
        ("nat.length_candidates", nat.length_candidates, MAX_LENGTH_CANDIDATES),
        ("speculation.draft_tokens", speculation.draft_tokens, MAX_DRAFT_TOKENS),
    ):
        if value is not None and not 1 <= value <= most:
            yield InvalidRequest(name, f"{value} is not between 1 and {most}")
    if nat.length_scale is not None and not 0 < nat.length_scale <= MAX_LENGTH_SCALE:
        message = f"{nat.length_scale:g} is not above 0 and at most {MAX_LENGTH_SCALE:g}"
        yield InvalidRequest("nat.length_scale", message)
    for name in ("length_scale", "length_candidates"):
        if nat.exact_length is not None and getattr(nat, name) is not None:
            yield InvalidRequest(f"nat.{name}", "excluded by nat.exact_length: unset one of them")
    lossy = speculation.lossy
    if lossy is not None and not 2 <= lossy.top <= MAX_DRAFT_TOKENS:
        yield InvalidRequest("speculation.lossy.top", f"{lossy.top} is not between 2 and {MAX_DRAFT_TOKENS}")
    if lossy is not None and not 0 <= lossy.margin <= MAX_MARGIN:
        yield InvalidRequest("speculation.lossy.margin", f"{lossy.margin:g} is not between 0 and {MAX_MARGIN:g}")


def _speculative(request: Request, decoding: Decoding, manifest: Manifest) -> Speculative | ServingError:
    sources, wanted = draft_sources(manifest), request.speculation
    if not sources:
        reads = "" if can_verify(manifest) else ", as its decoder reads one word at a time"
        return UnsupportedByModel("engine", f"this model has no speculative decoding{reads}: {offered(manifest)}")
    if decoding.num_hypotheses != 1:
        message = "speculative decoding gives greedy decoding's one translation, not the several that"
        return InvalidRequest("engine", f"{message} decoding.num_hypotheses asks for: unset one")
    if wanted.draft is not None and wanted.draft not in sources:
        known = ", ".join(source.value for source in sources)
        message = f"this model has no drafts from {wanted.draft.value}, but {known}"
        return UnsupportedByModel("speculation.draft", message)
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

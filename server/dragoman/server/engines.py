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

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from dragoman.bundle.manifest import NAT_NAMES, Decoding, Manifest, Nat
from dragoman.server.decoding import DecodingBounds, resolve
from dragoman.server.domain import (
    Alternatives,
    Beam,
    DiverseBeam,
    DraftSource,
    Engine,
    EnginePreference,
    NonAutoregressive,
    Request,
    Sample,
    Speculative,
    Strategy,
)
from dragoman.server.errors import InvalidRequest, ServingError, UnsupportedByModel, quoted

MAX_PASSES = 64
MAX_LENGTH_CANDIDATES = 16
MAX_LENGTH_SCALE = 10.0
MAX_DRAFT_TOKENS = 16
MAX_MARGIN = 100.0
DRAFT_TOKENS = 4
"""Drafted at a time where nobody says otherwise: more are seldom all right, and each costs a row."""


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


def nat_decoders(manifest: Manifest) -> list[str]:
    """The bundle's non-autoregressive decoders, the default first."""
    return [name for name in NAT_NAMES if name in manifest.nat]


def searches(manifest: Manifest) -> bool:
    """Whether the bundle has a decoder that translates word by word."""
    return "step" in manifest.graphs


def can_verify(manifest: Manifest) -> bool:
    """Whether that decoder reads several words at a time."""
    return searches(manifest) and manifest.architecture.decoder == "self-attention"


def draft_sources(manifest: Manifest) -> list[DraftSource]:
    """Where drafts may come from, the default first; none where the decoder cannot read several words at a time.

    A block costs a pass at every round, which on a processor is several steps of a shallow decoder, one translation a
    pass for the whole text.
    """
    tokenizer = manifest.tokenizer
    if not can_verify(manifest):
        return []
    found = [DraftSource.HYPOTHESIS] * bool(manifest.nat)
    found += [DraftSource.NAT] * any(nat.block for nat in manifest.nat.values())
    is_shared = (tokenizer.source, tokenizer.source_vocabulary) == (tokenizer.target, tokenizer.target_vocabulary)
    return [*found, *[DraftSource.SOURCE] * is_shared]


def engines(manifest: Manifest) -> list[Engine]:
    """What the bundle can do besides searching and sampling."""
    found = [Engine.SPECULATIVE, Engine.SPECULATIVE_LOSSY] if draft_sources(manifest) else []
    return [*found, *([Engine.NAT] if manifest.nat else [])]


def ways(request: Request, bounds: DecodingBounds) -> list[Way]:
    """The ways that a request may go, the best translation first; raises what is wrong with it."""
    manifest, engine = bounds.manifest, request.engine
    if not searches(manifest):  # all wishes come to one
        if engine in (EnginePreference.GREEDY, EnginePreference.BEAM, EnginePreference.SPECULATIVE):
            raise UnsupportedByModel("engine", f"this model has no {engine.value} decoding: {_has(manifest)}")
        request = replace(request, engine=EnginePreference.NAT)
        engine = request.engine
    decoding = resolve(request, bounds)
    _check_fields(request)
    if engine is EnginePreference.NAT:
        return [_nat(request, decoding, manifest)]
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
    if engine in (EnginePreference.AUTO, EnginePreference.FAST):
        found += _tried(lambda: _nat_instead(request, bounds, own))
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
    """Over the same words as the request's own way, and in as few passes where speed is all that is wanted."""
    nat = request.nat
    if request.engine is EnginePreference.FAST and nat.passes is None:
        nat = replace(nat, passes=1)
    demand = replace(request, engine=EnginePreference.NAT, nat=nat)
    way = _nat(demand, resolve(demand, bounds), bounds.manifest)
    return replace(way, decoding=replace(way.decoding, shortlist=own.decoding.shortlist))


def _drafted(request: Request, way: Way, manifest: Manifest) -> Way:
    """The same, by speculation where the bundle has a decoder that drafts; sources seldom repeat enough for it."""
    is_greedy = isinstance(way.strategy, Beam) and way.decoding.beam_size == way.decoding.num_hypotheses == 1
    sources = draft_sources(manifest)
    if not is_greedy or not manifest.nat or not sources:
        return way
    return replace(way, strategy=_speculative(request, way.decoding, manifest))


def _check_fields(request: Request) -> None:
    """Fields out of range, and fields of an engine that will not run."""
    nat, speculation, engine = request.nat, request.speculation, request.engine
    for name, value, most in (
        ("nat.passes", nat.passes, MAX_PASSES),
        ("nat.length_candidates", nat.length_candidates, MAX_LENGTH_CANDIDATES),
        ("speculation.draft_tokens", speculation.tokens, MAX_DRAFT_TOKENS),
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


def _speculative(request: Request, decoding: Decoding, manifest: Manifest) -> Speculative:
    sources, wanted = draft_sources(manifest), request.speculation
    if not sources:
        reads = "" if can_verify(manifest) else ", as its decoder reads one word at a time"
        raise UnsupportedByModel("engine", f"this model has no speculative decoding{reads}: {_has(manifest)}")
    if not isinstance(request.strategy, Beam) or decoding.num_hypotheses != 1:
        field = "num_hypotheses" if isinstance(request.strategy, Beam) else _FIELDS[type(request.strategy)]
        message = f"speculative decoding gives greedy decoding's one translation, not what decoding.{field} asks for"
        raise InvalidRequest("engine", f"{message}: unset one")
    if wanted.draft is not None and wanted.draft not in sources:
        known = ", ".join(source.value for source in sources)
        raise UnsupportedByModel(
            "speculation.draft", f"this model has no drafts from {wanted.draft.value}, but {known}"
        )
    draft = wanted.draft or sources[0]
    return Speculative(draft, wanted.tokens or DRAFT_TOKENS, _draft_decoder(manifest, draft), wanted.lossy)


def _draft_decoder(manifest: Manifest, draft: DraftSource) -> str:
    """Who drafts: for whole texts CTC before others, as it is the best in one pass; nobody where the source does."""
    names = nat_decoders(manifest)
    match draft:
        case DraftSource.NAT:
            return next(name for name in names if manifest.nat[name].block)
        case DraftSource.HYPOTHESIS:
            return "ctc" if "ctc" in names else names[0]
    return ""


def _nat(request: Request, decoding: Decoding, manifest: Manifest) -> Way:
    names, wanted = nat_decoders(manifest), request.nat.decoder
    if not names:
        raise UnsupportedByModel("engine", f"this model has no non-autoregressive decoding: {_has(manifest)}")
    if wanted is not None and wanted not in names:
        known = ", ".join(names)
        raise UnsupportedByModel("nat.decoder", f"this model has no decoder {quoted(wanted)}, but {known}")
    for problem in _nat_problems(request, decoding, manifest):
        raise problem
    problems = {
        name: [*_decoder_problems(request, decoding, manifest, name)] for name in ([wanted] if wanted else names)
    }
    able = [name for name, found in problems.items() if not found]
    if not able:
        raise next(iter(problems.values()))[0]
    return _nat_way(request, decoding, able[0], manifest.nat[able[0]])


def _nat_way(request: Request, decoding: Decoding, name: str, nat: Nat) -> Way:
    wanted = request.nat
    candidates = wanted.length_candidates or max(nat.length_candidates, decoding.num_hypotheses)
    is_one = nat.kind == "ctc" or wanted.exact_length is not None or not nat.length_classes
    strategy = NonAutoregressive(
        decoder=name,
        passes=wanted.passes or nat.passes,
        length_candidates=1 if is_one else candidates,
        length_scale=wanted.length_scale or 1.0,
        exact_length=wanted.exact_length,
        rescore=wanted.rescore,
    )
    return Way(strategy, decoding if nat.kind == "ctc" else replace(decoding, beam_size=1))


def _nat_problems(request: Request, decoding: Decoding, manifest: Manifest) -> Iterator[ServingError]:
    """What no non-autoregressive decoder does."""
    if not isinstance(request.strategy, Beam):
        message = f"nat decoding is not what decoding.{_FIELDS[type(request.strategy)]} asks for: unset one"
        yield InvalidRequest("engine", message)
    for name, neutral in _MEANINGLESS.items():
        value = getattr(request.overrides, name)
        is_used = request.nat.rescore and name in _RANKING
        if value is not None and value != neutral and not is_used:
            yield InvalidRequest(f"decoding.{name}", "has no meaning in non-autoregressive decoding: leave it unset")
    if decoding.unknown_handling == "copy":
        yield UnsupportedByModel("decoding.unknown_handling", _NO_ATTENTION)
    if request.output.alignments:
        yield UnsupportedByModel("output.alignments", _NO_ATTENTION)
    if request.nat.rescore and not can_verify(manifest):
        message = "this model has no autoregressive decoder that reads whole texts"
        yield UnsupportedByModel("nat.rescore", message)


def _decoder_problems(request: Request, decoding: Decoding, manifest: Manifest, name: str) -> Iterator[ServingError]:
    """What one decoder does not do."""
    nat, wanted, beam = manifest.nat[name], request.nat, request.overrides.beam_size or 1
    if nat.kind == "ctc":
        if wanted.passes not in (None, 1):
            yield UnsupportedByModel("nat.passes", f"{wanted.passes}, and the decoder {name} has one pass")
        for field in ("length_scale", "exact_length", "length_candidates"):
            if getattr(wanted, field) is not None:
                yield UnsupportedByModel(f"nat.{field}", f"the decoder {name} has no length to choose")
        if request.overrides.min_length:
            yield UnsupportedByModel("decoding.min_length", f"the decoder {name} has no length to choose")
        if any(request.prefixes) or manifest.tokenizer.forced_first is not None:
            field = "segments.target_prefix" if any(request.prefixes) else "engine"
            yield UnsupportedByModel(field, f"the decoder {name} cannot begin with given words")
        if decoding.beam_size > 1 and request.output.token_scores and not wanted.rescore:
            message = (
                f"the beam of the decoder {name} adds up many ways to a text, which part no score among its tokens"
            )
            yield UnsupportedByModel("output.token_scores", message)
        return
    if beam != 1:
        yield InvalidRequest("decoding.beam_size", f"{beam}, and the decoder {name} has no beam: unset it")
    if not nat.length_classes and (wanted.length_candidates or 1) > 1:
        yield UnsupportedByModel("nat.length_candidates", f"the decoder {name} does not predict lengths")
    is_one = wanted.exact_length is not None or not nat.length_classes
    most = 1 if is_one else wanted.length_candidates or MAX_LENGTH_CANDIDATES
    if decoding.num_hypotheses > most:
        yield InvalidRequest(
            "decoding.num_hypotheses", f"{decoding.num_hypotheses}, and {most} length is tried for each"
        )
    framed = (nat.first_id is not None) + (nat.last_id is not None)
    longest = min(manifest.limits.max_target_tokens - 1, nat.max_canvas - framed)
    if wanted.exact_length is not None and not 1 <= wanted.exact_length <= longest:
        yield InvalidRequest("nat.exact_length", f"{wanted.exact_length} is not between 1 and {longest}")


def _has(manifest: Manifest) -> str:
    """What there is, for those who asked for what is not."""
    found = ["greedy and beam search"] if searches(manifest) else []
    found += [engine.value for engine in engines(manifest) if engine is not Engine.SPECULATIVE_LOSSY]
    return f"it has {' and '.join(found)}"


_FIELDS = {Sample: "sampling", DiverseBeam: "diversity", Alternatives: "alternatives"}
_NO_ATTENTION = "non-autoregressive decoding puts out no attention"
_MEANINGLESS = {
    "profile": None,
    "length_penalty": 1.0,
    "length_penalty_kind": "power",
    "word_penalty": 0.0,
    "coverage_penalty": 0.0,
    "patience": 1.0,
    "early_stopping": None,
    "repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
}
"""Decoding fields that it has no use for, and the values that change nothing."""
_RANKING = ("length_penalty", "length_penalty_kind", "word_penalty")
"""Of them, those that rank what the autoregressive decoder has scored."""

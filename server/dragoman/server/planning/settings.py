"""From a bundle's decoding defaults and what a request asks for to what a segment is decoded with.

Later answers win: the bundle's defaults, those of the profile that the request names, those of the engine that it
prefers, and the fields that it sets. A field without a meaning beside the others is refused, unless its value is the
one that changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from dragoman.bundle.manifest import Decoding, Manifest
from dragoman.bundle.profiles import PROFILES, with_profile
from dragoman.bundle.rules import NO_ATTENTION, attention_problems, decoding_problems, has_attention
from dragoman.server.core.errors import InvalidRequest, UnsupportedByModel, Violation, quoted
from dragoman.server.core.requests import DecodingOverrides, EnginePreference, Request
from dragoman.server.core.strategies import Alternatives, Beam, DiverseBeam, Sample, Strategy

QUALITY_BEAM = 4
"""The beam of a request that wants one and names no size, where the bundle's own is greedy."""
MAX_DIVERSITY_PENALTY = 100.0
MAX_TEMPERATURE = 100.0

_GREEDY_DEMANDS = (EnginePreference.GREEDY, EnginePreference.SPECULATIVE)
_GREEDY_WISHES = (EnginePreference.BALANCED, EnginePreference.FAST)


@dataclass(frozen=True)
class DecodingBounds:
    """What a request may ask for at most."""

    max_beam_size: int
    manifest: Manifest

    @property
    def has_shortlist(self) -> bool:
        """Whether target words can be chosen from a lexical shortlist."""
        return self.manifest.shortlist is not None and "step_shortlist" in self.manifest.graphs


def resolve(request: Request, bounds: DecodingBounds) -> Decoding:
    """Complete decoding settings; every field out of range is named in one `InvalidRequest`."""
    overrides, strategy = request.overrides, request.strategy
    defaults = _defaults(overrides, bounds)
    _refuse_engines(request)
    given = {name: value for name, value in vars(overrides).items() if value is not None}
    given = _preferred(request, given, defaults, bounds) | given
    # A default patience gives way to a rule that does not count hypotheses.
    if given.get("early_stopping", "first") != "first":
        given.setdefault("patience", 1.0)
    decoding = replace(defaults, **_sized(given, defaults, strategy))
    violations = [
        *_size_violations(decoding, overrides, strategy, bounds),
        *(Violation(f"decoding.{name}", problem) for name, problem in decoding_problems(decoding)),
        *_length_violations(overrides, bounds),
        *_strategy_violations(strategy, decoding, overrides, defaults, bounds),
    ]
    if violations:
        raise InvalidRequest.of(violations)
    for name, problem in attention_problems(bounds.manifest, decoding):
        raise UnsupportedByModel(f"decoding.{name}", problem)
    if request.output.alignments and not has_attention(bounds.manifest, shortlist=decoding.shortlist):
        raise UnsupportedByModel("output.alignments", NO_ATTENTION)
    return decoding


def _defaults(overrides: DecodingOverrides, bounds: DecodingBounds) -> Decoding:
    """The bundle's defaults under the profile that holds, within what its network can take."""
    own = bounds.manifest.decoding
    if overrides.shortlist and not bounds.has_shortlist:
        raise UnsupportedByModel("decoding.shortlist", "this model's bundle has no lexical shortlist")
    if overrides.profile is not None and overrides.profile not in PROFILES:
        known = ", ".join(PROFILES)
        raise InvalidRequest("decoding.profile", f"{quoted(overrides.profile)} is not one of {known}")
    defaults = with_profile(own, overrides.profile or own.profile)
    max_length = min(own.max_length, bounds.manifest.limits.max_target_tokens)
    # A limit that a request or the network lowers takes the smallest length down with it.
    asked = max_length if overrides.max_length is None else overrides.max_length
    return replace(defaults, max_length=max_length, min_length=max(0, min(defaults.min_length, asked)))


def _refuse_engines(request: Request) -> None:
    """Refuse an engine that is not what the other fields ask for; what the model lacks, `engines` refuses."""
    engine, beam = request.engine, request.overrides.beam_size
    if engine in (EnginePreference.GREEDY, EnginePreference.SPECULATIVE) and beam not in (None, 1):
        raise InvalidRequest("engine", f"{engine.value} decoding has a beam_size of 1, and {beam} is set: unset one")
    if engine is EnginePreference.BEAM and beam == 1:
        raise InvalidRequest("engine", "beam search has a beam_size above 1, and 1 is set: unset one")
    if engine in (EnginePreference.GREEDY, EnginePreference.BEAM) and not isinstance(request.strategy, Beam):
        field = _FIELDS[type(request.strategy)]
        if engine is EnginePreference.GREEDY or isinstance(request.strategy, Sample):
            raise InvalidRequest("engine", f"{engine.value} decoding is not what decoding.{field} asks for: unset one")


def _preferred(request: Request, given: dict[str, Any], defaults: Decoding, bounds: DecodingBounds) -> dict[str, Any]:
    """What a preference sets where the request does not."""
    engine, found = request.engine, dict[str, Any]()
    if engine is EnginePreference.QUALITY:
        found["shortlist"] = False
    if engine is EnginePreference.FAST and bounds.has_shortlist:
        found["shortlist"] = True
    wide = engine is EnginePreference.BEAM or (
        engine is EnginePreference.QUALITY and isinstance(request.strategy, Beam)
    )
    # A wish gives way to hypotheses that are asked for, and they widen the beam; a demand does not.
    wished = isinstance(request.strategy, Beam) and given.get("num_hypotheses", 1) == 1
    if wide:
        wanted = defaults.beam_size if defaults.beam_size > 1 else min(QUALITY_BEAM, bounds.max_beam_size)
        found["beam_size"] = max(wanted, given.get("num_hypotheses", 1))
    elif engine in _GREEDY_DEMANDS or (engine in _GREEDY_WISHES and wished):
        found["beam_size"] = 1
    elif engine is EnginePreference.NAT:  # nobody asks for a beam of CTC without knowing
        found["beam_size"] = given.get("num_hypotheses", 1)
    return found


def _sized(given: dict[str, Any], defaults: Decoding, strategy: Strategy) -> dict[str, Any]:
    """The settings with the beam and the number of hypotheses that go together."""
    sized = dict(given)
    match strategy:
        case Sample():
            # A wish for quality has no say in it: the draws of a sample have no beam.
            sized["beam_size"] = 1
        case Alternatives():
            sized.setdefault("num_hypotheses", 1)
        case _:
            # Asking for n hypotheses without naming a beam asks for the smallest beam that holds them.
            if "num_hypotheses" in given and "beam_size" not in given:
                sized["beam_size"] = max(defaults.beam_size, given["num_hypotheses"])
            # A narrower beam than the default number of hypotheses lowers that number, as nobody asked for it.
            elif "beam_size" in given and "num_hypotheses" not in given:
                sized["num_hypotheses"] = max(1, min(defaults.num_hypotheses, given["beam_size"]))
    return sized


def _size_violations(
    decoding: Decoding, overrides: DecodingOverrides, strategy: Strategy, bounds: DecodingBounds
) -> Iterator[Violation]:
    beam, number, most = decoding.beam_size, decoding.num_hypotheses, bounds.max_beam_size
    if isinstance(strategy, Sample):
        if overrides.beam_size not in (None, 1):
            message = f"{overrides.beam_size}, and decoding.sampling draws without a beam: set 1, or leave it unset"
            yield Violation("decoding.beam_size", message)
        if not 1 <= number <= most:
            yield Violation("decoding.num_hypotheses", f"{number} is not between 1 and {most} (--max-beam-size)")
        return
    if not 1 <= beam <= most:
        widened = overrides.num_hypotheses == beam and overrides.beam_size is None
        field = "num_hypotheses" if widened else "beam_size"
        yield Violation(f"decoding.{field}", f"{beam} is not between 1 and {most} (--max-beam-size)")
    if not 1 <= number <= max(beam, 1) and (number != beam or overrides.beam_size is not None):
        yield Violation("decoding.num_hypotheses", f"{number} is not between 1 and beam_size, which is {beam}")


def _length_violations(overrides: DecodingOverrides, bounds: DecodingBounds) -> Iterator[Violation]:
    most = bounds.manifest.limits.max_target_tokens
    if overrides.max_length is not None and not 1 <= overrides.max_length <= most:
        message = f"{overrides.max_length} is not between 1 and this model's {most} target tokens"
        yield Violation("decoding.max_length", message)


def _strategy_violations(
    strategy: Strategy, decoding: Decoding, overrides: DecodingOverrides, defaults: Decoding, bounds: DecodingBounds
) -> Iterator[Violation]:
    match strategy:
        case Sample():
            yield from _sample_violations(strategy)
            if decoding.early_stopping != defaults.early_stopping or decoding.patience != defaults.patience:
                message = "decoding.sampling does not search, so there is nothing to stop early: leave it unset"
                stopping = decoding.early_stopping != defaults.early_stopping
                yield Violation(f"decoding.{'early_stopping' if stopping else 'patience'}", message)
        case DiverseBeam(groups, penalty):
            if groups < 1 or decoding.beam_size % groups:
                message = f"{groups} does not divide beam_size, which is {decoding.beam_size}"
                yield Violation("decoding.diversity.groups", message)
            if not 0 <= penalty <= MAX_DIVERSITY_PENALTY:
                message = f"{penalty:g} is not between 0 and {MAX_DIVERSITY_PENALTY:g}"
                yield Violation("decoding.diversity.penalty", message)
        case Alternatives(count, min_probability):
            beam, most = decoding.beam_size, bounds.max_beam_size
            if not 1 <= count <= most:
                message = f"{count} is not between 1 and {most} (--max-beam-size)"
                yield Violation("decoding.alternatives.count", message)
            elif count * beam > most:
                message = f"{count} with a beam_size of {beam} each are {count * beam}, the limit is {most}"
                yield Violation("decoding.alternatives.count", f"{message} (--max-beam-size)")
            if not 0 <= min_probability <= 1:
                message = f"{min_probability:g} is not between 0 and 1"
                yield Violation("decoding.alternatives.min_probability", message)
            if overrides.num_hypotheses not in (None, 1):
                message = "decoding.alternatives.count says how many hypotheses come back: leave it unset"
                yield Violation("decoding.num_hypotheses", message)


def _sample_violations(sample: Sample) -> Iterator[Violation]:
    if sample.top_k is not None and sample.top_k < 1:
        yield Violation("decoding.sampling.top_k", f"{sample.top_k} is less than 1")
    if not 0 < sample.top_p <= 1:
        yield Violation("decoding.sampling.top_p", f"{sample.top_p:g} is not above 0 and at most 1")
    if not (math.isfinite(sample.temperature) and 0 < sample.temperature <= MAX_TEMPERATURE):
        message = f"{sample.temperature:g} is not above 0 and at most {MAX_TEMPERATURE:g}"
        yield Violation("decoding.sampling.temperature", message)


_FIELDS = {Sample: "sampling", DiverseBeam: "diversity", Alternatives: "alternatives"}

"""From a bundle's decoding defaults and what a request asks for to the settings that its segments are decoded with.

Later answers win: the bundle's defaults, those of the profile that the request names, those of the engine that it
prefers, and the fields that it sets. A field without a meaning beside the others is refused, unless its value is the
one that changes nothing.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from dragoman.bundle.manifest import Decoding, Manifest
from dragoman.bundle.profiles import PROFILES, with_profile
from dragoman.bundle.rules import NO_ATTENTION, attention_problems, decoding_problems, has_attention, source_problems
from dragoman.server.core.errors import InvalidRequest, ServingError, UnsupportedByModel, Violation, joined, quoted
from dragoman.server.core.limits import Bounds
from dragoman.server.core.requests import (
    DecodingOverrides,
    EnginePreference,
    InputFormat,
    Request,
    SpeculationOverrides,
)
from dragoman.server.core.strategies import Beam
from dragoman.server.planning.capabilities import verifier

QUALITY_BEAM = 4
"""The beam of a request that wants one and names no size, where the bundle's own is greedy."""

_GREEDY_DEMANDS = (EnginePreference.GREEDY, EnginePreference.SPECULATIVE)
_ONE_METHOD = (*_GREEDY_DEMANDS, EnginePreference.NAT)
_GREEDY_WISHES = (EnginePreference.BALANCED, EnginePreference.FAST)


def resolve(request: Request, engine: EnginePreference, bounds: Bounds) -> Decoding | ServingError:
    """Complete decoding settings for an engine, or what is wrong: of fields out of range, all in one error."""
    overrides = request.overrides
    problem = joined(_early_problems(request, engine, bounds))
    if problem is not None:
        return problem
    defaults = _defaults(overrides, bounds)
    asked = {name: value for name, value in vars(overrides).items() if value is not None}
    given = _preferred(request, engine, asked, defaults, bounds) | asked
    # A default patience gives way to a rule that does not count hypotheses.
    if given.get("early_stopping", "first") != "first":
        given.setdefault("patience", 1.0)
    decoding = replace(defaults, **request.method.sized(given, defaults))
    violations = [
        *(Violation(f"decoding.{name}", message) for name, message in decoding_problems(decoding)),
        *_length_violations(overrides, bounds),
        *request.method.violations(decoding, asked, defaults, bounds),
        *(_grammar_violations(request, asked) if request.grammar is not None else ()),
    ]
    if violations:
        return InvalidRequest.of(violations)
    return next(_model_problems(request, decoding, bounds), decoding)


def searcher(request: Request, manifest: Manifest) -> str | None:
    """The decoder that searches for a request: the one that it names, or the bundle's default, but for speculation one
    that can verify. None: the architecture's own. Raises where the bundle has no such decoder.
    """
    if request.decoder is not None:
        if request.decoder in manifest.siblings:
            return request.decoder
        if request.decoder not in manifest.decoders:
            known = ", ".join(manifest.decoders) or "none that translates word by word"
            message = f"this model has no decoder {quoted(request.decoder)}, but {known}"
            raise UnsupportedByModel("decoder", message)
        return None
    is_verified = request.engine is EnginePreference.SPECULATIVE or request.speculation != SpeculationOverrides()
    return verifier(manifest) if is_verified else manifest.searcher


def _grammar_violations(request: Request, asked: dict[str, Any]) -> Iterator[Violation]:
    """What a grammar, which says all of a translation, leaves no room for."""
    for name in ("min_length", "repetition_penalty", "no_repeat_ngram_size", "source_no_repeat_ngram_size"):
        if name in asked:
            yield Violation(f"decoding.{name}", "excluded by decoding.grammar, which says what is repeated: unset one")
    if asked.get("unknown_handling") == "copy":
        yield Violation("decoding.unknown_handling", "excluded by decoding.grammar, which allows no unknown words")
    if not request.method.goes_with_grammar:
        yield Violation(f"decoding.{request.method.field}", "excluded by decoding.grammar: unset one of them")
    protects = request.protection is not None and (request.protection.kinds or request.protection.patterns)
    for field, is_set in (
        ("texts.target_prefix", request.prefixes),
        ("format", request.format is not InputFormat.PLAIN),
        ("terms", request.terms),
        ("glossaries", request.glossaries),
        ("protection", protects),
    ):
        if is_set:
            yield Violation(field, "excluded by decoding.grammar, which says all of a translation: unset one of them")


def _early_problems(request: Request, engine: EnginePreference, bounds: Bounds) -> Iterator[ServingError]:
    """What makes no sense before any setting is known."""
    profile, beam, method = request.overrides.profile, request.overrides.beam_size, request.method
    if request.overrides.shortlist and not bounds.has_shortlist:
        yield UnsupportedByModel("decoding.shortlist", "this model's bundle has no lexical shortlist")
    if profile is not None and profile not in PROFILES:
        yield InvalidRequest("decoding.profile", f"{quoted(profile)} is not one of {', '.join(PROFILES)}")
    if engine in _GREEDY_DEMANDS and beam not in (None, 1):
        yield InvalidRequest("engine", f"{engine.value} decoding has a beam_size of 1, and {beam} is set: unset one")
    if engine is EnginePreference.BEAM and beam == 1:
        yield InvalidRequest("engine", "beam search has a beam_size above 1, and 1 is set: unset one")
    if engine in (EnginePreference.SPECULATIVE, EnginePreference.NAT) and request.grammar is not None:
        yield InvalidRequest("engine", f"{engine.value} decoding follows no decoding.grammar: unset one")
    is_clash = engine in _ONE_METHOD or (engine is EnginePreference.BEAM and not method.has_beam)
    if is_clash and not isinstance(method, Beam):
        message = f"{engine.value} decoding is not what decoding.{method.field} asks for: unset one"
        yield InvalidRequest("engine", message)


def _defaults(overrides: DecodingOverrides, bounds: Bounds) -> Decoding:
    """The bundle's defaults under the profile that holds, within what its network can take."""
    decoding = bounds.manifest.decoding
    max_length = min(decoding.max_length, bounds.manifest.limits.max_target_tokens)
    # A limit that a request or the network lowers takes the smallest length down with it.
    asked = max_length if overrides.max_length is None else overrides.max_length
    defaults = with_profile(decoding, overrides.profile or decoding.profile)
    return replace(defaults, max_length=max_length, min_length=max(0, min(defaults.min_length, asked)))


def _preferred(
    request: Request, engine: EnginePreference, asked: dict[str, Any], defaults: Decoding, bounds: Bounds
) -> dict[str, Any]:
    """What a preference sets where the request does not."""
    is_plain, number, preferred = isinstance(request.method, Beam), asked.get("num_hypotheses", 1), dict[str, Any]()
    if engine is EnginePreference.QUALITY:
        preferred["shortlist"] = False
    if engine is EnginePreference.FAST and bounds.has_shortlist:
        preferred["shortlist"] = True
    # A wish gives way to hypotheses that are asked for, and they widen the beam; a demand does not.
    if engine is EnginePreference.BEAM or (engine is EnginePreference.QUALITY and is_plain):
        wide = defaults.beam_size if defaults.beam_size > 1 else min(QUALITY_BEAM, bounds.max_beam_size)
        preferred["beam_size"] = max(wide, number)
    elif engine in _GREEDY_DEMANDS or (engine in _GREEDY_WISHES and is_plain and number == 1):
        preferred["beam_size"] = 1
    elif engine is EnginePreference.NAT:  # nobody asks for a beam of CTC without knowing
        preferred["beam_size"] = number
    return preferred


def _length_violations(overrides: DecodingOverrides, bounds: Bounds) -> Iterator[Violation]:
    most = bounds.manifest.limits.max_target_tokens
    if overrides.max_length is not None and not 1 <= overrides.max_length <= most:
        message = f"{overrides.max_length} is not between 1 and this model's {most} target tokens"
        yield Violation("decoding.max_length", message)


def _model_problems(request: Request, decoding: Decoding, bounds: Bounds) -> Iterator[ServingError]:
    """What asks for attention where the graphs give none, or for the source's words where they are not the target's."""
    for name, problem in source_problems(decoding, bounds.manifest.architecture):
        yield UnsupportedByModel(f"decoding.{name}", problem)
    for name, problem in attention_problems(bounds.manifest, decoding):
        yield UnsupportedByModel(f"decoding.{name}", problem)
    if request.output.alignments and not has_attention(bounds.manifest, shortlist=decoding.shortlist):
        yield UnsupportedByModel("output.alignments", NO_ATTENTION)

"""Requests for non-autoregressive decoding: which decoder does what is asked for, and what none of them does.

Nothing is dropped in silence: a field without a meaning here is refused by name, and so is what a decoder cannot do.
"""

from collections.abc import Iterator
from dataclasses import replace

from dragoman.bundle.manifest import Decoding, Manifest, Nat
from dragoman.server.core.errors import InvalidRequest, ServingError, UnsupportedByModel, quoted
from dragoman.server.core.requests import NatOverrides, Request
from dragoman.server.decode.strategies.nat import NonAutoregressive
from dragoman.server.planning.capabilities import can_verify, nat_decoders, offered

MAX_LENGTH_CANDIDATES = 16


def resolve_nat(
    request: Request, nat: NatOverrides, decoding: Decoding, manifest: Manifest
) -> tuple[NonAutoregressive, Decoding] | ServingError:
    """The strategy of a request for it, and the settings that go with that, or what is wrong with the request.

    `nat` is what the request says of it, or what is tried in its place.
    """
    names = nat_decoders(manifest)
    if not names:
        return UnsupportedByModel("engine", f"this model has no non-autoregressive decoding: {offered(manifest)}")
    if nat.decoder is not None and nat.decoder not in names:
        known = ", ".join(names)
        return UnsupportedByModel("nat.decoder", f"this model has no decoder {quoted(nat.decoder)}, but {known}")
    problems = list(_problems(request, nat, decoding, manifest))
    for name in () if problems else (nat.decoder,) if nat.decoder else names:
        lacking = next(_decoder_problems(request, nat, decoding, manifest, name), None)
        if lacking is None:
            return _resolved(nat, decoding, name, manifest.nat[name])
        problems.append(lacking)
    return problems[0]


def _resolved(wanted: NatOverrides, decoding: Decoding, name: str, nat: Nat) -> tuple[NonAutoregressive, Decoding]:
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
    return strategy, (decoding if nat.kind == "ctc" else replace(decoding, beam_size=1))


def _problems(request: Request, nat: NatOverrides, decoding: Decoding, manifest: Manifest) -> Iterator[ServingError]:
    """What no non-autoregressive decoder does."""
    for name, neutral in _MEANINGLESS.items():
        value = getattr(request.overrides, name)
        is_used = nat.rescore and name in _RANKING
        if value is not None and value != neutral and not is_used:
            yield InvalidRequest(f"decoding.{name}", "has no meaning in non-autoregressive decoding: leave it unset")
    if decoding.unknown_handling == "copy":
        yield UnsupportedByModel("decoding.unknown_handling", _NO_ATTENTION)
    if request.output.alignments:
        yield UnsupportedByModel("output.alignments", _NO_ATTENTION)
    if nat.rescore and not can_verify(manifest):
        message = "this model has no autoregressive decoder that reads whole texts"
        yield UnsupportedByModel("nat.rescore", message)


def _decoder_problems(
    request: Request, wanted: NatOverrides, decoding: Decoding, manifest: Manifest, name: str
) -> Iterator[ServingError]:
    """What one decoder does not do."""
    nat, beam = manifest.nat[name], request.overrides.beam_size or 1
    if nat.kind == "ctc":
        if wanted.passes not in (None, 1) and not nat.refines:
            yield UnsupportedByModel("nat.passes", f"{wanted.passes}, and the decoder {name} has one pass")
        for field in ("length_scale", "exact_length", "length_candidates"):
            if getattr(wanted, field) is not None:
                yield UnsupportedByModel(f"nat.{field}", f"the decoder {name} has no length to choose")
        if request.overrides.min_length:
            yield UnsupportedByModel("decoding.min_length", f"the decoder {name} has no length to choose")
        if any(request.prefixes) or manifest.tokenizer.forced_first is not None:
            field = "texts.target_prefix" if any(request.prefixes) else "engine"
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
    "source_no_repeat_ngram_size": 0,
}
"""Decoding fields that it has no use for, and the values that change nothing."""
_RANKING = ("length_penalty", "length_penalty_kind", "word_penalty")
"""The ones among them that rank what the autoregressive decoder has scored."""

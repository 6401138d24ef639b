"""From a bundle's decoding defaults and a request's overrides to what a segment is decoded with."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from dragoman.bundle.manifest import Decoding, Limits
from dragoman.bundle.rules import MAX_LENGTH_FACTOR, MAX_LENGTH_PENALTY
from dragoman.server.domain import DecodingOverrides
from dragoman.server.errors import InvalidRequest, UnsupportedByModel, Violation, quoted


@dataclass(frozen=True)
class DecodingBounds:
    """What overrides may ask for at most."""

    max_beam_size: int
    limits: Limits
    has_shortlist: bool


def resolve(defaults: Decoding, overrides: DecodingOverrides, bounds: DecodingBounds) -> Decoding:
    """Complete decoding settings; every field out of range is named in one `InvalidRequest`."""
    if overrides.shortlist and not bounds.has_shortlist:
        raise UnsupportedByModel("decoding.shortlist", "this model's bundle has no lexical shortlist")
    if overrides.profile not in (None, defaults.profile):
        profile = f"{quoted(overrides.profile)}, and this model decodes with {defaults.profile!r} only"
        raise UnsupportedByModel("decoding.profile", profile)
    given: dict[str, Any] = {name: value for name, value in vars(overrides).items() if value is not None}
    # Asking for n hypotheses without naming a beam asks for the smallest beam that holds them.
    if "num_hypotheses" in given and "beam_size" not in given:
        given["beam_size"] = max(defaults.beam_size, given["num_hypotheses"])
    # A narrower beam than the default number of hypotheses lowers that number, as nobody asked for it.
    elif "beam_size" in given and "num_hypotheses" not in given:
        given["num_hypotheses"] = max(1, min(defaults.num_hypotheses, given["beam_size"]))
    decoding = replace(defaults, **given)
    violations = _violations(decoding, overrides, bounds)
    if violations:
        raise InvalidRequest.of(violations)
    return replace(decoding, max_length=min(decoding.max_length, bounds.limits.max_target_tokens))


def _violations(decoding: Decoding, overrides: DecodingOverrides, bounds: DecodingBounds) -> list[Violation]:
    """What is out of range, in the order of the fields."""
    found: list[Violation] = []

    def require(*, holds: bool, field: str, message: str) -> None:
        if not holds:
            found.append(Violation(f"decoding.{field}", message))

    beam, most = decoding.beam_size, bounds.max_beam_size
    asked_beam = "num_hypotheses" if overrides.num_hypotheses == beam and overrides.beam_size is None else "beam_size"
    require(holds=1 <= beam <= most, field=asked_beam, message=f"{beam} is not between 1 and {most} (--max-beam-size)")
    if overrides.beam_size is not None or overrides.num_hypotheses is None:
        number = decoding.num_hypotheses
        message = f"{number} is not between 1 and beam_size, which is {beam}"
        require(holds=1 <= number <= max(beam, 1), field="num_hypotheses", message=message)
    elif overrides.num_hypotheses < 1:
        require(holds=False, field="num_hypotheses", message=f"{overrides.num_hypotheses} is less than 1")
    penalty = decoding.length_penalty
    require(
        holds=math.isfinite(penalty) and 0.0 <= penalty <= MAX_LENGTH_PENALTY,
        field="length_penalty",
        message=f"{penalty} is not between 0 and {MAX_LENGTH_PENALTY:g}",
    )
    if overrides.max_length is not None:
        most = bounds.limits.max_target_tokens
        message = f"{overrides.max_length} is not between 1 and this model's {most} target tokens"
        require(holds=1 <= overrides.max_length <= most, field="max_length", message=message)
    factor = decoding.max_length_factor
    require(
        holds=math.isfinite(factor) and 0.0 < factor <= MAX_LENGTH_FACTOR,
        field="max_length_factor",
        message=f"{factor} is not above 0 and at most {MAX_LENGTH_FACTOR:g}",
    )
    return found

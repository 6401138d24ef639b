"""What the decoding profiles stand for, where a bundle or a request leaves it open."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, get_args

from dragoman.bundle.manifest import Decoding, Profile

PROFILES: tuple[Profile, ...] = get_args(Profile)

PROFILE_DEFAULTS: Mapping[Profile, Mapping[str, Any]] = {
    # Marian normalises only where the model's settings say so, hence no length penalty of its own.
    "marian": {"early_stopping": "first", "patience": 1.0, "min_length": 0, "unknown_handling": "suppress"},
    "fairseq": {
        "length_penalty": 1.0,
        "length_penalty_kind": "power",
        "early_stopping": "first",
        "patience": 1.0,
        "min_length": 1,
        "unknown_handling": "allow",
    },
    "hf": {
        "length_penalty": 1.0,
        "length_penalty_kind": "power",
        "early_stopping": "heuristic",
        "patience": 1.0,
        "min_length": 0,
    },
    "ct2": {
        "length_penalty": 1.0,
        "length_penalty_kind": "power",
        "early_stopping": "first",
        "patience": 1.0,
        "min_length": 1,
    },
}
"""Fields of `Decoding` that each toolkit sets by itself; what is not named is the bundle's."""


def with_profile(decoding: Decoding, profile: Profile) -> Decoding:
    """The defaults as another toolkit has them; unchanged where the profile is the bundle's own."""
    if profile == decoding.profile:
        return decoding
    return replace(decoding, profile=profile, **PROFILE_DEFAULTS[profile])

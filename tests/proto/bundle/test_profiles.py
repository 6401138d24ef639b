"""What the profiles stand for."""

import pytest

from dragoman.bundle.manifest import Decoding
from dragoman.bundle.profiles import PROFILE_DEFAULTS, PROFILES, with_profile
from dragoman.bundle.rules import decoding_problems


def test_every_profile_has_its_defaults():
    """And each is a field of `Decoding`, other than the profile itself."""
    assert PROFILE_DEFAULTS.keys() == set(PROFILES)
    for defaults in PROFILE_DEFAULTS.values():
        assert defaults.keys() <= vars(Decoding()).keys() - {"profile"}


@pytest.mark.parametrize("profile", PROFILES)
def test_a_bundles_own_profile_changes_nothing(profile):
    """Its defaults may differ from its toolkit's."""
    own = Decoding(profile=profile, length_penalty=0.3, min_length=9, patience=2.0)

    assert with_profile(own, profile) is own


@pytest.mark.parametrize(
    ("profile", "length_penalty", "min_length", "early_stopping", "unknown_handling"),
    [
        ("fairseq", 1.0, 1, "first", "allow"),
        ("hf", 1.0, 0, "heuristic", "suppress"),
        ("ct2", 1.0, 1, "first", "suppress"),
    ],
)
def test_another_profile_brings_its_own_rules(profile, length_penalty, min_length, early_stopping, unknown_handling):
    """What it leaves open stays the bundle's; the result is legal."""
    made = with_profile(Decoding(length_penalty=0.3, beam_size=6, patience=2.0), profile)

    assert (made.profile, made.length_penalty, made.min_length) == (profile, length_penalty, min_length)
    assert (made.early_stopping, made.unknown_handling, made.beam_size) == (early_stopping, unknown_handling, 6)
    assert list(decoding_problems(made)) == []


def test_marian_keeps_the_length_penalty_of_the_bundle():
    """Its own is that of the model's settings, which the bundle has."""
    made = with_profile(Decoding(profile="hf", length_penalty=0.3, unknown_handling="allow"), "marian")

    assert (made.length_penalty, made.unknown_handling, made.early_stopping) == (0.3, "suppress", "first")

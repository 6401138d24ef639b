"""T5Gemma's configuration: what each option means, and what is refused."""

import pytest

from dragoman.bundle.manifest import Rotary
from dragoman.export.core.errors import UnsupportedModel
from dragoman.export.core.reasons import Reasons
from dragoman.export.importers.hf.config import Config, read_architecture

SIDE = {
    "hidden_size": 12,
    "intermediate_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 6,
    "max_position_embeddings": 32,
    "vocab_size": 40,
    "sliding_window": 5,
}
MODEL = {"model_type": "t5gemma", "encoder": SIDE, "decoder": SIDE}


def architecture(**sides):
    """What is read of a model some of whose options are these."""
    reasons = Reasons()
    found = read_architecture(Config({**MODEL, **{s: {**SIDE, **o} for s, o in sides.items()}}, reasons), reasons)
    reasons.raise_if_any("here")
    return found


def test_defaults_are_those_of_transformers():
    """Layers see near and far in turn, scores are capped at 50, words' at 30; a decoder's window counts the word."""
    found = architecture()

    assert found.rotary == Rotary(10_000.0, 2, 50.0, (4, None, 4))
    assert found.encoder_rotary == Rotary(10_000.0, 2, 50.0, (5, None, 5))
    assert (found.output_cap, found.norm, found.norm_kind) == (30.0, "both", "rms")
    assert found.is_relative


def test_what_is_null_is_none():
    """A cap or a window that is stated as null is not there; one that is left out has its default."""
    none = {"attn_logit_softcapping": None, "final_logit_softcapping": None, "sliding_window": None}

    found = architecture(decoder=none)

    assert (found.rotary, found.output_cap) == (Rotary(10_000.0, 2, None, (None, None, None)), None)
    assert not found.is_relative


@pytest.mark.parametrize("options", [{"rope_theta": 77.0}, {"rope_parameters": {"rope_theta": 77}}])
def test_the_base_of_positions_is_where_either_release_has_it(options):
    """In an object of its own since transformers 5, beside the sizes before."""
    assert architecture(encoder=options).encoder_rotary.base == 77.0


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"num_key_value_heads": 3}, "encoder.num_key_value_heads 3 must divide num_attention_heads 4"),
        ({"head_dim": 5}, "encoder.head_dim must be even"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "encoder.rope_parameters must be of the type"),
        ({"rope_scaling": {"factor": 2}}, "encoder.rope_parameters must be of the type default"),
        ({"rope_parameters": 3}, "encoder.rope_parameters must be an object"),
        ({"rope_theta": -1}, "encoder.rope_theta must be a number above 0"),
        ({"layer_types": ["full_attention"]}, "encoder.layer_types must be sliding_attention or full_attention"),
        ({"layer_types": ["full_attention", "linear", "linear"]}, "encoder.layer_types must be"),
        ({"hidden_activation": "mish"}, "the activation of encoder must be one of"),
        ({"attn_logit_softcapping": 0}, "encoder.attn_logit_softcapping must be a number above 0"),
        ({"sliding_window": 0}, "encoder.sliding_window must be a whole number from 1"),
    ],
)
def test_what_is_not_supported_is_named(options, reason):
    """With the side that it is of."""
    with pytest.raises(UnsupportedModel) as refused:
        architecture(encoder=options)
    assert any(reason in each for each in refused.value.reasons)


def test_reasons_against_both_sides_come_at_once():
    """And those against the head with them."""
    with pytest.raises(UnsupportedModel) as refused:
        architecture(encoder={"head_dim": 5}, decoder={"head_dim": 7, "final_logit_softcapping": "high"})
    assert len(refused.value.reasons) == 3

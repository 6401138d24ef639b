"""OpenNMT-py's options and tensors; what they compute is compared with OpenNMT-py itself in tests/formats."""

import pytest
import torch

from dragoman.export.core.errors import UnsupportedModel
from dragoman.export.importers.opennmt.importer import read_opennmt
from dragoman.export.importers.opennmt.networks import TABLE


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"copy_attn": True}, "copy_attn: a copy attention of its own"),
        (
            {"coverage_attn": True, "encoder_type": "transformer", "decoder_type": "transformer"},
            "coverage_attn: coverage is read of rnn with attention and input_feed",
        ),
        (
            {"coverage_attn": True, "input_feed": 0},
            "coverage_attn: coverage is read of rnn with attention and input_feed",
        ),
        ({"num_kv": 2}, "num_kv: grouped queries"),
        ({"max_relative_positions": -1}, "max_relative_positions: rotary positions or ALiBi"),
        ({"pos_ffn_activation_fn": "mish"}, "pos_ffn_activation_fn is 'mish'"),
        ({"heads": 4}, "architecture.heads: 4 does not divide d_model 6"),
        ({"heads": "two"}, "heads must be a whole number from 1 to 65536, the checkpoint says 'two'"),
        ({"decoder_type": "cnn"}, "encoder and decoder are cnn and transformer"),
        ({"global_attention_function": "sparsemax"}, "global_attention_function is 'sparsemax', which is not read"),
        ({"encoder_type": ["transformer"]}, "encoder and decoder are ['transformer'] and transformer"),
        ({"pos_ffn_activation_fn": ["relu"]}, "pos_ffn_activation_fn is ['relu'], which is not read"),
        ({"norm_eps": None}, "norm_eps must be a number above 0, up to 1, the checkpoint says None"),
        ({"norm_eps": 10**400}, "norm_eps must be a number above 0, up to 1"),
        ({"norm_eps": -1}, "norm_eps must be a number above 0, up to 1, the checkpoint says -1"),
        ({"layer_norm": "foo"}, "layer_norm is 'foo', which is not read"),
        ({"more": {"encoder.layer_norm.bias": torch.ones(())}}, "encoder.layer_norm.bias has the shape []"),
        ({"more": {f"encoder.{TABLE}": torch.ones(4)}}, f"encoder.{TABLE} has the shape [4], and must have 2 axes"),
        (
            {"more": {"decoder.transformer_layers.0.feed_forward.w_1.weight": torch.tensor(1.0)}},
            "w_1.weight has the shape []",
        ),
        ({"without": ["encoder.layer_norm.bias"]}, "encoder.layer_norm.bias is missing"),
        ({"more": {"decoder.gate": torch.ones(1)}}, "decoder.gate is not known to a model of these options"),
    ],
)
def test_what_is_not_read_is_refused_by_name(saved, changes, expected):
    """Options that compute something else, tensors that are missing or too many."""
    with pytest.raises(UnsupportedModel) as caught:
        read_opennmt(saved(**changes), "en", "pt")

    assert expected in " ".join(caught.value.reasons)


def test_an_embedding_that_is_missing_is_the_only_reason(saved):
    """Nothing is said of the widths that it would have had."""
    with pytest.raises(UnsupportedModel) as caught:
        read_opennmt(saved(without=[f"encoder.{TABLE}"]), "en", "pt")

    assert [*caught.value.reasons] == [f"encoder.{TABLE} is missing"]

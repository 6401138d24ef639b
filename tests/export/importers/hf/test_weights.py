"""Weights beside the configuration."""

import json

import pytest
from safetensors.torch import load_file, save_file

from dragoman.export.core.errors import UnsupportedModel
from dragoman.export.core.reasons import Reasons
from dragoman.export.importers.hf.importer import read_model


def change(folder, **options) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | options), encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"vocab_size": 29}, "shared.weight has the shape [28, 16], config.json calls for [29, 16]"),
        ({"d_model": 17}, "config.json calls for [28, 17]"),
        ({"num_heads": 3}, "SelfAttention.q.weight has the shape [12, 16], config.json calls for [18, 16]"),
        ({"d_ff": 21}, "DenseReluDense.wi.weight has the shape [20, 16], config.json calls for [21, 16]"),
        ({"num_layers": 2}, "8 tensors, such as encoder.block.1.layer.0.SelfAttention.q.weight, "),
        ({"num_decoder_layers": 2}, "such as decoder.block.1.layer.0.SelfAttention.q.weight, "),
        ({"feed_forward_proj": "gated-gelu"}, "not known to a t5 model of this configuration"),
        ({"relative_attention_num_buckets": 16}, "relative_attention_bias.weight has the shape [32, 2]"),
        ({"model_type": "bart"}, "encoder_layers must be a whole number"),
    ],
)
def test_a_configuration_that_contradicts_its_weights_is_refused(t5, options, reason):
    """Sizes, layers and kinds that the weights do not have are named with what the weights have."""
    change(t5, **options)
    reasons = Reasons()

    assert read_model(t5, reasons) is None

    with pytest.raises(UnsupportedModel) as refused:
        reasons.raise_if_any(t5)
    assert reason in str(refused.value)


def test_tensors_that_nobody_knows_are_named(t5):
    """A tensor that the architecture has no place for may mean another architecture."""
    tensors = load_file(t5 / "model.safetensors")
    save_file(tensors | {"encoder.adapter.weight": tensors["shared.weight"].clone()}, t5 / "model.safetensors")
    reasons = Reasons()

    assert read_model(t5, reasons) is None

    with pytest.raises(UnsupportedModel, match=r"encoder\.adapter\.weight is not known to a t5 model"):
        reasons.raise_if_any(t5)


def test_a_tensor_that_is_missing_is_named(t5):
    """By the name that it has in the file."""
    tensors = load_file(t5 / "model.safetensors")
    del tensors["decoder.block.0.layer.1.EncDecAttention.k.weight"]
    save_file(tensors, t5 / "model.safetensors")
    reasons = Reasons()

    assert read_model(t5, reasons) is None

    with pytest.raises(UnsupportedModel, match=r"EncDecAttention\.k\.weight is missing, which config\.json calls for"):
        reasons.raise_if_any(t5)

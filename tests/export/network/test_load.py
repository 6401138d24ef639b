"""Between the weights of a checkpoint and the parameters of a network."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from dragoman.bundle.manifest import Architecture, Decoding, LanguagePair, Limits, Nat, Tokenizer
from dragoman.export.core.checkpoint import Checkpoint
from dragoman.export.core.errors import ExportError
from dragoman.export.network.load import canonical_shapes, checkpoint_weights, load_network
from dragoman.export.network.nat import attach
from dragoman.export.network.recurrent import network_of

ARCH = Architecture(16, 4, 24, 1, 2, 40, 40)
NAT = {"ctc": Nat("ctc", 1, 64, canvas="late", upsample=2, blank_id=40, refines=True)}


def a_checkpoint(arch: Architecture = ARCH) -> Checkpoint:
    network = network_of(arch)
    attach(network, NAT)
    random = np.random.default_rng(2)
    weights = {name: random.normal(size=shape).astype(np.float32) for name, shape in canonical_shapes(network).items()}
    return Checkpoint(
        name="tiny",
        pairs=(LanguagePair("en", "pt"),),
        architecture=arch,
        weights=weights,
        quantized={},
        tokenizer=Tokenizer("sentencepiece", "v.spm", "v.spm", 0, 1, 40),
        tokenizer_files={},
        decoding=Decoding(),
        limits=Limits(64, 64),
        source_format="none",
        source_files=(),
        nat=NAT,
    )


@pytest.mark.parametrize(
    "arch",
    [
        ARCH,
        replace(ARCH, decoder="ssru"),
        replace(ARCH, decoder="linear-attention"),
        replace(ARCH, encoder_heads=2, tying="none"),
    ],
)
def test_weights_come_back_as_they_were(arch):
    """Joined matrices are taken apart again, and keys lose what was multiplied in."""
    checkpoint = a_checkpoint(arch)

    weights = checkpoint_weights(load_network(checkpoint))

    absent = {f"decoder.layers.{n}.rnn.input.bias" for n in range(arch.decoder_layers)}
    assert weights.keys() - absent == checkpoint.weights.keys() - absent
    for name in checkpoint.weights.keys() - absent:
        np.testing.assert_allclose(weights[name], checkpoint.weights[name], rtol=1e-6, err_msg=name)


def test_scores_are_divided_by_the_root_of_the_heads_width_once():
    """In the keys' matrix and bias, which is joined between queries and values."""
    checkpoint = a_checkpoint()

    network = load_network(checkpoint)

    joined = network.decoder.stack()[1].self.qkv.weight
    queries, keys, values = (checkpoint.weights[f"decoder.layers.1.self.{x}.weight"] for x in "qkv")
    expected = np.concatenate([queries, keys / 2, values], 1)  # heads are 4 wide
    np.testing.assert_allclose(joined.numpy(), expected, rtol=1e-6)


def test_a_weight_is_shared_with_the_checkpoint_where_nothing_is_changed():
    """A large embedding is not copied."""
    checkpoint = a_checkpoint()

    network = load_network(checkpoint)

    assert network.source_embedding.data_ptr() == torch.from_numpy(checkpoint.weights["source_embedding"]).data_ptr()


def test_everything_that_does_not_fit_is_told_at_once():
    """Missing, of another shape, and unknown."""
    checkpoint = a_checkpoint()
    del checkpoint.weights["encoder.layers.0.ffn.up.weight"]
    checkpoint.weights["output_bias"] = np.zeros(3, np.float32)
    checkpoint.weights["surplus"] = np.zeros(1, np.float32)

    with pytest.raises(ExportError) as error:
        load_network(checkpoint)

    for said in (
        "missing encoder.layers.0.ffn.up.weight [16, 24]",
        "output_bias is [3], not [40]",
        "unexpected surplus",
    ):
        assert said in str(error.value)

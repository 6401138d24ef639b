"""Weights as integers, before any graph."""

import numpy as np
import pytest

from dragoman.bundle.manifest import Architecture, Decoding, LanguagePair, Limits, Tokenizer
from dragoman.export.core.checkpoint import Checkpoint, Quantized
from dragoman.export.network.load import canonical_shapes, load_network
from dragoman.export.network.network import Network
from dragoman.export.passes.int8_weights import int8_weights, quantize_weight

ARCH = Architecture(8, 2, 12, 1, 1, 24, 24, decoder="ssru", output_bias=False)
OWN = "decoder.layers.0.ffn.up.weight"


def a_checkpoint() -> Checkpoint:
    """Random weights, one of which the source holds as integers, with calibrated scales of what meets it."""
    random = np.random.default_rng(3)
    weights = {
        name: random.normal(size=shape).astype(np.float32) for name, shape in canonical_shapes(Network(ARCH)).items()
    }
    quantized = {OWN: Quantized(random.integers(-127, 128, weights[OWN].shape).astype(np.int8), 0.25, 0.5)}
    weights[OWN] = quantized[OWN].values * np.float32(0.25)
    return Checkpoint(
        name="tiny",
        pairs=(LanguagePair("en", "pt"),),
        architecture=ARCH,
        weights=weights,
        quantized=quantized,
        tokenizer=Tokenizer("sentencepiece", "v.spm", "v.spm", 0, 1, 24),
        tokenizer_files={},
        decoding=Decoding(),
        limits=Limits(64, 64),
        source_format="none",
        source_files=(),
    )


def test_the_source_own_integers_are_taken_as_they_are():
    """A weight that the checkpoint holds as int8 keeps values and both scales; no other has a fixed one."""
    checkpoint = a_checkpoint()

    matrices, _ = int8_weights(checkpoint, load_network(checkpoint), {})

    assert np.array_equal(matrices[OWN].values, checkpoint.quantized[OWN].values)
    assert (matrices[OWN].scale.tolist(), matrices[OWN].activation_scale) == ([0.25], 0.5)
    assert {name for name, matrix in matrices.items() if matrix.activation_scale is not None} == {OWN}


def test_integers_stand_for_the_parameters_of_the_network():
    """Times their scales they are within half a step of every matrix and embedding, joined and scaled keys included."""
    checkpoint = a_checkpoint()
    network = load_network(checkpoint)

    matrices, embeddings = int8_weights(checkpoint, network, {})

    parameters = dict(network.named_parameters())
    assert set(embeddings) == {"source_embedding"}
    for name, weight in {**matrices, **embeddings}.items():
        scale = weight.scale if name in matrices else weight.scale[:, None]
        real = parameters[name].detach().numpy()
        assert (np.abs(weight.values * scale - real) <= np.broadcast_to(scale, real.shape) * 0.5001).all(), name


@pytest.mark.parametrize("scale", [None, 0.125])
def test_measured_scales_go_before_the_checkpoint_s(scale):
    """None is a measurement, too: rows need scales of their own."""
    checkpoint = a_checkpoint()

    matrices, _ = int8_weights(checkpoint, load_network(checkpoint), {OWN: scale})

    assert matrices[OWN].activation_scale == scale


def test_a_column_of_zeros_is_kept():
    """Quantising zeros gives zeros and a scale that is not zero."""
    zeros = quantize_weight(np.zeros((4, 3), np.float32), axis=0)

    assert not zeros.values.any()
    assert (zeros.scale > 0).all()

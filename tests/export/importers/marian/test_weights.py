"""Every parameter of a Marian model has its place."""

import numpy as np
import pytest

from dragoman.export.core.errors import UnsupportedModel
from dragoman.export.importers.marian.importer import read_marian
from dragoman.export.network.load import absent, canonical_weights
from dragoman.export.network.network import Network

WIDTH, INNER, WORDS = 8, 12, 24


def reasons_of(folder, source=None, target=None) -> tuple[str, ...]:
    with pytest.raises(UnsupportedModel) as error:
        read_marian(folder, source, target)
    return error.value.reasons


@pytest.mark.parametrize("form", ["bin", "npz"])
@pytest.mark.parametrize("tying", ["all", "decoder", "none"])
@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("decoder", ["ssru", "self-attention"])
def test_every_parameter_is_placed_once(marian, decoder, norm, tying, form):
    """In each kind of network the values that go in come out, and the network that they are for takes them all."""
    model = marian(decoder, norm, tying)

    checkpoint = read_marian(model.write(form), None, None)

    expected = {name: w.shape for name, w in canonical_weights(Network(checkpoint.architecture)).items()}
    for name in absent(checkpoint):
        expected.pop(name, None)
    assert {name: weight.shape for name, weight in checkpoint.weights.items()} == expected
    assert sorted(w.tobytes() for w in checkpoint.weights.values()) == sorted(
        p.tobytes() for p in model.parameters.values()
    )
    assert all(w.dtype == np.float32 and w.flags.c_contiguous for w in checkpoint.weights.values())
    assert (checkpoint.architecture.norm, checkpoint.architecture.tying) == (norm, tying)


@pytest.mark.parametrize(
    ("canonical", "theirs"),
    [
        ("source_embedding", "Wemb"),
        ("output_bias", "decoder_ff_logit_out_b"),
        ("encoder.layers.0.self.q.weight", "encoder_l1_self_Wq"),
        ("encoder.layers.0.self_norm.weight", "encoder_l1_self_Wo_ln_scale"),
        ("encoder.layers.0.ffn.up.weight", "encoder_l1_ffn_W1"),
        ("encoder.layers.0.ffn.down.bias", "encoder_l1_ffn_b2"),
        ("encoder.layers.0.ffn_norm.bias", "encoder_l1_ffn_ffn_ln_bias"),
        ("decoder.layers.1.rnn.input.weight", "decoder_l2_rnn_W"),
        ("decoder.layers.1.rnn.forget.weight", "decoder_l2_rnn_Wf"),
        ("decoder.layers.1.rnn.forget.bias", "decoder_l2_rnn_bf"),
        ("decoder.layers.1.self_norm.weight", "decoder_l2_rnn_ffn_ln_scale"),
        ("decoder.layers.1.cross.k.weight", "decoder_l2_context_Wk"),
        ("decoder.layers.1.cross_norm.bias", "decoder_l2_context_Wo_ln_bias"),
    ],
)
@pytest.mark.parametrize("form", ["bin", "npz"])
def test_a_parameter_goes_where_its_name_says(marian, canonical, theirs, form):
    """Values keep their order: a matrix is [in, out] on both sides."""
    model = marian()

    checkpoint = read_marian(model.write(form), None, None)

    np.testing.assert_array_equal(checkpoint.weights[canonical], np.squeeze(model.parameters[theirs]))


def test_int8_weights_are_kept_and_multiplied_out(marian):
    """Transposed storage is turned, embeddings are not, padding is ignored, alphas become scales of the input."""
    model = marian()
    model.parameters |= {
        "encoder_l1_ffn_W1_QuantMultA": np.full((1, 1), 20.0, np.float32),
        "none_QuantMultA": np.full((1, 1), 8.0, np.float32),
        "Wemb_QuantMultA": np.full((1, 1), 8.0, np.float32),
    }

    checkpoint = read_marian(model.write("int8"), None, None)

    for canonical, theirs in (("encoder.layers.0.ffn.up.weight", "encoder_l1_ffn_W1"), ("source_embedding", "Wemb")):
        original = model.parameters[theirs]
        quantized = checkpoint.quantized[canonical]
        assert quantized.values.shape == original.shape
        assert quantized.values.flags.c_contiguous
        np.testing.assert_allclose(quantized.values * quantized.scale, original, atol=np.abs(original).max() / 250)
        np.testing.assert_array_equal(checkpoint.weights[canonical], quantized.values * np.float32(quantized.scale))
    assert checkpoint.quantized["encoder.layers.0.ffn.up.weight"].activation_scale == pytest.approx(1 / 20)
    assert checkpoint.quantized["encoder.layers.0.ffn.down.weight"].activation_scale is None
    assert checkpoint.quantized["source_embedding"].activation_scale is None
    assert checkpoint.output_activation_scale == pytest.approx(1 / 8)
    assert len(checkpoint.quantized) == 1 + 6 + 2 * (2 + 4 + 2)


def test_an_older_output_matrix_is_turned(marian):
    """Untied models once held it as [d, V]."""
    model = marian(tying="none")
    matrix = model.parameters.pop("decoder_ff_logit_out_Wt")
    model.parameters["decoder_ff_logit_out_W"] = matrix.T.copy()

    checkpoint = read_marian(model.write(), None, None)

    np.testing.assert_array_equal(checkpoint.weights["output_embedding"], matrix)


def test_source_and_target_may_share_what_the_output_does_not(marian):
    """tied-embeddings-src alone: one table is read twice, the output layer is its own."""
    model = marian(tying="none")
    model.options["tied-embeddings-src"] = True
    model.parameters["Wemb"] = model.parameters.pop("encoder_Wemb")
    del model.parameters["decoder_Wemb"]

    weights = read_marian(model.write(), None, None).weights

    np.testing.assert_array_equal(weights["source_embedding"], model.parameters["Wemb"])
    np.testing.assert_array_equal(weights["target_embedding"], model.parameters["Wemb"])
    np.testing.assert_array_equal(weights["output_embedding"], model.parameters["decoder_ff_logit_out_Wt"])


def test_parameters_have_to_fit(marian):
    """Missing, misshapen and left over, all three told."""
    model = marian()
    del model.parameters["decoder_l2_rnn_bf"]
    model.parameters["encoder_l1_ffn_W1"] = np.zeros((INNER, WIDTH), np.float32)
    model.parameters["decoder_l1_rnn_b"] = np.zeros((1, WIDTH), np.float32)

    assert set(reasons_of(model.write())) == {
        "the parameter decoder_l2_rnn_bf [1, 8] is missing",
        "the parameter encoder_l1_ffn_W1 is [12, 8], expected [8, 12]",
        "the parameter decoder_l1_rnn_b has no place in this architecture",
    }

"""Marian's options as a checklist: each is translated, or has the one value that can be."""

import numpy as np
import pytest

from dragoman.bundle.manifest import Limits
from dragoman.export.core.errors import UnsupportedModel
from dragoman.export.importers.marian.importer import read_marian

WIDTH, INNER, WORDS = 8, 12, 24


def reasons_of(folder, source=None, target=None) -> tuple[str, ...]:
    with pytest.raises(UnsupportedModel) as error:
        read_marian(folder, source, target)
    return error.value.reasons


@pytest.mark.parametrize("option", ["transformer-train-positions", "transformer-train-position-embeddings"])
def test_learned_positions_are_read_and_embeddings_are_then_not_scaled(marian, option):
    """Marian multiplies by sqrt(d) only where it adds sines; the table also bounds the lengths."""
    model = marian()
    model.options[option] = True
    model.parameters["Wpos"] = np.ones((50, WIDTH), np.float32)

    checkpoint = read_marian(model.write(), None, None)

    assert (checkpoint.architecture.positions, checkpoint.architecture.embedding_scale) == ("learned", 1.0)
    assert checkpoint.architecture.max_positions == 50
    assert checkpoint.limits == Limits(50, 50)
    assert checkpoint.decoding.max_length == 50
    assert checkpoint.weights["source_positions"].shape == checkpoint.weights["target_positions"].shape == (50, WIDTH)


def test_a_norm_of_embeddings_and_no_output_bias(marian):
    """Two options that add and remove parameters."""
    model = marian()
    model.options |= {"transformer-postprocess-emb": "nd", "output-omit-bias": True}
    del model.parameters["decoder_ff_logit_out_b"]
    for side in ("encoder", "decoder"):
        for part in ("scale", "bias"):
            model.parameters[f"{side}_emb_ln_{part}_pre"] = np.ones((1, WIDTH), np.float32)

    checkpoint = read_marian(model.write(), None, None)

    assert (checkpoint.architecture.embedding_norm, checkpoint.architecture.output_bias) == (True, False)
    assert checkpoint.weights["decoder.embedding_norm.weight"].shape == (WIDTH,)


@pytest.mark.parametrize(("theirs", "ours"), [("relu", "relu"), ("swish", "swish"), ("gelu", "gelu-sigmoid")])
def test_activations_are_translated(marian, theirs, ours):
    """Marian's gelu is the sigmoid approximation, not the one others call gelu."""
    model = marian()
    model.options["transformer-ffn-activation"] = theirs

    assert read_marian(model.write(), None, None).architecture.activation == ours


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"type": "multi-s2s"}, "type must be transformer, s2s, amun or nematus, the model's is 'multi-s2s'"),
        ({"type": None}, "type must be transformer, s2s, amun or nematus, the model's is None"),
        ({"enc-depth": 0}, "enc-depth must be a whole number from 1 to 256, the model's is 0"),
        ({"dec-depth": 10**9}, "dec-depth must be a whole number from 1 to 256, the model's is 1000000000"),
        ({"dim-emb": True}, "dim-emb must be a whole number from 1 to 65536, the model's is True"),
        ({"transformer-heads": 3}, "transformer-heads must divide dim-emb"),
        ({"transformer-ffn-depth": 3}, "transformer-ffn-depth must be 2, the model's is 3"),
        (
            {"transformer-decoder-dim-ffn": 99},
            f"transformer-decoder-dim-ffn must equal transformer-dim-ffn ({INNER}), the model's is 99",
        ),
        ({"transformer-no-projection": True}, "transformer-no-projection must be False, the model's is True"),
        ({"transformer-rnn-projection": True}, "transformer-rnn-projection must be False, the model's is True"),
        ({"transformer-tied-layers": [1, 1]}, "transformer-tied-layers must be [], the model's is [1, 1]"),
        ({"lemma-dim-emb": 5}, "lemma-dim-emb must be 0, the model's is 5"),
        ({"right-left": True}, "right-left must be False, the model's is True"),
        ({"dec-cell": "gru"}, "dec-cell must be ssru where the decoder is recurrent, the model's is 'gru'"),
        (
            {"layer-normalization": True},
            "layer-normalization must be false for a recurrent decoder, the model's is true",
        ),
        (
            {"transformer-decoder-autoreg": "average-attention"},
            "transformer-decoder-autoreg must be self-attention or rnn, the model's is 'average-attention'",
        ),
        (
            {"transformer-ffn-activation": ["relu"]},
            "transformer-ffn-activation must be relu, swish, gelu, the model's is ['relu']",
        ),
        (
            {"transformer-postprocess": "dhn"},
            "transformer-preprocess, -postprocess and -postprocess-top must be '', 'dan', '' or 'n', 'da', 'n'; "
            "without dropout the model's are '', 'hn', ''",
        ),
        (
            {"transformer-postprocess-emb": "r"},
            "transformer-postprocess-emb must be 'd' or 'dn', without dropout the model's is 'r'",
        ),
        (
            {"dim-vocabs": [24, 24, 24]},
            "dim-vocabs must be two sizes, one source and one target, the model's is [24, 24, 24]",
        ),
        ({"dim-vocabs": [24, 10**12]}, "dim-vocabs must be at most 4194304, the model's is [24, 1000000000000]"),
    ],
)
def test_an_option_of_another_network_is_refused(marian, change, expected):
    """Each by name, with what it would have to be."""
    model = marian()
    model.options |= change

    assert reasons_of(model.write()) == (expected,)


def test_an_option_that_only_recurrent_cells_read_does_not_matter_elsewhere(marian):
    """Many Transformers were trained with layer-normalization on, to no effect."""
    model = marian("self-attention")
    model.options["layer-normalization"] = True

    assert read_marian(model.write(), None, None).architecture.decoder == "self-attention"


def test_a_configuration_that_explodes_is_refused_quickly(marian):
    """Aliases make YAML that is small as text and endless as a message."""
    model = marian()
    laughs = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    laughs += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
    folder = model.write("npz")
    text = "\n".join([*laughs, "type: *a29", "transformer-preprocess: *a29"])
    config = np.frombuffer(text.encode() + b"\0", np.int8)
    np.savez(folder / "model.ende.npz", **model.parameters, **{"special:model.yml": config})

    reasons = reasons_of(folder)

    assert all(len(reason) < 5000 for reason in reasons)


@pytest.mark.parametrize("text", ["[1, 2", "- a\n- b", "1: 2", "", "!!python/object/apply:os.getcwd []"])
def test_a_configuration_that_is_none_is_refused(marian, text):
    """Broken YAML, another document, or one that asks for code to be run."""
    model = marian()
    folder = model.write("npz")
    config = np.frombuffer(text.encode() + b"\0", np.int8)
    np.savez(folder / "model.ende.npz", **model.parameters, **{"special:model.yml": config})

    assert any(reason.startswith("the model's own configuration") for reason in reasons_of(folder))


@pytest.mark.parametrize(("layer", "head"), [(None, 0), ("last", 0), (2, 0), ("2", 0), (1, None)])
def test_alignments_are_those_of_the_head_that_marian_reads(marian, layer, head):
    """The first of the layer that guided training teaches, which is ours where it is the last."""
    model = marian()
    if layer is not None:
        model.options["transformer-guided-alignment-layer"] = layer

    assert read_marian(model.write(), None, None).architecture.alignment_head == head

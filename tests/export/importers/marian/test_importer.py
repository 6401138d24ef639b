"""From a Marian folder to a canonical checkpoint."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from dragoman.bundle.manifest import Architecture, Decoding, LanguagePair, Limits, Tokenizer
from dragoman.export.core.errors import UnsupportedModel
from dragoman.export.importers.marian.folder import recognises
from dragoman.export.importers.marian.importer import read_marian
from dragoman.export.network.load import absent, canonical_weights
from dragoman.export.network.network import Network

WIDTH, INNER, WORDS = 8, 12, 24


def reasons_of(folder, source=None, target=None) -> tuple[str, ...]:
    with pytest.raises(UnsupportedModel) as error:
        read_marian(folder, source, target)
    return error.value.reasons


def test_a_student_is_read_whole(marian):
    """Architecture, tokenizer, decoding, languages and limits of an SSRU student with settings."""
    model = marian()
    model.settings = {"beam-size": 1, "normalize": 1.0, "word-penalty": 0, "max-length-factor": 2.5}

    checkpoint = read_marian(model.write(), None, None)

    assert checkpoint.architecture == Architecture(
        d_model=WIDTH,
        heads=2,
        ffn=INNER,
        encoder_layers=1,
        decoder_layers=2,
        source_vocabulary=WORDS,
        target_vocabulary=WORDS,
        decoder="ssru",
        embedding_scale=WIDTH**0.5,
    )
    assert (checkpoint.pairs, checkpoint.name) == ((LanguagePair("en", "de"),), "en-de")
    assert checkpoint.decoding == Decoding(max_length=512, max_length_factor=2.5)
    assert checkpoint.tokenizer == Tokenizer("sentencepiece", "vocabulary.spm", "vocabulary.spm", 0, 1, WORDS)
    assert checkpoint.tokenizer_files == {"vocabulary.spm": model.folder / "vocab.ende.spm"}
    assert checkpoint.limits == Limits(512, 512)
    assert [file.name for file in checkpoint.source_files] == ["model.ende.bin", "config.yml", "vocab.ende.spm"]
    assert (checkpoint.source_format, checkpoint.licence, checkpoint.quantized) == ("marian-bin", "", {})


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


def test_two_vocabularies(marian, vocabulary):
    """Named by side, each is a file of its own in the bundle."""
    model = marian(tying="decoder")
    (model.folder / "vocab.ende.spm").unlink()
    for side in ("src", "trg"):
        (model.folder / f"{side}vocab.ende.spm").write_bytes(vocabulary)

    checkpoint = read_marian(model.write(), None, None)

    assert {name: file.name for name, file in checkpoint.tokenizer_files.items()} == {
        "source.spm": "srcvocab.ende.spm",
        "target.spm": "trgvocab.ende.spm",
    }


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"type": "s2s"}, "type must be transformer, the model's is 's2s'"),
        ({"type": None}, "type must be transformer, the model's is None"),
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


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"beam-size": 0}, "beam-size must be a whole number from 1 to 60, the settings say 0"),
        ({"beam-size": 61}, "beam-size must be a whole number from 1 to 60, the settings say 61"),
        ({"normalize": 10.5}, "normalize must be at most 10, the settings say 10.5"),
        ({"normalize": "yes"}, "normalize must be a number from 0, the settings say 'yes'"),
        ({"normalize": float("nan")}, "normalize must be a number from 0, the settings say nan"),
        ({"word-penalty": 0.5}, "word-penalty must be 0, the settings say 0.5: only normalize is decoded with"),
        ({"max-length-factor": 0}, "max-length-factor must be above 0 and at most 100, the settings say 0"),
        ({"max-length-factor": 101}, "max-length-factor must be above 0 and at most 100, the settings say 101"),
        ({"models": ["model.ende.bin", "b.bin"]}, "the settings name an ensemble; only one model is read"),
        ({"output-sampling": ["topk", 10]}, "output-sampling must be off, the settings say ['topk', 10]"),
        (
            {"vocabs": ["gone.spm", "gone.spm"]},
            "the vocabulary gone.spm that the decoding settings name is not in the folder",
        ),
        ({"vocabs": ["vocab.ende.spm"]}, "the decoding settings name 1 vocabularies, expected two"),
        (
            {"shortlist": ["lex.bin", False]},
            "the shortlist lex.bin that the decoding settings name is not in the folder",
        ),
    ],
)
def test_settings_that_cannot_be_followed_are_refused(marian, change, expected):
    """The model's decoding is imported as it is, or not at all."""
    model = marian()
    model.settings = {"beam-size": 4, **change}

    assert reasons_of(model.write()) == (expected,)


def test_settings_may_not_name_files_elsewhere(marian, tmp_path):
    """A checkpoint's own settings do not choose which files of this machine are read."""
    (tmp_path / "inner").mkdir()
    model = marian()
    model.folder = tmp_path / "inner"
    model.settings = {"vocabs": ["../vocab.ende.spm", str(tmp_path / "vocab.ende.spm")]}

    assert "the vocabulary vocab.ende.spm that the decoding settings name is not in the folder" in reasons_of(
        model.write()
    )


def test_without_settings_marians_own_hold_and_it_is_said(marian):
    """Beam 12 and no normalisation are rarely wanted, so the user is told."""
    checkpoint = read_marian(marian().write(), None, None)

    assert (checkpoint.decoding.beam_size, checkpoint.decoding.length_penalty) == (12, 0.0)
    assert any("Marian's own hold: beam 12" in note for note in checkpoint.notes)


def test_unknown_words_may_be_allowed(marian):
    """allow-unk lifts the suppression of the unknown word; a request may do the same."""
    plain, allowing = marian(), marian()
    allowing.settings = {"allow-unk": True}

    checkpoints = [read_marian(model.write(), None, None) for model in (plain, allowing)]
    assert [one.decoding.unknown_handling for one in checkpoints] == ["suppress", "allow"]
    assert [one.tokenizer.suppressed_ids for one in checkpoints] == [(), ()]


def test_a_vocabulary_has_to_fit_the_embedding(marian):
    """One word too many and every id after it would be another word."""
    model = marian(tying="decoder")
    model.options["dim-vocabs"] = [WORDS, WORDS + 1]
    for name, shape in (("decoder_Wemb", (WORDS + 1, WIDTH)), ("decoder_ff_logit_out_b", (1, WORDS + 1))):
        model.parameters[name] = np.ones(shape, np.float32)

    assert reasons_of(model.write()) == (f"vocab.ende.spm has {WORDS} pieces, the model's vocabulary is {WORDS + 1}",)


def test_a_vocabulary_without_segmentation_is_refused_with_the_way_out(marian):
    """YAML lists words only; a guess at how text is cut would translate something else."""
    model = marian()
    (model.folder / "vocab.ende.spm").rename(model.folder / "vocab.ende.yml")

    (reason,) = reasons_of(model.write())

    assert "vocab.ende.yml lists words" in reason
    assert "SentencePiece model (.spm)" in reason


@pytest.mark.parametrize("data", [b"", b"not a model", b"\0" * 64])
def test_a_vocabulary_that_is_none_is_refused(marian, data):
    """Whatever SentencePiece raises is one reason."""
    model = marian()
    (model.folder / "vocab.ende.spm").write_bytes(data)

    (reason,) = reasons_of(model.write())

    assert reason.startswith("vocab.ende.spm")


def test_everything_that_stands_against_a_model_is_told_at_once(marian):
    """Options, settings, languages and vocabulary in one refusal."""
    model = marian()
    model.options |= {"right-left": True, "transformer-pool": True}
    model.settings = {"word-penalty": 1, "vocabs": ["none.spm", "none.spm"]}

    reasons = reasons_of(model.write(), source="e!")

    assert [
        any(word in reason for reason in reasons) for word in ("right-left", "pool", "penalty", "none.spm", "--from")
    ]
    assert len(reasons) == 6  # the languages are also unclear


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


def test_recognises_a_folder_and_a_file(marian, tmp_path):
    """By name and first bytes; what is no model is left for other importers."""
    folder = marian().write()

    assert recognises(folder) == "Marian model model.ende.bin"
    assert recognises(folder / "model.ende.bin") == "Marian model model.ende.bin"
    assert recognises(folder / "vocab.ende.spm") is None
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "model.bin").write_bytes(b"\6\0\0\0something else")
    assert recognises(tmp_path / "other") is None
    assert recognises(tmp_path / "none") is None


def test_a_file_alone_is_read_with_its_neighbours(marian):
    """Naming the model's file is enough where several lie together."""
    model = marian()
    folder = model.write("bin")
    model.write("npz")

    assert read_marian(folder / "model.ende.npz", None, None).source_format == "marian-npz"
    assert reasons_of(folder)[0].startswith(
        "expected one Marian model (model*.bin or model*.npz), found model.ende.bin, model.ende.npz"
    )


def test_the_settings_choose_among_several_models(marian):
    """A folder with the trained and the quantised form is told apart by the settings that lie there."""
    model = marian()
    model.write("npz")
    model.settings = {"beam-size": 1}

    assert read_marian(model.write("bin"), None, None).source_format == "marian-bin"


def test_a_folder_without_a_model_is_refused(tmp_path):
    """Empty, or not there."""
    assert reasons_of(tmp_path)[0].startswith("expected one Marian model")
    assert reasons_of(tmp_path / "none") == ("there is no such file or folder",)


@pytest.mark.parametrize(
    ("name", "source", "target", "expected"),
    [
        ("vocab.spm", "en", "pt-BR", LanguagePair("en", "pt-BR")),
        ("vocab.enpt.spm", None, None, LanguagePair("en", "pt")),
        ("vocab.en-pt.spm", None, None, LanguagePair("en", "pt")),
        ("vocab.enpt.spm", "en", None, LanguagePair("en", "pt")),
    ],
)
def test_languages_come_from_arguments_or_names(marian, name, source, target, expected):
    """Arguments first; names where they are unmistakable."""
    model = marian()
    folder = model.write()
    (folder / "model.ende.bin").rename(folder / "model.tiny.best.bin")
    (folder / "vocab.ende.spm").rename(folder / name)

    assert read_marian(folder, source, target).pairs == (expected,)


@pytest.mark.parametrize(
    ("name", "source"),
    [("vocab.spm", None), ("vocab.tiny.spm", None), ("vocab.enpt.spm", "de"), ("vocab.enpt.ptde.spm", None)],
)
def test_languages_that_are_not_clear_are_asked_for(marian, name, source):
    """No pair, a word that looks like one, one that contradicts the argument, and two."""
    model = marian()
    folder = model.write()
    (folder / "model.ende.bin").rename(folder / "model.bin")
    (folder / "vocab.ende.spm").rename(folder / name)

    assert reasons_of(folder, source) == (
        "the languages are not clear from the names of the files; give both with --from and --to",
    )


def test_a_checkpoint_is_the_same_twice(marian):
    """Reading has no state."""
    folder = marian().write("int8")

    first, second = (dataclasses.replace(read_marian(folder, None, None), weights={}, quantized={}) for _ in range(2))

    assert first == second

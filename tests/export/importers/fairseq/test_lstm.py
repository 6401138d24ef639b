"""fairseq's `lstm` beside a model of torch's own cells with the same weights."""

import argparse

import numpy as np
import pytest
import torch

from dragoman.bundle.manifest import Decoding, LanguagePair, Limits, Tokenizer
from dragoman.export.core.checkpoint import Checkpoint
from dragoman.export.core.reasons import Reasons
from dragoman.export.importers.fairseq.lstm import is_lstm, read_lstm
from dragoman.export.importers.fairseq.pickle import Options, read_file
from dragoman.export.importers.formats import read
from dragoman.export.network.load import load_network

WORDS = 40


def state_of(reference) -> dict[str, torch.Tensor]:
    """Its weights under the names, and in the orientation, that fairseq gives them."""
    renamed = {
        "source_embedding": "encoder.embed_tokens.weight",
        "target_embedding": "decoder.embed_tokens.weight",
        "output_embedding": "decoder.fc_out.weight",
        "output_bias": "decoder.fc_out.bias",
        "decoder.attention.key.weight": "decoder.attention.input_proj.weight",
        "decoder.attention.out.weight": "decoder.attention.output_proj.weight",
    }
    prefixes = {
        "encoder.rnn.": "encoder.lstm.",
        "decoder.bridge.hidden.": "decoder.encoder_hidden_proj.",
        "decoder.bridge.cell.": "decoder.encoder_cell_proj.",
        "decoder.out.": "decoder.additional_fc.",
    }
    found = {}
    for name, weight in reference.weights().items():
        new = renamed.get(name, name)
        for old, prefix in prefixes.items():
            new = new.replace(old, prefix)
        # fairseq multiplies the hidden state by it, the reference the source's words.
        found[new] = weight.detach().T if name == "decoder.attention.key.weight" else weight.detach()
    found.pop("decoder.attention.out.bias", None)
    return found


def options_of(reference, **changes) -> argparse.Namespace:
    sizes, own = reference.architecture["recurrent"], reference.architecture
    return argparse.Namespace(
        **{
            "arch": "lstm_wiseman_iwslt_de_en",
            "task": "translation",
            "encoder_embed_dim": sizes["source_width"],
            "decoder_embed_dim": sizes["target_width"],
            "decoder_out_embed_dim": own["d_model"],
            "encoder_hidden_size": sizes["encoder_hidden"],
            "decoder_hidden_size": sizes["decoder_hidden"],
            "encoder_layers": own["encoder_layers"],
            "decoder_layers": own["decoder_layers"],
            "encoder_bidirectional": sizes["bidirectional"],
            "decoder_attention": "1",
            **changes,
        }
    )


def imported(tmp_path, state, options, reasons):
    torch.save({"model": state, "args": options}, tmp_path / "model.pt")
    file = read_file(tmp_path / "model.pt", reasons)
    assert file is not None
    assert is_lstm(file.options)
    return read_lstm(file, WORDS, WORDS, reasons)


def network_of(found):
    arch, weights = found
    words = Tokenizer("sentencepiece", "a", "a", 2, 3, 2)
    pairs, limits = (LanguagePair("en", "pt"),), Limits(9, 9)
    return load_network(Checkpoint("a", pairs, arch, weights, {}, words, {}, Decoding(), limits, "fairseq", ()))


SHAPES = {
    "two ways": {},
    "one way, as wide as its output": {"bidirectional": False, "bridge": False, "out": 10, "layers": 1},
}


@pytest.mark.parametrize("attention", ["general", "none"])
@pytest.mark.parametrize("shape", SHAPES)
def test_steps_are_those_of_the_same_weights_in_torchs_own_cells(tmp_path, recurrent_reference, shape, attention):
    """Logits and attention of each step are within 1e-4, with and without projections of states and output; and without
    attention, where the hidden state is what is fed.
    """
    reference = recurrent_reference("lstm", attention, **SHAPES[shape])
    if reference.combine is not None:
        torch.nn.init.zeros_(reference.combine.bias)  # fairseq's has none
    options = options_of(reference, decoder_attention="0" if attention == "none" else "1")

    network = network_of(imported(tmp_path, state_of(reference), options, Reasons()))

    reference.assert_same_steps(network)


@pytest.mark.parametrize("flag", ["share_all_embeddings", "share_decoder_input_output_embed"])
def test_shared_embeddings_are_the_output_layer(tmp_path, recurrent_reference, flag):
    """What is shared is stored once, and the output has no bias then."""
    reference = recurrent_reference("lstm", "general", out=5)
    state = state_of(reference)
    del state["decoder.fc_out.weight"], state["decoder.fc_out.bias"]
    widths = {}
    if flag == "share_all_embeddings":
        state["encoder.embed_tokens.weight"] = state["decoder.embed_tokens.weight"]
        state["encoder.lstm.weight_ih_l0"] = state["encoder.lstm.weight_ih_l0"][:, :5]
        state["encoder.lstm.weight_ih_l0_reverse"] = state["encoder.lstm.weight_ih_l0_reverse"][:, :5]
        widths = {"encoder_embed_dim": 5}

    found = imported(tmp_path, state, options_of(reference, **{flag: True}, **widths), Reasons())

    words = network_of(found).output_words.numpy()
    np.testing.assert_array_equal(words, state["decoder.embed_tokens.weight"].numpy())
    assert "output_bias" not in found[1]


def test_what_is_not_read_is_refused_with_all_reasons(tmp_path, recurrent_reference):
    """An adaptive softmax, layers that do not match and tensors without a place, all at once."""
    reference = recurrent_reference("lstm", "general")
    state = {**state_of(reference), "decoder.adaptive_softmax.head": torch.ones(2), "decoder.else": torch.ones(1)}
    reasons = Reasons()

    found = imported(tmp_path, state, options_of(reference, encoder_layers=3), reasons)

    said = " ".join(reasons._unmet)
    assert found is None
    for part in ("adaptive softmax", "encoder_layers: 3", "decoder.else"):
        assert part in said


def test_a_folder_is_imported_with_its_dictionaries(recurrent_reference, fairseq):
    """What fairseq's Transformers have beside them, an LSTM has too: words, subwords, languages and defaults."""
    reference = recurrent_reference("lstm", "general")
    path, state = fairseq().write(), state_of(reference)
    for name, rows in {"encoder.embed_tokens.weight": 31, "decoder.embed_tokens.weight": 37}.items():
        state[name] = state[name][:rows]
    state |= {name: state[name][:37] for name in ("decoder.fc_out.weight", "decoder.fc_out.bias")}
    torch.save({"model": state, "args": options_of(reference, source_lang="de", target_lang="en")}, path)

    found = read(path, "auto", None, None)

    load_network(found)
    assert (found.source_format, str(found.pairs[0])) == ("fairseq-lstm_wiseman_iwslt_de_en", "de-en")
    assert (found.decoding.profile, found.limits.max_source_tokens) == ("fairseq", 1024)


@pytest.mark.parametrize(("arch", "is_one"), [("lstm", True), ("lstm_luong_wmt_en_de", True), ("lstm_lm", False)])
def test_it_is_known_by_its_name(arch, is_one):
    """A language model of LSTMs has no encoder and is another architecture."""
    assert is_lstm(Options({"arch": arch}, Reasons())) is is_one

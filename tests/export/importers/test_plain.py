"""Plain folders: recurrent models beside torch's own cells, Transformers beside plain formulas, and what is refused."""

from __future__ import annotations

import json

import pytest
from safetensors.torch import save_file

from dragoman.bundle import codec
from dragoman.export.command import read
from dragoman.export.errors import ExportError, UnsupportedModel
from dragoman.export.load import load_network

TOKENIZER = {"kind": "sentencepiece", "source": "a.spm", "target": "a.spm", "eos_id": 0, "unk_id": 1, "start_id": 2}


def write(folder, architecture, weights, **others):
    """A plain folder; matrices are [out, in]."""
    document = {"architecture": architecture, "tokenizer": TOKENIZER, "pairs": [{"source": "en", "target": "pt"}]}
    (folder / "dragoman.json").write_text(json.dumps({**document, **others}))
    (folder / "a.spm").write_bytes(b"these tests speak in ids")
    save_file({name: weight.detach().contiguous() for name, weight in weights.items()}, folder / "model.safetensors")
    return folder


SHAPES = {
    "two ways": {},
    "one way, no bridge, nothing fed": {"bidirectional": False, "bridge": False, "feeding": False, "layers": 1},
    "hidden as wide as the output, three layers": {"bridge": False, "out": 10, "layers": 3},
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("attention", ["dot", "general", "additive"])
@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_recurrent_steps_are_those_of_torchs_own_cells(tmp_path, recurrent_reference, kind, attention, shape):
    """Each step, of a padded batch, is within 1e-4 of nn.LSTM or nn.GRU with plain attention."""
    reference = recurrent_reference(kind, attention, **SHAPES[shape])

    network = load_network(read(write(tmp_path, reference.architecture, reference.weights()), "auto", None, None))

    reference.assert_same_steps(network)


def test_a_description_is_refused_with_all_that_is_wrong(tmp_path, recurrent_reference):
    """Impossible sizes, a file elsewhere, a missing pair and an unknown key are told at once."""
    reference = recurrent_reference("gru", "dot")
    sizes = {**reference.architecture["recurrent"], "bridge": False, "attention": "general", "decoder_hidden": 11}
    wrong = {**reference.architecture, "recurrent": sizes, "encoder_layers": 3}
    folder = write(tmp_path, wrong, reference.weights(), pairs=[], tokenizer={**TOKENIZER, "source": "../b.spm"})

    with pytest.raises(UnsupportedModel) as caught:
        read(folder, "plain", None, None)

    said = " ".join(caught.value.reasons)
    for part in ("bridge: false", "encoder_layers: 3", "'../b.spm'", "names no pairs"):
        assert part in said
    write(tmp_path, {**wrong, "depth": 3}, reference.weights())
    with pytest.raises(UnsupportedModel, match=r"architecture.depth"):
        read(folder, "plain", None, None)


def test_weights_that_do_not_fit_are_named(tmp_path, recurrent_reference):
    """What is missing, too much, or of another shape is said by its canonical name."""
    reference = recurrent_reference("lstm", "general")
    weights = reference.weights()
    weights["decoder.layer.0.weight_ih"] = weights.pop("decoder.layers.0.weight_ih")
    weights["decoder.out.weight"] = weights["decoder.out.weight"].T
    folder = write(tmp_path, reference.architecture, weights)

    with pytest.raises(ExportError) as caught:
        load_network(read(folder, "auto", None, None))

    for part in ("missing decoder.layers.0.input.weight", "unexpected decoder.layer.0", "decoder.out.weight is [9, 8]"):
        assert part in str(caught.value)


def test_what_is_left_out_has_the_manifests_default(tmp_path, recurrent_reference):
    """A description says what differs; languages and names follow."""
    reference = recurrent_reference("gru", "general")
    given = {
        "decoding": {"beam_size": 3, "num_hypotheses": 2},
        "limits": {"max_source_tokens": 9, "max_target_tokens": 8},
    }
    folder = write(tmp_path, reference.architecture, reference.weights(), **given, licence="MIT")

    found = read(folder / "dragoman.json", "auto", "de", "fr")

    assert (found.name, str(found.pairs[0]), found.licence) == ("de-fr", "de-fr", "MIT")
    assert (found.decoding.beam_size, found.decoding.max_length) == (3, 512)
    assert (found.limits.max_source_tokens, found.architecture.max_positions) == (9, 1024)
    assert codec.to_json(found.tokenizer) == codec.to_json(read(folder, "plain", None, None).tokenizer)

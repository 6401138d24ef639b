"""Names that several formats share."""

import re

import pytest

from dragoman.export.importers.files.name_tables import TRANSFORMER, canonical_cell


@pytest.mark.parametrize(
    ("canonical", "theirs"),
    [
        ("encoder.layers.3.self.q.weight", "encoder.layers.3.self_attn.q_proj.weight"),
        ("decoder.layers.0.cross.o.bias", "decoder.layers.0.encoder_attn.out_proj.bias"),
        ("decoder.layers.0.cross_norm.weight", "decoder.layers.0.encoder_attn_layer_norm.weight"),
        ("encoder.layers.1.ffn_norm.bias", "encoder.layers.1.final_layer_norm.bias"),
        ("encoder.layers.1.ffn.down.weight", "encoder.layers.1.fc2.weight"),
        ("decoder.norm.weight", "decoder.layer_norm.weight"),
        ("encoder.embedding_norm.bias", "encoder.layernorm_embedding.bias"),
    ],
)
def test_a_canonical_name_becomes_fairseqs(canonical, theirs):
    """By rules that are applied one after the other."""
    for pattern, text in TRANSFORMER:
        canonical = re.sub(pattern, text, canonical)

    assert canonical == theirs


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("decoder.layers.0.weight_ih", "decoder.layers.0.input.weight"),
        ("decoder.layers.11.bias_hh", "decoder.layers.11.state.bias"),
        ("encoder.rnn.weight_ih_l0", None),
        ("decoder.layers.0.weight_ih.more", None),
    ],
)
def test_a_cell_of_torch_has_a_canonical_name(name, canonical):
    """Of a decoder; nothing else has."""
    assert canonical_cell(name) == canonical

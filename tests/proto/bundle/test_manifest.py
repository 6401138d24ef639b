"""What follows from the fields of a manifest."""

from dataclasses import replace

import pytest

from dragoman.bundle.manifest import (
    Architecture,
    Decoding,
    Graph,
    LanguagePair,
    Limits,
    Manifest,
    Nat,
    Provenance,
    Recurrent,
    Tokenizer,
)

ARCH = Architecture(512, 8, 2048, 6, 2, 32_000, 32_000)


@pytest.mark.parametrize(
    ("changes", "decoder", "encoder"),
    [
        ({}, 64, 64),
        ({"head_width": 32}, 32, 32),
        ({"encoder_width": 256}, 64, 32),
        ({"encoder_heads": 4}, 64, 128),
        ({"encoder_width": 256, "encoder_heads": 2}, 64, 128),
    ],
)
def test_heads_share_the_width_of_their_side(changes, decoder, encoder):
    """Unless theirs is stated."""
    arch = replace(ARCH, **changes)

    assert (arch.head_dim, arch.encoder_head_dim) == (decoder, encoder)
    assert arch.of_encoder.head_dim == encoder


def test_the_encoder_has_the_decoders_sizes_where_it_has_none_of_its_own():
    """Width, heads, feed-forward and the place of its norms."""
    sizes = {"encoder_width": 256, "encoder_heads": 4, "encoder_ffn": 1024, "encoder_norm": "pre"}

    encoder = replace(ARCH, **sizes).of_encoder

    assert (encoder.d_model, encoder.heads, encoder.ffn, encoder.norm) == (256, 4, 1024, "pre")
    assert ARCH.of_encoder == ARCH


def test_a_recurrent_encoder_joins_its_directions():
    """Keys are as wide as hidden states where nothing else is said."""
    sizes = Recurrent(10, 11, 12, 13)

    assert (sizes.memory_width, replace(sizes, bidirectional=False).memory_width) == (24, 12)
    assert (sizes.key_width, replace(sizes, attention_width=7).key_width) == (13, 7)


def test_a_tokenizer_says_which_languages_it_needs():
    """Those that stand before or behind a text, or that a translation begins with."""
    words = Tokenizer("sentencepiece", "v.spm", "v.spm", 0, 1, 2, prefix=("source", 4), forced_first="target")

    assert words.slots == {"source", "target"}
    assert replace(words, prefix=(4,), forced_first=5).slots == frozenset()
    assert str(LanguagePair("en", "pt-BR")) == "en-pt-BR"


def test_a_bundle_of_several_decoders_is_seen_as_each_of_them_alone():
    """With its own architecture and graphs; what does without autoregression belongs to the architecture's own."""
    graphs = {
        name: Graph(f"{name}.onnx", (), ()) for name in ("encoder", "step", "nat.ctc", "ssru.encoder", "ssru.step")
    }
    sibling, nat = replace(ARCH, decoder="ssru"), {"ctc": Nat("ctc", 1, 64, blank_id=9)}
    words = Tokenizer("sentencepiece", "v.spm", "v.spm", 0, 1, 2)
    rest = (Limits(9, 9), "int8", Provenance("test", {}, "0"))
    alone = Manifest("m", (), ARCH, Decoding(), words, graphs, *rest, nat=nat)
    whole = replace(alone, siblings={"ssru": sibling}, searcher="ssru")

    own, other = whole.of(None), whole.of("ssru")

    assert (alone.of(None), alone.decoders) == (alone, ["self-attention"])
    assert (whole.decoders, replace(whole, searcher=None).decoders) == (
        ["ssru", "self-attention"],
        ["self-attention", "ssru"],
    )
    assert (own.architecture, list(own.graphs), own.nat, own.decoders) == (
        ARCH,
        ["encoder", "step", "nat.ctc"],
        nat,
        ["self-attention"],
    )
    assert (other.architecture, other.nat, other.decoders) == (sibling, {}, ["ssru"])
    assert {name: graph.file for name, graph in other.graphs.items()} == {
        "encoder": "ssru.encoder.onnx",
        "step": "ssru.step.onnx",
    }

"""New decoders, and how they come back as a checkpoint."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from dragoman.bundle.manifest import Decoding, LanguagePair, Limits, Nat, Texts, Tokenizer
from dragoman.export.core.checkpoint import Checkpoint, Quantized
from dragoman.export.distill.students import student_checkpoint, with_autoregressive, with_nat
from dragoman.export.network.load import checkpoint_weights, load_network
from dragoman.export.network.nat import decoder_of

VOCABULARY, EOS, START = 40, 0, 40


CTC = Nat("ctc", layers=3, max_canvas=128, canvas="split", upsample=2, blank_id=VOCABULARY)


FILL = Nat("mask-predict", layers=1, max_canvas=64, mask_id=VOCABULARY, last_id=EOS, length_classes=16, block=3)


@pytest.mark.parametrize("changes", [{}, {"norm": "pre", "embedding_norm": True}, {"positions": "learned"}])
def test_a_decoder_begins_from_the_teachers(a_network, changes):
    """Cross-attention and feed-forward are copied, in order; self-attention is new, and says nothing yet."""
    teacher = a_network(**changes)

    network = with_autoregressive(teacher, 4, seed=1)

    for made, given in zip(network.decoder.stack(), [0, 0, 1, 1], strict=True):
        source = teacher.decoder.stack()[given]
        assert torch.equal(made.cross.kv.weight, source.cross.kv.weight)
        assert torch.equal(made.ffn.up.weight, source.ffn.up.weight)
        assert not made.self.o.weight.any()
        assert made.self.qkv.weight.any()
    assert torch.equal(network.source_embedding, teacher.source_embedding)
    assert network.arch.decoder_layers == 4


@pytest.mark.parametrize(("head", "guided"), [(None, 0), (2, 2)])
def test_a_guided_decoder_says_what_aligns_by_one_head(a_network, head, guided):
    """The teacher's, whose weights it has, or the first; else by all of them."""
    teacher = a_network(alignment_head=head)

    assert with_autoregressive(teacher, 2, seed=1, is_guided=True).arch.alignment_head == guided
    assert with_autoregressive(teacher, 2, seed=1).arch.alignment_head is None


def test_a_decoder_beside_begins_from_the_networks_own(a_network):
    """Self-attention too, where there is some; each part of a split row begins as the row."""
    network = with_autoregressive(a_network(), 2, seed=1)

    with_nat(network, CTC, seed=1)

    decoder = decoder_of(network, "ctc")
    for made, given in zip(decoder.stack(), [0, 0, 1], strict=True):
        assert torch.equal(made.self.qkv.weight, network.decoder.stack()[given].self.qkv.weight)
    row = torch.randn(1, 16)
    torch.testing.assert_close(decoder.split(row), torch.cat([row, row], 1))
    assert all(parameter.isfinite().all() for parameter in decoder.parameters())


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_a_decoder_on_a_late_canvas_begins_as_the_sources_rows(a_network, norm):
    """Each part is the row, normed, whatever words are shown; all of it can learn from there."""
    network = with_autoregressive(a_network(norm=norm), 2, seed=1)
    with_nat(network, replace(CTC, canvas="late", refines=True), seed=1)
    decoder = decoder_of(network, "ctc")
    hidden, places = torch.randn(3, 16), torch.arange(3).unsqueeze(0)
    shown = torch.tensor([[5, 6, 7, 8, 9, 10]])

    rows = decoder.read(network, hidden, places, torch.zeros(1, 1, 1, 3), shown)

    last = () if decoder.norm is None else decoder.norm.parameters()
    normed = torch.nn.functional.layer_norm(hidden, [16], *last, eps=network.arch.norm_epsilon)
    torch.testing.assert_close(rows, normed.repeat_interleave(2, 0), atol=1e-4, rtol=1e-4)
    decoder.requires_grad_(True)
    rows = decoder.read(network, hidden, places, torch.zeros(1, 1, 1, 3), shown)
    (rows * torch.randn_like(rows)).sum().backward()
    assert all(decoder.get_parameter(name).grad.any() for name in ("said.weight", "layers.0.self.o.weight"))


@pytest.fixture
def student(a_network):
    network = with_autoregressive(a_network(), 2, seed=1)
    with_nat(network, CTC, seed=1)
    with_nat(network, FILL, seed=1)
    for parameter in [*network.decoder.parameters(), *network.nat.parameters()]:
        parameter.add_(torch.randn_like(parameter) * 0.2)
    return network


def a_checkpoint(network) -> Checkpoint:
    weights = checkpoint_weights(network)
    values = np.zeros((VOCABULARY, 16), np.int8)
    return Checkpoint(
        name="t",
        pairs=(LanguagePair("en", "pt"),),
        architecture=network.arch,
        weights=weights,
        quantized={
            "source_embedding": Quantized(values, 1.0, None),
            "encoder.layers.0.ffn.up.weight": Quantized(np.zeros((16, 24), np.int8), 1.0, 2.0),
            "decoder.layers.0.ffn.up.weight": Quantized(np.zeros((16, 24), np.int8), 1.0, 2.0),
        },
        tokenizer=Tokenizer("sentencepiece", "a", "a", EOS, 1, START),
        tokenizer_files={},
        decoding=Decoding(),
        limits=Limits(64, 64),
        source_format="marian",
        source_files=(),
        licence="MPL-2.0",
        output_activation_scale=8.0,
    )


def test_a_student_comes_back_from_its_checkpoint(a_network, student):
    """Every weight; of the teacher's integers those of what was not trained; the licence."""
    teacher = replace(a_checkpoint(a_network()), texts=Texts("lines"))

    made = student_checkpoint(teacher, student, {"distill.text": "60 pairs"})

    assert made.licence == "MPL-2.0"
    assert made.history == {"distill.text": "60 pairs"}
    assert set(made.quantized) == {"source_embedding", "encoder.layers.0.ffn.up.weight"}
    assert made.output_activation_scale is None
    assert made.texts == Texts("lines")
    loaded = load_network(made).state_dict()
    for name, value in student.state_dict().items():
        torch.testing.assert_close(loaded[name], value, rtol=1e-6, atol=1e-7, msg=name)

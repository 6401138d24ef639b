"""Parts of a layer, against plain formulas."""

from dataclasses import replace

import pytest
import torch

from dragoman.bundle.manifest import Architecture
from dragoman.export.network.layers import Attention, Embedding, FeedForward, Ssru, Sublayer, final_norm, make_norm

ARCH = Architecture(8, 2, 12, 1, 1, 20, 20)


def filled(module: torch.nn.Module) -> torch.nn.Module:
    torch.manual_seed(6)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    return module.requires_grad_(False)


@pytest.mark.parametrize("kind", ["layer", "rms", "affine"])
def test_a_norm_is_of_the_architectures_kind(kind):
    """RMS takes no mean away, an affine divides by nothing."""
    norm, x = filled(make_norm(replace(ARCH, norm_kind=kind))), torch.randn(3, 8)

    centred = x - x.mean(-1, keepdim=True) if kind == "layer" else x
    scaled = x if kind == "affine" else centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt()
    expected = scaled * norm.weight + (0 if kind == "rms" else norm.bias)
    torch.testing.assert_close(norm(x), expected)


@pytest.mark.parametrize("placement", ["pre", "post"])
def test_a_sublayer_adds_and_normalises_in_order(placement):
    """Before the part, or after the sum; only pre-norm needs one behind the last layer."""
    arch = replace(ARCH, norm=placement)
    norm, x, y = filled(make_norm(arch)), torch.randn(3, 8), torch.randn(3, 8)
    part = Sublayer(arch, norm)

    assert torch.equal(part.before(x), norm(x) if placement == "pre" else x)
    assert torch.equal(part.after(x, y), x + y if placement == "pre" else norm(x + y))
    assert (final_norm(arch, wanted=True) is None) == (placement == "post")
    assert final_norm(arch, wanted=False) is None


def test_a_gate_multiplies_the_product():
    """Its own matrix is the one that is activated."""
    ffn, x = filled(FeedForward(replace(ARCH, gated=True), 12)), torch.randn(3, 8)

    torch.testing.assert_close(ffn(x), ffn.down(torch.relu(ffn.gate(x)) * ffn.up(x)))


def test_one_product_makes_queries_keys_and_values():
    """Split into heads, each of them is what its third of the matrix makes."""
    attention, x = filled(Attention(ARCH, 2, 4, is_self=True)), torch.randn(6, 8)

    parts = attention.split(attention.qkv(x), 2, 3)

    for n, part in enumerate(parts):
        weight, bias = attention.qkv.weight[:, 8 * n : 8 * n + 8], attention.qkv.bias[8 * n : 8 * n + 8]
        torch.testing.assert_close(part, (x @ weight + bias).reshape(2, 3, 2, 4).transpose(1, 2))


def test_a_recurrent_unit_forgets_and_adds():
    """c = f * c_parent + (1 - f) * W x."""
    unit, x, state = filled(Ssru(8)), torch.randn(3, 8), torch.randn(3, 8)

    candidate, gate = unit.both(x).split(8, 1)
    f = torch.sigmoid(gate)

    torch.testing.assert_close(unit(x, state), f * state + (1 - f) * candidate)


def test_an_id_outside_the_vocabulary_reads_as_zeros():
    """Where a decoder may start with one; positions are added all the same."""
    words, positions = torch.nn.Parameter(torch.randn(20, 8)), torch.randn(4, 8)
    embed = Embedding(replace(ARCH, embedding_scale=3.0), words, positions, None)

    x = embed(torch.tensor([[20, 5]]), torch.tensor([[0, 1]]), may_start=True)

    torch.testing.assert_close(x[0, 0], positions[0])
    torch.testing.assert_close(x[0, 1], 3 * words[5] + positions[1])

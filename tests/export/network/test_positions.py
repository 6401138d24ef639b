"""Sinusoids against their formulas, and T5's buckets against T5's own."""

import itertools
import math

import numpy as np
import pytest
import torch
from transformers import T5GemmaModuleConfig
from transformers.models.t5.modeling_t5 import T5Attention
from transformers.models.t5gemma.modeling_t5gemma import T5GemmaRotaryEmbedding, apply_rotary_pos_emb

from dragoman.bundle.manifest import Architecture
from dragoman.export.network.positions import RelativeBias, Turning, bucket, near_masks, sinusoid, turned


@pytest.mark.parametrize("minus_one", [True, False])
@pytest.mark.parametrize("offset", [0, 2])
def test_sinusoids_follow_their_formula(minus_one, offset):
    """sin in the first half of the columns, cos in the second, frequencies 10000 ** (-i / divisor)."""
    table = sinusoid(9, 8, divisor_minus_one=minus_one, offset=offset)

    for row, i in itertools.product(range(9), range(4)):
        angle = (row + offset) * 10000 ** (-i / (3 if minus_one else 4))
        assert table[row, i] == pytest.approx(math.sin(angle), abs=1e-6)
        assert table[row, 4 + i] == pytest.approx(math.cos(angle), abs=1e-6)


def test_an_odd_width_ends_in_a_zero_column():
    """fairseq leaves the last column of an odd table empty."""
    assert not np.any(sinusoid(5, 7, divisor_minus_one=True)[:, 6].numpy())


def test_an_odd_width_has_one_more_sine():
    """The other form has a sine more than cosines, all of them of the odd width's frequencies."""
    table = sinusoid(5, 7, divisor_minus_one=False)

    for row, i in itertools.product(range(5), range(4)):
        assert table[row, i] == pytest.approx(math.sin(row * 10000 ** (-2 * i / 7)), abs=1e-6)
    assert table[3, 4] == pytest.approx(math.cos(3.0), abs=1e-6)


@pytest.mark.parametrize(
    ("buckets", "farthest"), [(32, 128), (32, 20), (32, 1000), (7, 9), (4, 3), (64, 256), (16, 300)]
)
@pytest.mark.parametrize("two_sided", [True, False])
def test_buckets_are_those_of_t5(buckets, farthest, two_sided):
    """Every distance from -2000 to 2000 has T5's bucket, also where a rounding error would give its neighbour."""
    distance = torch.arange(-2000, 2001)

    found = bucket(distance, buckets, farthest, two_sided=two_sided)

    expected = T5Attention._relative_position_bucket(distance, two_sided, buckets, farthest)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("two_sided", [True, False])
def test_biases_are_the_buckets_of_all_distances(two_sided):
    """Queries and keys at any places of their own: each pair has its bucket's bias, far beyond the farthest too."""
    arch = Architecture(8, 3, 8, 1, 1, 9, 9, positions="relative", relative_buckets=8, relative_distance=12)
    bias = RelativeBias(arch, 3, two_sided=two_sided)
    torch.nn.init.normal_(bias.table)
    queries, keys = torch.randint(0, 60, (2, 4)), torch.randint(0, 60, (2, 30))

    found = bias(queries, keys)

    distance = keys[:, None, :] - queries[:, :, None]
    expected = bias.table[bucket(distance, 8, 12, two_sided=two_sided)].permute(0, 3, 1, 2)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("layers", [None, 3])
def test_masks_of_layers_hold_the_biases_of_each(layers):
    """One table for all layers, as many times as there are layers, or a table for each."""
    arch = Architecture(8, 3, 8, 1, 1, 9, 9, positions="relative", relative_buckets=8, relative_distance=12)
    bias = RelativeBias(arch, 3, two_sided=True, layers=layers)
    for parameter in bias.parameters():
        torch.nn.init.normal_(parameter)
    queries, keys, mask = torch.randint(0, 60, (2, 4)), torch.randint(0, 60, (2, 9)), torch.randn(2, 1, 4, 9)
    number = bucket(keys[:, None, :] - queries[:, :, None], 8, 12, two_sided=True)

    found = list(itertools.islice(bias.masks(mask, queries, keys), 3))

    tables = [bias.table] * 3 if layers is None else list(bias.tables)
    for each, table in zip(found, tables, strict=True):
        assert torch.equal(each, mask + table[number].permute(0, 3, 1, 2))
    assert layers is None or not torch.equal(found[0], found[1])


def test_queries_and_keys_turn_as_gemmas_do():
    """At any positions of their own, and no farther than the last where padding goes beyond it."""
    config = T5GemmaModuleConfig(head_dim=6, max_position_embeddings=40, rope_parameters={"rope_theta": 50.0})
    config.rope_parameters["rope_type"] = "default"
    x, depth = torch.randn(2, 3, 5, 6), torch.randint(0, 40, (2, 5))
    cosines, sines = T5GemmaRotaryEmbedding(config)(x, depth)
    expected, _ = apply_rotary_pos_emb(x, x, cosines, sines)
    turning = Turning(50.0, 6, 40)

    torch.testing.assert_close(turned(x, turning(depth)), expected, atol=1e-6, rtol=1e-6)
    for beyond, last in zip(turning(depth + 99), turning(torch.full((2, 5), 39)), strict=True):
        assert torch.equal(beyond, last)


def test_masks_close_what_is_farther_away_than_a_layer_sees():
    """Each layer has its own distance or none; what was closed before stays so."""
    queries, keys = torch.tensor([[4, 9]]), torch.tensor([[1, 2, 4, 7, 9]])
    mask = torch.tensor([0.0, 0, 0, -7, 0]).expand(1, 1, 2, 5)

    near, whole, here = near_masks(mask, queries, keys, (2, None, 0), -9.0)

    assert whole is mask
    assert near[0, 0].tolist() == [[-9, 0, 0, -16, -9], [-9, -9, -9, -7, 0]]
    assert here[0, 0].tolist() == [[-9, -9, 0, -16, -9], [-9, -9, -9, -16, 0]]

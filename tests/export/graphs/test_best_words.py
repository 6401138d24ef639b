"""The search of the best words inside the graph."""

import pytest
import torch

from dragoman.export.graphs.best_words import best_words, block_size


@pytest.mark.parametrize("block", [None, 16, 32])
@pytest.mark.parametrize("count", [1, 3, 8, 40, 512])
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("exact", [False, True])
def test_two_stages_find_what_a_full_sort_finds(block, count, seed, exact):
    """Values are those of a full sort, each index holds its value, and the normaliser is logsumexp; ties included."""
    torch.manual_seed(seed)
    logits = torch.randn(7, 512).mul(3).round(decimals=1)  # rounding makes ties

    values, index, normaliser = best_words(logits, count, block, exact=exact)

    assert torch.equal(values, logits.sort(descending=True).values[:, :count])
    assert torch.equal(logits.gather(1, index), values)
    assert all(len(set(row)) == count for row in index.tolist())
    torch.testing.assert_close(normaliser, logits.logsumexp(-1, keepdim=True))


@pytest.mark.parametrize("exact", [False, True])
def test_words_far_below_the_best_do_not_disturb(exact):
    """Masked candidates count nothing, in the search or in the normaliser."""
    logits = torch.full((1, 64), -1e9)
    logits[0, 40] = 2.0

    values, index, normaliser = best_words(logits, 2, 32, exact=exact)

    assert index[0, 0] == 40
    assert values[0, 1] < -1e8
    assert normaliser.item() == pytest.approx(2.0)


@pytest.mark.parametrize(("vocabulary", "block"), [(32000, 128), (64_000, 128), (58_101, None), (250, None)])
def test_a_block_divides_the_vocabulary(vocabulary, block):
    """A vocabulary that no block divides, or a small one, is searched in one stage."""
    assert block_size(vocabulary) == block

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


@pytest.mark.parametrize(
    ("vocabulary", "block"),
    [
        *((32_000, 128), (64_000, 128), (58_101, 107), (65_001, 141), (128_112, 136), (62_834, 89)),
        *((256_206, None), (50_265, None), (32_003, None), (250, None), (6_000, 50), (4_290, 66), (4_158, None)),
    ],
)
def test_a_block_divides_the_vocabulary(vocabulary, block):
    """The nearest to 128 where no round number does. One that no block divides, or that is small, is searched in one
    stage.
    """
    assert block_size(vocabulary) == block


def test_blocks_of_an_odd_size_find_what_a_full_sort_finds():
    """The first and the last word of blocks, of the first and of the last one, too."""
    vocabulary, block = 58_101, block_size(58_101)
    logits = torch.randn(3, vocabulary, generator=torch.Generator().manual_seed(1))
    for place, word in enumerate((0, block - 1, block, vocabulary - block - 1, vocabulary - block, vocabulary - 1)):
        logits[1, word] = 20.0 - place

    values, index, _ = best_words(logits, 9, block, exact=False)

    sorted_values, sorted_index = logits.topk(9)
    assert torch.equal(values, sorted_values)
    assert torch.equal(index, sorted_index)

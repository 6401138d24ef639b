"""Pointer-generator output beside a plain loop over words and positions."""

import numpy as np
import torch

from dragoman.export.network.pointer import IMPOSSIBLE, mixed

WORDS, POSITIONS = 7, 5


def case(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two sources, three nodes each. The second source has two positions of padding, words come twice in both."""
    torch.manual_seed(seed)
    attention = torch.randn(2, 3, POSITIONS)
    attention[1, :, 3:] = -1e9
    extended = torch.tensor([[2, WORDS + 1, 2, WORDS + 1, 0], [4, WORDS + 1, 4, 4, WORDS + 1]])
    return torch.randn(6, WORDS) * 4, torch.randn(6, 1), attention.softmax(-1), extended


def test_each_word_has_what_it_is_generated_and_copied_with():
    """The log-probability of every word is that of a loop; what stands for nothing is impossible."""
    logits, gate, attention, extended = case(1)

    found = mixed(logits, gate, attention, extended)

    for row in range(6):
        g, node = divmod(row, 3)
        share = torch.sigmoid(gate[row, 0]).item()
        expected = [share * p for p in logits[row].softmax(-1).tolist()] + [0.0] * POSITIONS
        for position, word in enumerate(extended[g].tolist()):
            expected[word] += (1 - share) * attention[g, node, position].item()
        possible = np.array(expected) > 0
        np.testing.assert_allclose(found[row].double().exp().numpy()[possible], np.array(expected)[possible], rtol=1e-5)
        assert (found[row].numpy()[~possible] == IMPOSSIBLE).all()


def test_probabilities_sum_to_one_over_the_extended_vocabulary():
    """Whatever the gate says, also where it says it with certainty."""
    logits, gate, attention, extended = case(2)
    gate[:, 0] = torch.tensor([-200.0, -3.0, 0.0, 3.0, 200.0, 20.0])

    sums = mixed(logits, gate, attention, extended).double().exp().sum(-1)

    torch.testing.assert_close(sums, torch.ones(6, dtype=torch.float64), atol=1e-6, rtol=0)


def test_words_that_are_improbable_keep_their_logarithms():
    """A word that float32 gives probability zero is compared by its logit still, and is not impossible."""
    logits, gate, attention, extended = case(3)
    logits[:, 6] = -300.0

    found = mixed(logits, gate, attention, extended)

    expected = torch.nn.functional.logsigmoid(gate[:, 0]) + logits.log_softmax(-1)[:, 6]
    torch.testing.assert_close(found[:, 6], expected)
    assert (expected < -250).all()

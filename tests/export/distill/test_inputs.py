"""Which words take part in a step."""

import numpy as np
import torch

from dragoman.export.distill.inputs import sample_words

VOCABULARY = 40


def test_sampled_words_hold_what_is_wanted_and_know_their_numbers(a_network):
    """Each once, with its own row and bias."""
    network = a_network()

    words = sample_words(network, np.array([[30, 7], [7, 0]]), 5, np.random.default_rng(1), 3)

    assert {0, 1, 2, 7, 30} <= set(words.ids.tolist())
    assert len(set(words.ids.tolist())) == len(words.ids) < VOCABULARY
    assert words.ids[words.number[words.ids]].tolist() == words.ids.tolist()
    assert torch.equal(words.rows[words.number[30]], network.output_words[30])
    assert words.bias[words.number[7]] == network.output_bias[7]

"""What is fed to graphs, and what comes of it, by name."""

import numpy as np
import torch

from dragoman.bundle.manifest import Architecture, Recurrent
from dragoman.export.graphs.running import packed, padded, remembered

LSTM = Architecture(20, 0, 0, 1, 1, 320, 320, decoder="lstm", recurrent=Recurrent(12, 10, 9, 18))


def test_packed_sources_are_their_words_and_say_where_each_stands():
    """Padding is no row, and a place of padding reads some word or other."""
    ids = torch.tensor([[5, 6, 0], [7, 8, 9]])
    mask = torch.tensor([[0.0, 0.0, -1e9], [0.0, 0.0, 0.0]])[:, None, None]

    given = packed(ids, mask)

    assert given["ids"].tolist() == [5, 6, 7, 8, 9]
    assert given["depth"].tolist() == [0, 1, 0, 1, 2]
    assert given["rows"].tolist() == [0, 1, 3, 4, 5]
    assert given["ids"][given["places"]][mask[:, 0, 0] == 0].tolist() == [5, 6, 7, 8, 9]


def test_first_states_are_remembered_as_the_step_s_own():
    """With an axis for the node; keys and values keep name and shape."""
    outputs = [np.zeros((2, 1, 18, 4)), np.zeros((2, 1, 4, 18)), np.ones((2, 18)), np.ones((2, 18))]

    memory = remembered(LSTM, outputs)

    assert {name: value.shape for name, value in memory.items()} == {
        "cross_k.0": (2, 1, 18, 4),
        "cross_v.0": (2, 1, 4, 18),
        "state.0": (2, 1, 18),
        "state.1": (2, 1, 18),
    }


def test_sources_are_padded_on_the_right_and_masked_there():
    """The longest has no padding at all."""
    ids, mask = padded([[5, 6, 2], [7, 2]], pad=1)

    assert ids.tolist() == [[5, 6, 2], [7, 2, 1]]
    assert (mask == 0).reshape(2, 3).tolist() == [[True, True, True], [True, True, False]]
    assert np.exp(mask.min()) == 0

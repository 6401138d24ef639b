"""Steps through a bundle's graphs, beside the network's teacher-forced pass."""

import numpy as np
import pytest
import torch

from dragoman.bundle.graphs import ENCODER, STEP
from dragoman.bundle.manifest import Architecture
from dragoman.export.graphs.running import padded
from dragoman.export.graphs.trace import trace
from dragoman.export.graphs.weights_file import save
from dragoman.export.network.network import Network
from dragoman.export.proof.stepping import Stepper

ARCH = Architecture(16, 2, 24, 1, 1, 96, 96, positions="relative", relative_buckets=8, relative_distance=16)


def test_words_are_read_one_by_one_as_they_are_all_at_once(tmp_path):
    """Of sources with different lengths: the best words after each, and their log-probabilities."""
    torch.manual_seed(1)
    network = Network(ARCH)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    network = network.eval().requires_grad_(False)
    save({graph: trace(network, graph) for graph in (ENCODER, STEP)}, tmp_path)
    sources, words = [[5, 6, 7, 2], [8, 2]], np.array([[95, 3, 4], [95, 9, 1]])

    stepper = Stepper(tmp_path, ARCH, sources, 3, 4)
    answers = [stepper.read(words[:, t]) for t in range(3)]

    ids, mask = map(torch.from_numpy, padded(sources))
    logp = network.full(torch.from_numpy(words), network.memory(ids, mask), mask).log_softmax(-1)
    for t, (values, best) in enumerate(answers):
        expected = logp[:, t].topk(4)
        assert values == pytest.approx(expected.values.numpy(), abs=1e-4)
        assert best.tolist() == expected.indices.tolist()

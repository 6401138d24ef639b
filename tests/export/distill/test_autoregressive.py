"""What an autoregressive student learns, against the plain formula."""

import pytest
import torch
from torch.nn import functional as F

from dragoman.export.distill.autoregressive import Autoregressive
from dragoman.export.distill.students import with_autoregressive

START = 40


def test_the_autoregressive_loss_is_the_cross_entropy_with_the_teacher(a_network, corpus_of, given_of):
    """Of every word of every target, padding apart, over the vocabulary."""
    teacher = a_network()
    corpus, network = corpus_of(teacher), with_autoregressive(teacher, 2, seed=1)
    given, words = given_of(corpus, [1, 2, 3], network)

    loss = Autoregressive(network, START)(given, words)

    total, count = 0.0, 0
    for index in (1, 2, 3):
        (alone, _) = given_of(corpus, [index], network)
        read = torch.cat([torch.tensor([[START]]), alone.targets[:, :-1]], 1)
        logits = network.full(read, network.cross(alone.encoded, alone.places), alone.src_mask)[0]
        wanted = teacher.logits(alone.decoded[0]).softmax(-1)
        total += float(F.cross_entropy(logits, wanted, reduction="sum"))
        count += len(logits)
    assert float(loss) == pytest.approx(total / count, rel=1e-4)

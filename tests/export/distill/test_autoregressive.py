"""What an autoregressive student learns, against the plain formula."""

import pytest
import torch
from torch.nn import functional as F

from dragoman.export.distill.autoregressive import Autoregressive, astray
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


@pytest.mark.parametrize("head", [None, 2])
def test_a_guided_decoder_also_loses_by_looking_elsewhere(a_network, corpus_of, given_of, head):
    """Of every word of every target, padding apart: the cross-entropy of its head with what says it for the teacher."""
    teacher = a_network(alignment_head=head)
    corpus, network = corpus_of(teacher), with_autoregressive(teacher, 2, seed=1, is_guided=True)
    given, words = given_of(corpus, [1, 2, 3], network)

    plain = Autoregressive(network, START)(given, words)
    guided = Autoregressive(network, START, teacher, 0.5)(given, words)

    total, count = 0.0, 0
    for index in (1, 2, 3):
        (alone, _) = given_of(corpus, [index], network)
        read, seen = [torch.tensor([[START]]), *alone.targets[:, :-1].split(1, 1)], []
        for net in (network, teacher):
            state, rows = net.first(memory := net.cross(alone.encoded, alone.places)), []
            for t, word in enumerate(read):
                mask = None if net is teacher else torch.zeros(1, 1, 1, t + 1)
                _, attention, kept = net.step(word, torch.tensor([[t]]), mask, state, memory, alone.src_mask)
                state = kept if net is teacher else [torch.cat(pair, 2) for pair in zip(state, kept, strict=True)]
                state = [each.reshape(1, 1, -1) for each in state] if net is teacher else state
                rows.append(attention[0, 0])
            seen.append(torch.stack(rows))
        total -= float((seen[1] * seen[0].log()).sum())
        count += len(read)
    assert float(guided - plain) == pytest.approx(0.5 * total / count, rel=1e-4)


def test_looking_away_from_all_that_is_wanted_is_a_finite_loss():
    """Half precision has weights of exactly nothing."""
    assert torch.isfinite(astray(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])))


def test_a_guided_head_comes_to_look_where_the_teacher_looks(a_network, corpus_of, given_of):
    """On a few pairs, whose words it has to say all the while; the teacher itself learns nothing."""
    teacher = a_network(alignment_head=1)
    corpus, network = corpus_of(teacher), with_autoregressive(teacher, 2, seed=1, is_guided=True)
    given, words = given_of(corpus, list(range(8)), network)
    student = Autoregressive(network, START, teacher, 1.0)
    before = {name: weight.clone() for name, weight in teacher.state_dict().items()}
    network.decoder.requires_grad_(True)
    optimiser = torch.optim.Adam(network.decoder.parameters(), 1e-2)
    read = torch.cat([torch.full_like(given.targets[:, :1], START), given.targets[:, :-1]], 1)
    is_target = given.is_target
    wanted = teacher.attended(read, teacher.cross(given.encoded, given.places), given.src_mask)[1][is_target].argmax(1)

    def errors() -> float:
        attention = network.attended(read, network.cross(given.encoded, given.places), given.src_mask)[1][is_target]
        return float((attention.argmax(1) != wanted).float().mean())

    at_first = errors()
    for _ in range(60):
        optimiser.zero_grad()
        student(given, words).backward()
        optimiser.step()

    assert errors() < at_first / 2
    assert all(torch.equal(before[name], weight) for name, weight in teacher.state_dict().items())

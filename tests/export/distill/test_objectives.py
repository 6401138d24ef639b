"""What students learn, against plain formulas."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from dragoman.bundle.manifest import Nat
from dragoman.export.distill import ctc as ctc_module
from dragoman.export.distill import mask_predict, objectives
from dragoman.export.distill.corpus import collate
from dragoman.export.distill.ctc import Ctc, Labels
from dragoman.export.distill.mask_predict import MaskPredict
from dragoman.export.distill.objectives import Autoregressive, inputs_of, sample_words, up_to
from dragoman.export.distill.students import with_autoregressive, with_nat
from dragoman.export.network.nat import decoder_of

VOCABULARY, EOS, START = 40, 0, 40


def given_of(corpus, chosen, network, count=10_000):
    """A batch, and all words of the vocabulary unless fewer are asked for."""
    batch = collate(corpus, np.array(chosen))
    given = inputs_of(batch, 0.5, torch.device("cpu"), torch.float32)
    return given, sample_words(network, batch.targets, count, np.random.default_rng(1), 2)


def test_sampled_words_hold_what_is_wanted_and_know_their_numbers(a_network):
    """Each once, with its own row and bias."""
    network = a_network()

    words = sample_words(network, np.array([[30, 7], [7, 0]]), 5, np.random.default_rng(1), 3)

    assert {0, 1, 2, 7, 30} <= set(words.ids.tolist())
    assert len(set(words.ids.tolist())) == len(words.ids) < VOCABULARY
    assert words.ids[words.number[words.ids]].tolist() == words.ids.tolist()
    assert torch.equal(words.rows[words.number[30]], network.output_words[30])
    assert words.bias[words.number[7]] == network.output_bias[7]


def test_the_autoregressive_loss_is_the_cross_entropy_with_the_teacher(a_network, corpus_of):
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


@pytest.fixture(params=["late", "split"])
def ctc(a_network, corpus_of, monkeypatch, request):
    """A student of CTC whose canvases show nothing, and its corpus."""
    monkeypatch.setattr(objectives, "REVEALED", (0.0, 0.0))
    monkeypatch.setattr(ctc_module, "LATER", 0.0)
    teacher = a_network()
    network = with_autoregressive(teacher, 1, seed=1)
    nat = Nat("ctc", 1, 128, canvas=request.param, upsample=2, blank_id=VOCABULARY, refines=True)
    with_nat(network, nat, seed=1)
    network.nat.requires_grad_(True)
    return Ctc(network, "ctc", EOS), corpus_of(teacher)


def plain_ctc(student: Ctc, corpus, chosen) -> torch.Tensor:
    """torch's own loss over the whole vocabulary, pair by pair."""
    decoder, total, words = decoder_of(student.network, "ctc"), torch.zeros(()), 0
    for index in chosen:
        given, _ = given_of(corpus, [index], student.network)
        places = 2 * given.places.shape[1]
        nothing = torch.full((1, places), VOCABULARY)
        x = decoder.read(student.network, given.encoded, given.places, given.src_mask, nothing)
        logp = decoder.logits(student.network, x).log_softmax(-1).unsqueeze(1)
        length = int(given.target_lengths) - 1
        sizes = torch.tensor([places]), torch.tensor([length])
        total = total + F.ctc_loss(
            logp, given.targets[:, :length], *sizes, blank=VOCABULARY, reduction="sum", zero_infinity=True
        )
        words += length + 1
    return total / words


def gradients(student, loss) -> dict[str, torch.Tensor]:
    named = {name: p for name, p in student.named_parameters() if p.requires_grad}
    return dict(zip(named, torch.autograd.grad(loss, named.values(), allow_unused=True), strict=True))


def test_the_gradient_of_ctc_is_torchs_over_the_whole_vocabulary(ctc):
    """With repeated words, one of them at once, and a target that does not fit into its canvas."""
    student, corpus = ctc
    corpus.targets.ids[corpus.targets.of_row(4)][:-1] = 9
    sizes = zip(corpus.sources.lengths, corpus.targets.lengths, strict=True)
    too_long = next(n for n, (source, target) in enumerate(sizes) if target - 1 > 2 * source)
    chosen = [4, 5, 6, too_long]
    given, words = given_of(corpus, chosen, student.network)

    found = gradients(student, student(given, words))

    expected = gradients(student, plain_ctc(student, corpus, chosen))
    assert expected
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-5, msg=name)


def test_labels_tell_repeated_words_from_others(ctc):
    """The same word has the same label, wherever it stands; the end token is none."""
    student, corpus = ctc
    given, words = given_of(corpus, [0], student.network)
    given = replace(given, targets=torch.tensor([[9, 9, 5, 9, EOS]]), target_lengths=torch.tensor([5]))

    labels = Labels.of(given, words, EOS)

    assert labels.sequence[0, :4].tolist() == [1, 1, 3, 1]
    assert labels.lengths.tolist() == [4]


def test_the_posterior_of_ctc_is_a_distribution_in_every_place(ctc):
    """And nothing beyond the canvas."""
    student, corpus = ctc
    given, words = given_of(corpus, [4, 5, 6], student.network)
    labels = Labels.of(given, words, EOS)
    places = 2 * given.source_lengths
    logits = torch.randn(3, int(places.max()), 1 + given.targets.shape[1])

    gamma, lost = labels.posterior(logits.log_softmax(-1), places)

    inside = up_to(places, gamma.shape[1])
    fits = lost > 0
    torch.testing.assert_close(gamma.sum(-1)[fits], inside[fits].float(), rtol=1e-4, atol=1e-4)
    assert (gamma >= -1e-6).all()


@pytest.fixture
def filling(a_network, corpus_of):
    """A student of mask-predict, and its corpus."""
    teacher = a_network()
    network = with_autoregressive(teacher, 1, seed=1)
    nat = Nat("mask-predict", layers=1, max_canvas=64, mask_id=VOCABULARY, last_id=EOS, length_classes=16, block=3)
    with_nat(network, nat, seed=1)
    return MaskPredict(network, "mask-predict", EOS), corpus_of(teacher)


def test_noise_hides_something_of_every_text_and_never_the_frame(filling):
    """Over many draws: hidden places are canvas; the end of a whole canvas shows; behind a beginning all is hidden."""
    student, corpus = filling
    given, words = given_of(corpus, range(20), student.network)
    decoder = decoder_of(student.network, "mask-predict")
    cross = decoder.memory(given.encoded, given.places)
    kinds = set()
    for seed in range(20):
        torch.manual_seed(seed)
        targets, is_place, hidden = student._noise(decoder, given, cross, words)
        assert not (hidden & ~is_place).any()
        for g, length in enumerate(given.target_lengths.tolist()):
            size = int(is_place[g].sum())
            drafted = bool(hidden[g, length - 1 :].any())
            if drafted:  # behind a beginning, as drafts are: three masks, end tokens behind the end
                first = int(hidden[g].int().argmax())
                assert hidden[g, first:size].all()
                assert size - first == 3
                assert (targets[g, length - 1 : size] == EOS).all()
            kinds.add((drafted, size == length))
    assert {(True, False), (False, True)} <= kinds


def test_padding_does_not_change_what_is_learnt_of_lengths_and_words(filling, monkeypatch):
    """The loss of a batch is the mean of those of its masked words, each alone."""
    student, corpus = filling

    def all_hidden(decoder, given, cross, words):
        is_place = given.is_target
        return given.targets, is_place, is_place & (given.targets != EOS)

    monkeypatch.setattr(student, "_noise", all_hidden)
    monkeypatch.setattr(mask_predict, "LENGTH_WEIGHT", 0.0)
    chosen = [1, 2, 3]
    given, words = given_of(corpus, chosen, student.network)

    loss = float(student(given, words))

    alone = [given_of(corpus, [index], student.network) for index in chosen]
    counts = [int((one.targets != EOS).sum()) for one, _ in alone]
    total = sum(float(student(*one)) * count for one, count in zip(alone, counts, strict=True))
    assert loss == pytest.approx(total / sum(counts), rel=1e-4)

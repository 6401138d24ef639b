"""What a student of CTC learns, against torch's own loss over the whole vocabulary."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from dragoman.bundle.manifest import Nat
from dragoman.export.distill import ctc as ctc_module
from dragoman.export.distill import inputs
from dragoman.export.distill.ctc import Ctc, Labels
from dragoman.export.distill.inputs import up_to
from dragoman.export.distill.students import with_autoregressive, with_nat
from dragoman.export.network.nat import decoder_of

VOCABULARY, EOS = 40, 0


@pytest.fixture(params=["late", "split"])
def ctc(a_network, corpus_of, monkeypatch, request):
    """A student of CTC whose canvases show nothing, and its corpus."""
    monkeypatch.setattr(inputs, "REVEALED", (0.0, 0.0))
    monkeypatch.setattr(ctc_module, "LATER", 0.0)
    teacher = a_network()
    network = with_autoregressive(teacher, 1, seed=1)
    nat = Nat("ctc", 1, 128, canvas=request.param, upsample=2, blank_id=VOCABULARY, refines=True)
    with_nat(network, nat, seed=1)
    network.nat.requires_grad_(True)
    return Ctc(network, "ctc", EOS), corpus_of(teacher)


def plain_ctc(student: Ctc, corpus, chosen, given_of) -> torch.Tensor:
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


def test_the_gradient_of_ctc_is_torchs_over_the_whole_vocabulary(ctc, given_of):
    """With repeated words, one of them at once, and a target that does not fit into its canvas."""
    student, corpus = ctc
    corpus.targets.ids[corpus.targets.of_row(4)][:-1] = 9
    sizes = zip(corpus.sources.lengths, corpus.targets.lengths, strict=True)
    too_long = next(n for n, (source, target) in enumerate(sizes) if target - 1 > 2 * source)
    chosen = [4, 5, 6, too_long]
    given, words = given_of(corpus, chosen, student.network)

    computed = gradients(student, student(given, words))

    expected = gradients(student, plain_ctc(student, corpus, chosen, given_of))
    assert expected
    for name, value in expected.items():
        torch.testing.assert_close(computed[name], value, rtol=1e-3, atol=1e-5, msg=name)


def test_labels_tell_repeated_words_from_others(ctc, given_of):
    """The same word has the same label, wherever it stands; the end token is none."""
    student, corpus = ctc
    given, words = given_of(corpus, [0], student.network)
    given = replace(given, targets=torch.tensor([[9, 9, 5, 9, EOS]]), target_lengths=torch.tensor([5]))

    labels = Labels.of(given, words, EOS)

    assert labels.sequence[0, :4].tolist() == [1, 1, 3, 1]
    assert labels.lengths.tolist() == [4]


def test_the_posterior_of_ctc_is_a_distribution_in_every_place(ctc, given_of):
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

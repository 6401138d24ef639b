"""What a student of mask-predict learns: which places are hidden, and a loss that padding does not change."""

import pytest
import torch

from dragoman.bundle.manifest import Nat
from dragoman.export.distill import mask_predict
from dragoman.export.distill.mask_predict import MaskPredict
from dragoman.export.distill.students import with_autoregressive, with_nat
from dragoman.export.network.nat import decoder_of

VOCABULARY, EOS = 40, 0


@pytest.fixture
def filling(a_network, corpus_of):
    """A student of mask-predict, and its corpus."""
    teacher = a_network()
    network = with_autoregressive(teacher, 1, seed=1)
    nat = Nat("mask-predict", layers=1, max_canvas=64, mask_id=VOCABULARY, last_id=EOS, length_classes=16, block=3)
    with_nat(network, nat, seed=1)
    return MaskPredict(network, "mask-predict", EOS), corpus_of(teacher)


def test_noise_hides_something_of_every_text_and_never_the_frame(filling, given_of):
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


def test_padding_does_not_change_what_is_learnt_of_lengths_and_words(filling, given_of, monkeypatch):
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
    counts = [int((inputs.targets != EOS).sum()) for inputs, _ in alone]
    total = sum(float(student(*batch)) * count for batch, count in zip(alone, counts, strict=True))
    assert loss == pytest.approx(total / sum(counts), rel=1e-4)

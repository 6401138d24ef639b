"""Translations while a student is trained: the plain forms of greedy search, CTC and mask-predict."""

import pytest
import torch

from dragoman.bundle.manifest import Nat
from dragoman.export.distill.quality import ctc, greedy, mask_predict
from dragoman.export.distill.students import with_autoregressive, with_nat
from dragoman.export.network.nat import decoder_of

VOCABULARY, EOS, START = 40, 0, 40


CTC = Nat("ctc", layers=3, max_canvas=128, canvas="split", upsample=2, blank_id=VOCABULARY)


FILL = Nat("mask-predict", layers=1, max_canvas=64, mask_id=VOCABULARY, last_id=EOS, length_classes=16, block=3)


@pytest.fixture
def student(a_network):
    network = with_autoregressive(a_network(), 2, seed=1)
    with_nat(network, CTC, seed=1)
    with_nat(network, FILL, seed=1)
    for parameter in [*network.decoder.parameters(), *network.nat.parameters()]:
        parameter.add_(torch.randn_like(parameter) * 0.2)
    return network


SOURCES = [[5, 6, 7, EOS], [9, EOS], [11, 12, 13, 14, 15, 16, EOS]]


def test_greedy_is_the_most_probable_word_of_the_full_pass(student):
    """Each source alone and beside others; banned words are passed over."""
    banned = (1, 30)
    together = greedy(student, SOURCES, start_id=START, eos_id=EOS, banned=banned)

    for source, found in zip(SOURCES, together, strict=True):
        ids, mask = torch.tensor([source]), torch.zeros(1, 1, 1, len(source))
        read = torch.tensor([[START, *found]])
        logits = student.full(read, student.memory(ids, mask), mask)[0]
        logits[:, list(banned)] = -torch.inf
        best = logits.argmax(-1).tolist()
        assert best[: len(found)] == found
        assert best[len(found)] == EOS or len(found) >= 3 * len(source)


def test_ctc_and_mask_predict_are_the_same_alone_and_beside_others(student):
    """Padding changes nothing, in one pass or several; nothing banned comes out, nor a blank or a mask."""
    banned = (EOS, 1)
    for decode in (
        lambda sources: ctc(student, "ctc", sources, banned),
        lambda sources: mask_predict(student, "mask-predict", sources, banned, 1, EOS),
        lambda sources: mask_predict(student, "mask-predict", sources, banned, 3, EOS),
    ):
        together = decode(SOURCES)
        assert together == [decode([source])[0] for source in SOURCES]
        assert not {word for text in together for word in text} & {EOS, 1, VOCABULARY}
        assert any(together)


def test_ctc_drops_blanks_and_counts_a_run_once(student, monkeypatch):
    """a a _ a b b is a a b."""
    rows = [5, 5, VOCABULARY, 5, 6, 6]
    logits = torch.nn.functional.one_hot(torch.tensor(rows), VOCABULARY + 1).float()
    monkeypatch.setattr(type(decoder_of(student, "ctc")), "logits", lambda self, network, x: logits)

    assert ctc(student, "ctc", [[7, 8, EOS]], ()) == [[5, 5, 6]]

"""A training, stopped and gone on with."""

from dataclasses import replace

import pytest
import torch

from dragoman.bundle.manifest import Nat
from dragoman.export.core.errors import ExportError
from dragoman.export.distill.autoregressive import Autoregressive
from dragoman.export.distill.corpus import Corpus
from dragoman.export.distill.ctc import Ctc
from dragoman.export.distill.mask_predict import MaskPredict
from dragoman.export.distill.students import with_autoregressive, with_nat
from dragoman.export.distill.trainer import Settings, Trainer

VOCABULARY, EOS, START = 40, 0, 40
SETTINGS = Settings(
    2.5,
    batch_words=100,
    learning_rate=3e-3,
    warm_up=2,
    random_words=5,
    first_words=3,
    checkpoint_every=3,
    evaluate_every=6,
)
NAT = {
    "ctc": Nat("ctc", layers=1, max_canvas=128, canvas="late", upsample=2, blank_id=VOCABULARY, refines=True),
    "mask-predict": Nat(
        "mask-predict", layers=1, max_canvas=64, mask_id=VOCABULARY, last_id=EOS, length_classes=16, block=3
    ),
}


class Killed(Exception):
    """Stands for the end of the process."""


def a_trainer(a_network, corpus, path, kind="autoregressive", settings=SETTINGS) -> Trainer:
    network = with_autoregressive(a_network(), 1, seed=1)
    if kind == "autoregressive":
        student = Autoregressive(network, START)
        network.decoder.requires_grad_(True)
    else:
        with_nat(network, NAT[kind], seed=1)
        student = (Ctc if kind == "ctc" else MaskPredict)(network, kind, EOS)
        network.nat.requires_grad_(True)
    return Trainer(student, corpus, settings, path, device=torch.device("cpu"), half=False)


def finished(trainer: Trainer) -> Trainer:
    trainer.run(lambda: {"bleu": 1.0}, lambda point: None)
    return trainer


def same(a: Trainer, b: Trainer) -> bool:
    pairs = [(a.trained, b.trained), (a.mean, b.mean)]
    states = [
        {f"{n}.{k}": v for n, own in t.optimiser.state_dict()["state"].items() for k, v in own.items()} for t in (a, b)
    ]
    return all(torch.equal(x[name], y[name]) for x, y in [*pairs, tuple(states)] for name in x)


@pytest.mark.parametrize("kind", ["autoregressive", "ctc", "mask-predict"])
def test_a_killed_training_ends_with_the_bytes_of_one_that_was_not(a_network, corpus_of, tmp_path, kind):
    """Killed after a checkpoint and two more steps, in the second epoch."""
    corpus = corpus_of(a_network())
    whole = finished(a_trainer(a_network, corpus, tmp_path / "whole.pt", kind))
    killed = a_trainer(a_network, corpus, tmp_path / "killed.pt", kind)
    takes = iter([killed._take] * 11)

    def take(chosen):
        try:
            return next(takes)(chosen)
        except StopIteration:
            raise Killed from None

    killed._take = take
    with pytest.raises(Killed):
        finished(killed)

    again = a_trainer(a_network, corpus, tmp_path / "killed.pt", kind)
    assert again.resume()
    assert again.step == 9
    assert again.epoch == 1
    finished(again)

    assert same(whole, again)
    assert [replace(p, processor_s=0.0) for p in again.history] == [replace(p, processor_s=0.0) for p in whole.history]


def test_what_is_frozen_stays(a_network, corpus_of, tmp_path):
    """Encoder and words, which other decoders share."""
    trainer = a_trainer(a_network, corpus_of(a_network()), tmp_path / "a.pt")
    before = {n: p.clone() for n, p in trainer.student.named_parameters() if n not in trainer.trained}

    finished(trainer)

    assert before
    assert all(torch.equal(p, before[n]) for n, p in trainer.student.named_parameters() if n in before)
    assert not any(torch.equal(p, trainer.mean[n]) for n, p in trainer.trained.items())


@pytest.mark.parametrize("kind", ["autoregressive", "ctc", "mask-predict"])
def test_a_student_learns(a_network, corpus_of, tmp_path, kind):
    """The loss of 60 pairs falls by a fifth in 24 epochs."""
    settings = replace(SETTINGS, epochs=24, warm_up=10, checkpoint_every=10, evaluate_every=1000)
    trainer = finished(a_trainer(a_network, corpus_of(a_network()), tmp_path / "a.pt", kind, settings))

    assert trainer.history[-1].loss < 0.8 * trainer.history[0].loss


def test_more_epochs_go_on_from_the_end(a_network, corpus_of, tmp_path):
    """A training that is finished is not done again, and can be asked for more, with batches of another size too."""
    corpus = corpus_of(a_network())
    steps = finished(a_trainer(a_network, corpus, tmp_path / "a.pt")).step

    again = a_trainer(a_network, corpus, tmp_path / "a.pt")
    again.resume()
    assert finished(again).step == steps

    longer = a_trainer(a_network, corpus, tmp_path / "a.pt", settings=replace(SETTINGS, epochs=3.5, batch_words=50))
    longer.resume()
    assert longer.step == steps
    assert longer.epochs == pytest.approx(2.5, abs=0.15)
    assert finished(longer).step > steps
    assert 3.5 <= longer.epochs < 3.6


def test_another_training_is_refused(a_network, corpus_of, tmp_path):
    """Of other layers or pairs: its weights would mean something else."""
    corpus = corpus_of(a_network())
    finished(a_trainer(a_network, corpus, tmp_path / "a.pt"))
    fewer = Corpus(corpus.sources, corpus.targets, corpus.encoded, corpus.decoded, used=50)

    for other in (
        a_trainer(a_network, corpus, tmp_path / "a.pt", "ctc"),
        a_trainer(a_network, fewer, tmp_path / "a.pt"),
    ):
        with pytest.raises(ExportError, match="another training"):
            other.resume()


def test_a_training_whose_attention_was_not_guided_is_refused(a_network, corpus_of, tmp_path):
    """What it has learnt is not what is asked for, and a finished one would learn nothing more; nor the other way."""
    corpus = corpus_of(a_network())
    guided = replace(SETTINGS, guided_attention=0.1)
    finished(a_trainer(a_network, corpus, tmp_path / "a.pt"))
    finished(a_trainer(a_network, corpus, tmp_path / "b.pt", settings=guided))

    for path, settings in ((tmp_path / "a.pt", guided), (tmp_path / "b.pt", SETTINGS)):
        with pytest.raises(ExportError, match=r"with --guided-attention 0.*: name another --work"):
            a_trainer(a_network, corpus, path, settings=settings).resume()


def test_a_checkpoint_of_before_is_of_a_training_that_was_not_guided(a_network, corpus_of, tmp_path):
    """It does not say so, and is gone on with."""
    corpus = corpus_of(a_network())
    finished(a_trainer(a_network, corpus, tmp_path / "a.pt"))
    state = torch.load(tmp_path / "a.pt", weights_only=True)
    del state["settings"]["guided_attention"]
    torch.save(state, tmp_path / "a.pt")

    assert a_trainer(a_network, corpus, tmp_path / "a.pt").resume()


def test_a_loss_that_is_no_number_ends_the_training(a_network, corpus_of, tmp_path):
    """And says what to change; the last checkpoint is one from before."""
    settings = replace(SETTINGS, learning_rate=1e30, warm_up=1)

    with pytest.raises(ExportError, match="lower --learning-rate than 1e\\+30"):
        finished(a_trainer(a_network, corpus_of(a_network()), tmp_path / "a.pt", settings=settings))


def test_the_learning_rate_rises_holds_and_falls_to_nothing():
    """Over the warm-up and the last share of the steps."""
    settings = Settings(2.0, 10, 1.0, warm_up=10, cool_down=0.4)

    rates = [settings.rate(step, step / 100) for step in range(101)]

    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[59] == 1.0
    assert rates[80] == pytest.approx(0.5)
    assert rates[100] == 0.0

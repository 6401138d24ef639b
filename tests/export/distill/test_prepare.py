"""What distilling needs before it begins, and which models it refuses."""

from dataclasses import replace

import numpy as np
import pytest

from dragoman.bundle.manifest import Architecture, Context, Decoding, Limits, Recurrent, Texts, Tokenizer
from dragoman.export.core.checkpoint import Checkpoint
from dragoman.export.core.errors import ExportError
from dragoman.export.distill import prepare
from dragoman.export.distill.corpus import Corpus, Ragged
from dragoman.export.distill.settings import Decoder


class Numbers:
    """Ids as text."""

    def text(self, ids):
        return " ".join(map(str, ids))


def test_without_a_test_set_the_last_pairs_are_held_out():
    """A tenth of a small text; their end tokens are no text."""
    side = Ragged.of([[n, 0] for n in range(2, 32)])
    rows = np.zeros((60, 4), np.float16)
    recipe = type("Recipe", (), {"development": None})()

    test, held_out = prepare.evaluation_set(recipe, Corpus(side, side, rows, rows, used=30), Numbers())

    assert held_out == 3
    assert test.sources == test.references == ["29", "30", "31"]


def test_too_few_pairs_to_hold_some_out_are_refused():
    """Rather than measured on what was learnt."""
    side = Ragged.of([[2, 0]] * 9)
    recipe = type("Recipe", (), {"development": None})()

    with pytest.raises(ExportError, match="9 pairs are too few"):
        prepare.evaluation_set(recipe, Corpus(side, side, np.zeros((18, 4)), np.zeros((18, 4)), used=9), Numbers())


@pytest.fixture
def checkpoint():
    arch = Architecture(16, 4, 24, 1, 1, 40, 40, encoder_width=24)
    tokenizer = Tokenizer("sentencepiece", "a", "a", 0, 1, 40)
    limits = Limits(64, 64)
    return Checkpoint("model", (), arch, {}, {}, tokenizer, {}, Decoding(), limits, "hf", ())


def test_a_teacher_reads_no_context(checkpoint):
    """Its students learn none, and beside them it may stand in one bundle, which says how all of its texts are read."""
    history = {"context": "|", "prompt": "x"}
    reading = replace(checkpoint, texts=Texts("lines", context=Context((5,), 5)), history=history)

    teacher = prepare.teacher_of(reading)

    assert teacher == replace(checkpoint, texts=Texts("lines"), history={"prompt": "x"})


def test_a_teacher_is_the_decoder_that_answers_unasked(checkpoint):
    """Of several on one encoder."""
    other = replace(checkpoint.architecture, decoder_layers=2)
    several = replace(checkpoint, siblings={"large": (other, {})}, searcher="large")

    assert prepare.teacher_of(several) == replace(checkpoint, architecture=other)


def test_models_of_many_languages_are_refused(checkpoint):
    """What they read around a text is not in a pair's ids."""
    many = replace(checkpoint, tokenizer=replace(checkpoint.tokenizer, prefix=("target",)))

    with pytest.raises(ExportError, match="distil a model of one pair"):
        prepare.check(many, [])


def test_a_model_that_decodes_without_autoregression_alone_is_no_teacher(checkpoint):
    """It has no probability of a word after others."""
    alone = replace(checkpoint, architecture=replace(checkpoint.architecture, decoder_layers=0))

    with pytest.raises(ExportError, match="no autoregressive decoder"):
        prepare.check(alone, [])


def test_a_recurrent_model_is_no_teacher(checkpoint):
    """Students begin from layers that it does not have."""
    recurrent = replace(checkpoint.architecture, recurrent=Recurrent(8, 8, 3, 5), encoder_width=None)

    with pytest.raises(ExportError, match="is recurrent, and students learn from a Transformer"):
        prepare.check(replace(checkpoint, architecture=recurrent), [])


def test_decoders_that_cannot_read_the_encoders_rows_are_refused(checkpoint):
    """With what can be trained instead."""
    prepare.check(checkpoint, [Decoder("autoregressive", 1, 1)])

    with pytest.raises(ExportError, match="24 and 16: --decoder autoregressive alone"):
        prepare.check(checkpoint, [Decoder("autoregressive", 1, 1), Decoder("ctc", 1, 1)])

"""A test set through an engine, in every way that a bundle can be asked."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from dragoman.bundle.manifest import Architecture, Decoding, Limits, Tokenizer
from dragoman.export.core.checkpoint import Checkpoint
from dragoman.export.core.errors import ExportError
from dragoman.export.distill import evaluation, prepare
from dragoman.export.distill.corpus import Corpus, Ragged
from dragoman.export.distill.evaluation import EvaluationSet, evaluate, requests_by_name
from dragoman.export.distill.settings import Decoder
from dragoman.server.core.errors import InvalidRequest
from dragoman.server.core.requests import EnginePreference, Request, Splitting
from dragoman.server.core.segments import FinishReason
from dragoman.server.core.strategies import Engine
from dragoman.server.core.translations import TextHypothesis, Timings, Translation

TEXTS = EvaluationSet(["one two three four five", "six"], ["um dois tres quatro cinco", "seis"], "here")


class Engines:
    """Says the references; what it was asked is kept."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.failure = None

    def outcomes(self, request):
        self.asked.append(request)
        references = dict(zip(TEXTS.sources, TEXTS.references, strict=True))
        return [self.failure or self.translation(references[text]) for text in request.texts]

    def translation(self, text):
        return Translation(
            (TextHypothesis(text, 0.0, 0.0),), FinishReason.STOP, Engine.GREEDY, 1, 1, 1, 1, Timings(decode_s=0.1)
        )


@pytest.fixture
def engine(monkeypatch):
    engine = Engines()

    @contextmanager
    def opened(directory):
        yield engine

    monkeypatch.setattr(evaluation, "LocalTranslator", opened)
    return engine


def test_each_decoder_is_asked_by_name(engine, tmp_path):
    """A whole line at once, whatever it holds; perfect translations have all of the points."""
    rows = evaluate(tmp_path, "student", ["autoregressive", "ctc", "mask-predict"], TEXTS)

    assert [row.name for row in rows] == [
        "student: greedy",
        "student: beam 4",
        "student: ctc",
        "student: mask-predict, 1 pass",
        "student: mask-predict, 2 passes",
        "student: mask-predict, 4 passes",
    ]
    assert all(row.bleu == row.chrf == 100 for row in rows)
    asked = [(one.nat.decoder, one.nat.passes) for one in engine.asked if one.engine is EnginePreference.NAT]
    assert asked == [("ctc", 1), ("mask-predict", 1), ("mask-predict", 2), ("mask-predict", 4)]
    assert {one.splitting for one in engine.asked} == {Splitting.SENTENCES}


def test_a_bundle_without_them_is_not_asked_for_them():
    """A teacher can be greedy or search."""
    asked = requests_by_name([], ["a"])

    assert {name: one.engine.value for name, one in asked.items()} == {"greedy": "greedy", "beam 4": "beam"}
    assert asked["beam 4"].overrides.beam_size == 4


def test_a_text_without_translation_is_no_quality(engine, tmp_path):
    """It is told, with the way in which it failed."""
    engine.failure = InvalidRequest("texts[0].text", "too long")

    with pytest.raises(ExportError, match=r"student, greedy: .*too long"):
        evaluate(tmp_path, "student", [], TEXTS)


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


def test_decoders_that_cannot_read_the_encoders_rows_are_refused(checkpoint):
    """With what can be trained instead."""
    prepare.check(checkpoint, [Decoder("autoregressive", 1, 1)])

    with pytest.raises(ExportError, match="24 and 16: --decoder autoregressive alone"):
        prepare.check(checkpoint, [Decoder("autoregressive", 1, 1), Decoder("ctc", 1, 1)])

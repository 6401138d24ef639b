"""A test set through an engine, in every way that a bundle can be asked."""

from contextlib import contextmanager

import pytest

from dragoman.export.core.errors import ExportError
from dragoman.export.distill import evaluation
from dragoman.export.distill.evaluation import EvaluationSet, evaluate, requests_by_name
from dragoman.server.core.errors import InvalidRequest
from dragoman.server.core.requests import EnginePreference, Request
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
    """Lines are cut as the bundle has it; perfect translations have all of the points."""
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
    assert {one.splitting for one in engine.asked} == {None}


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

"""Remembered decoding beside decoding anew, over the model that comes with the project."""

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dragoman.bundle.reader import open_bundle
from dragoman.server.app.interrupts import InterruptibleRunner
from dragoman.server.core.limits import RequestLimits
from dragoman.server.core.ports import LaneObserver
from dragoman.server.core.requests import DecodingOverrides, EnginePreference, Output, Request
from dragoman.server.core.translations import Outcome, Translation
from dragoman.server.lanes.opening import open_lanes
from dragoman.server.pipeline.cache import Cache
from dragoman.server.pipeline.pipeline import Pipeline
from dragoman.server.pipeline.workers import Workers
from dragoman.server.text.tokenizer import Tokenizer

DEFAULT = Path(__file__).parents[2] / "models" / "en-pt"
LIMITS = RequestLimits(10_000, 10_000, 16, 32, 10**9, 1_000)
WORDS = (
    "the",
    "quick",
    "brown",
    "fox",
    "jumps",
    "over",
    "a",
    "lazy",
    "dog",
    "old",
    "houses",
    "every",
    "morning",
    "school",
)
TEXTS, DIFFERENT = 1_000, 300


def zipf(dice: random.Random) -> list[str]:
    """Texts of one or two sentences, a few of which come again and again."""
    sentences = [
        f"{' '.join(dice.choices(WORDS, k=dice.randrange(3, 10))).capitalize()}{dice.choice('.!?')}"
        for _ in range(DIFFERENT)
    ]
    weights = [1 / rank for rank in range(1, DIFFERENT + 1)]
    return [" ".join(dice.choices(sentences, weights, k=dice.choice((1, 1, 2)))) for _ in range(TEXTS)]


def said(outcomes: Sequence[Outcome]) -> list[tuple[object, ...]]:
    """All that results say but for what they took."""
    translations = [outcome for outcome in outcomes if isinstance(outcome, Translation)]
    assert len(translations) == len(outcomes), outcomes
    return [(one.text, [token.token for token in one.hypotheses[0].tokens], one.engine) for one in translations]


@pytest.mark.parametrize("cache_bytes", [10_000_000, 200_000])
def test_nothing_that_is_remembered_differs(cache_bytes: int) -> None:
    """Token by token, in requests of many texts and two settings, where all is kept and where little is."""
    dice, bundle = random.Random(3), open_bundle(DEFAULT)
    texts, cache, tokenizer = zipf(dice), Cache(cache_bytes), Tokenizer(bundle)
    lanes = open_lanes(bundle, num_lanes=2, threads_per_lane=1, max_batch=0, observer=LaneObserver())
    settings = [{"engine": EnginePreference.GREEDY}, {"overrides": DecodingOverrides(beam_size=3, num_hypotheses=2)}]
    hits = 0
    with ThreadPoolExecutor(1) as executor:
        anew = Pipeline(bundle, tokenizer, lanes, LIMITS, Workers(executor))
        kept = Pipeline(bundle, tokenizer, lanes, LIMITS, Workers(executor), cache.of("en-pt", bundle.digest))
        runner = InterruptibleRunner()
        for start in range(0, TEXTS, 50):
            request = Request(
                tuple(texts[start : start + 50]), output=Output(token_scores=True), **settings[start // 50 % 2]
            )
            remembered = runner.run(kept.translate(request))
            assert said(remembered) == said(runner.run(anew.translate(request)))
            assert cache.num_bytes <= cache_bytes
            hits += sum(isinstance(outcome, Translation) and outcome.cache_hit for outcome in remembered)
        runner.close()
    lanes.close()

    assert TEXTS / 20 < hits < TEXTS

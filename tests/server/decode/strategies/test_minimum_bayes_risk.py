"""Draws are chosen by what the others say, beside sacreBLEU's chrF and a slow, plain choice."""

import dataclasses
import random

import pytest
import sacrebleu

from dragoman.bundle.manifest import Decoding
from dragoman.server.core.limits import Bounds
from dragoman.server.core.requests import Request
from dragoman.server.core.strategies import Engine
from dragoman.server.decode.strategies.minimum_bayes_risk import EPSILON, MinimumBayesRisk, chrf, most_agreed
from dragoman.server.decode.strategies.sampling import Sampling
from dragoman.server.planning.plans import plans

TEXTS = [
    "O cão preguiçoso dorme.",
    "O cão preguiçoso dorme!",
    "O  cão dorme .",
    "",
    "a",
    "ab",
    "aaaaaaaaaaaa",
    "aaaaaa",
    "Die Katze schläft.",
    "O cão preguiçoso dorme.",
    "猫が寝ている。",
    " \t ",
]


def slow(hypothesis: str, reference: str) -> float:
    score: float = sacrebleu.sentence_chrf(hypothesis, [reference]).score
    return score / 100


def test_chrf_is_sacrebleus() -> None:
    """Of every pair: empty texts, texts shorter than an n-gram, repeats, white space, scripts without any."""
    scores = chrf(TEXTS)

    for row, hypothesis in enumerate(TEXTS):
        for column, reference in enumerate(TEXTS):
            assert scores[row, column] == pytest.approx(slow(hypothesis, reference), abs=1e-12), (hypothesis, reference)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("count", [1, 3, 100])
def test_the_chosen_are_those_of_a_plain_loop(seed: int, count: int) -> None:
    """The highest mean against all others, a repeated draw counted as often as it was drawn and given back once."""
    numbers = random.Random(seed)
    texts = ["".join(numbers.choices("ab c", k=numbers.randrange(8))) for _ in range(12)]

    chosen = most_agreed(texts, count)

    means = [sum(slow(text, other) for m, other in enumerate(texts) if m != n) / 11 for n, text in enumerate(texts)]
    distinct = {text: max(means[n] for n, other in enumerate(texts) if other == text) for text in texts}
    wanted = sorted(distinct.values(), reverse=True)[:count]
    assert [score for _, score in chosen] == pytest.approx(wanted, abs=1e-12)
    assert len({texts[n] for n, _ in chosen}) == len(chosen) == min(count, len(distinct))
    assert [means[n] for n, _ in chosen] == pytest.approx([score for _, score in chosen], abs=1e-12)


def test_of_equals_the_first_draw_is_chosen() -> None:
    """Nothing depends on an order that is not the draws' own."""
    assert [n for n, _ in most_agreed(["b", "a", "c"], 3)] == [0, 1, 2]


def test_one_draw_is_its_own_choice() -> None:
    """It has no others to be compared with."""
    assert most_agreed(["a"], 1) == [(0, 0.0)]


def test_a_plan_draws_all_samples_and_keeps_as_many_as_are_asked_for(bundle: object) -> None:
    """Its segments are sampled; equal seeds draw equally, and a request that names none brings its own."""
    manifest = dataclasses.replace(bundle.manifest, decoding=Decoding(max_length=64))  # type: ignore[attr-defined]
    method = MinimumBayesRisk(4, Sampling(top_k=2))

    [plan] = plans(Request(("a",), method=method, seed=7), Bounds(8, 12, manifest))

    assert (plan.strategy, plan.engine) == (Sampling(7, top_k=2, epsilon=EPSILON), Engine.SAMPLING)
    assert (plan.decoding.num_hypotheses, plan.decoding.beam_size) == (4, 1)
    assert plan.chooser is not None
    assert [n for n, _ in plan.chooser(["x", "abc", "abd", "abc"])] == [1]


@pytest.mark.parametrize(("asked", "epsilon"), [(Sampling(1), EPSILON), (Sampling(1, epsilon=0.0), 0.0)])
def test_a_seed_alone_changes_nothing_else_of_the_draws(asked: Sampling, epsilon: float) -> None:
    """Improbable words are left out unless the request says how improbable, 0 included."""
    assert MinimumBayesRisk(4, asked).strategy(9) == dataclasses.replace(asked, epsilon=epsilon)


def test_a_default_number_of_hypotheses_gives_way_to_fewer_samples(bundle: object) -> None:
    """Nobody asked for it."""
    defaults = Decoding(max_length=64, beam_size=8, num_hypotheses=6)
    manifest = dataclasses.replace(bundle.manifest, decoding=defaults)  # type: ignore[attr-defined]

    [plan] = plans(Request(("a",), method=MinimumBayesRisk(4)), Bounds(8, 12, manifest))

    assert plan.chooser is not None
    assert len(plan.chooser(["a", "b", "c", "d"])) == 4

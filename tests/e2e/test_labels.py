"""The model that ships says labels alone: 1,000 random sources, greedily and with a beam, one label and several."""

import itertools
import random
from pathlib import Path

import pytest
from properties import tenth

from dragoman.server.app.translator import LocalTranslator
from dragoman.server.core.requests import DecodingOverrides, Request
from dragoman.server.decode.strategies.labels import Labels

BUNDLE = Path(__file__).parents[2] / "models" / "en-pt"
LABELS = ("sim", "não", "sim, claro", "talvez", "nunca", "o cão", "o cão preguiçoso", "a casa", "casa", "c")
WORDS = ("yes", "no", "the", "dog", "house", "never", "of", "course", "maybe", "lazy", "is", "not", "1999", "%s", "?")


@pytest.fixture(scope="module")
def translator():
    with LocalTranslator(BUNDLE, 2) as made:
        yield made


def sources(count):
    rng = random.Random(4)
    return tuple(" ".join(rng.choices(WORDS, k=rng.randint(1, 20))) for _ in range(count))


@pytest.mark.parametrize(("most", "beam", "count"), [(1, 1, 400), (1, 4, 200), (3, 1, 200), (3, 4, 200)])
def test_only_labels_are_said_and_none_twice(translator, most, beam, count):
    """Of each hypothesis, whatever the source is; the best are in order."""
    overrides = DecodingOverrides(beam_size=beam, num_hypotheses=beam)
    request = Request(sources(tenth(count)), overrides, Labels(LABELS, most, separator="; "))

    said = [[each.text for each in outcome.hypotheses] for outcome in translator.outcomes(request)]

    allowed = {"; ".join(each) for n in range(1, most + 1) for each in itertools.permutations(LABELS, n)}
    assert {text for texts in said for text in texts} <= allowed
    assert all(len(set(texts)) == len(texts) == beam for texts in said)
    assert len({texts[0] for texts in said}) > 1, "the source says which"


def test_the_label_is_the_one_that_score_gives_most(translator):
    """Greedy search may miss it; a beam as wide as there are labels does not."""
    texts = sources(20)
    wide = DecodingOverrides(beam_size=10, num_hypotheses=1, length_penalty=0.0)

    said = [outcome.hypotheses[0] for outcome in translator.outcomes(Request(texts, wide, Labels(LABELS)))]

    for text, best in zip(texts, said, strict=True):
        scored = translator.outcomes(Request((text,) * len(LABELS), targets=LABELS))
        scores = {label: one.hypotheses[0].log_probability for label, one in zip(LABELS, scored, strict=True)}
        assert best.log_probability == pytest.approx(max(scores.values()), abs=0.01)

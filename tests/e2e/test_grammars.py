"""The model that ships says texts of a grammar alone: 1,000 random sources, greedily, with a beam and by sampling."""

import random
import re
from pathlib import Path

import pytest
from properties import tenth

from dragoman.server.app.translator import LocalTranslator
from dragoman.server.core.requests import DecodingOverrides, Grammar, Request
from dragoman.server.core.segments import FinishReason
from dragoman.server.core.strategies import Beam
from dragoman.server.decode.strategies.sampling import Sampling

BUNDLE = Path(__file__).parents[2] / "models" / "en-pt"
WORDS = ("yes", "no", "(the", "dog)", "house", "((never", "of", "course", "maybe", ")", "is", "not", "1999", "%s", "?")
BALANCED = 'start: (WORD | "(" start ")" | "[" start "]")*\nWORD: /[ a-zà-ú]+/'
CLOSES = {")": "(", "]": "["}


@pytest.fixture(scope="module")
def translator():
    with LocalTranslator(BUNDLE, 2) as made:
        yield made


def sources(count):
    rng = random.Random(4)
    ends = rng.choices(("", "  ", "\n", "\t\n "), k=2 * count)
    texts = (" ".join(rng.choices(WORDS, k=rng.randint(1, 20))) for _ in range(count))
    return tuple(f"{ends[2 * n]}{text}{ends[2 * n + 1]}" for n, text in enumerate(texts))


def is_balanced(text):
    waiting = []
    for letter in text:
        if letter in CLOSES.values():
            waiting.append(letter)
        elif letter in CLOSES and (not waiting or waiting.pop() != CLOSES[letter]):
            return False
    return not waiting


@pytest.mark.parametrize(
    ("method", "beam", "number", "limit", "count"),
    [
        (Beam(), 1, 1, 40, 500),
        (Beam(), 4, 4, 40, 150),
        (Beam(), 4, 2, 7, 200),
        (Sampling(seed=1), 1, 1, 30, 100),
        (Sampling(seed=2, temperature=3.0), 1, 2, 12, 50),
    ],
)
def test_what_is_said_is_balanced_and_whole(translator, method, beam, number, limit, count):
    """Every hypothesis, whatever the source is, and at the limit of its length as well."""
    overrides = DecodingOverrides(beam_size=beam, num_hypotheses=number, max_length=limit)
    request = Request(sources(tenth(count)), overrides, method, grammar=Grammar(lark=BALANCED))

    said = [hypothesis for outcome in translator.outcomes(request) for hypothesis in outcome.hypotheses]

    assert [each.text for each in said if not is_balanced(each.text)] == []
    assert {each.finish_reason for each in said} == {FinishReason.STOP}
    assert len({each.text for each in said}) > tenth(count) / 4, "the source says what"


def test_a_regular_expression_holds_for_all_of_a_text(translator):
    """With nothing of the source around it; what has no end within the limit is said to be incomplete."""
    texts = sources(100)
    dates = Request(texts, grammar=Grammar(regex=r"[0-3][0-9]/[01][0-9]/\d{4}( ?, [a-z]{2,9})?"))
    for outcome in translator.outcomes(dates):
        assert re.fullmatch(r"[0-3][0-9]/[01][0-9]/\d{4}( ?, [a-z]{2,9})?", outcome.hypotheses[0].text)
    long = Request(texts, DecodingOverrides(max_length=5), grammar=Grammar(regex="[0-9]{99}"))
    assert {outcome.finish_reason for outcome in translator.outcomes(long)} == {FinishReason.LENGTH}


def test_where_the_model_lacks_a_character_the_search_ends_and_says_so(translator):
    """Its vocabulary has no braces: nothing else comes of it."""
    [outcome] = translator.outcomes(Request(("yes",), grammar=Grammar(regex=r"[a-z]+ \{[a-z]+\}")))
    assert outcome.finish_reason in (FinishReason.GRAMMAR, FinishReason.LENGTH)
    [beams] = translator.outcomes(
        Request(("yes",), DecodingOverrides(beam_size=4), grammar=Grammar(regex=r"(sim|não)(\{a\}| claro)"))
    )
    assert beams.finish_reason is FinishReason.STOP
    assert beams.hypotheses[0].text in ("sim claro", "não claro")


def test_what_a_grammar_allows_anyway_comes_out_as_without_it(translator):
    """Word by word and score by score: nothing is searched otherwise."""
    texts = ("The dog is lazy.", "Where is the house?", "Never mind what the others say.")
    for beam in (1, 4):
        overrides = DecodingOverrides(beam_size=beam, num_hypotheses=beam, shortlist=False)
        free = translator.outcomes(Request(texts, overrides))
        bound = translator.outcomes(Request(texts, overrides, grammar=Grammar(regex=r"[\s\S]*")))
        for one, other in zip(free, bound, strict=True):
            assert [h.text for h in one.hypotheses] == [h.text for h in other.hypotheses]
            assert [h.score for h in one.hypotheses] == pytest.approx([h.score for h in other.hypotheses], abs=0.05)

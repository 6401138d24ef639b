"""CTC: collapsing and the prefix beam, against loops and against the sum over all ways."""

import itertools
import math
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest

from dragoman.bundle.manifest import Decoding, Nat, Tokenizer
from dragoman.server.core.segments import FinishReason, Segment
from dragoman.server.decode.ctc import NOTHING, Reader, collapse, greedy, prefix_beam
from dragoman.server.decode.strategies.nat import NonAutoregressive

BLANK = 4
WORDS = Tokenizer("sentencepiece", "-", "-", 0, 1, 99)
CTC = Nat("ctc", 1, 64, "split", upsample=2, blank_id=BLANK, refines=True)


def text_of(places: tuple[int, ...], blank: int = BLANK) -> tuple[int, ...]:
    """What places say, word by word."""
    found, before = [], None
    for word in places:
        if word not in (before, blank):
            found.append(word)
        before = word
    return tuple(found)


def random_places(seed: int, places: int, words: int) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(size=(places, words)) * 2
    return logits - np.log(np.exp(logits).sum(1, keepdims=True))


def all_of(logp: np.ndarray) -> np.ndarray:
    """Every word is a candidate of every place, best first."""
    return np.argsort(-logp, axis=1, kind="stable")


def test_collapsing_equals_a_loop():
    """All sequences of six places over two words and a blank."""
    for places in itertools.product((2, 3, BLANK), repeat=6):
        ids = np.array(places)
        assert tuple(ids[collapse(ids, BLANK)].tolist()) == text_of(places)


@pytest.mark.parametrize("seed", range(20))
def test_greedy_scores_the_one_way_that_it_takes(seed):
    """Parts add up to the whole: one for each token, what comes before the first being its own."""
    logp = random_places(seed, 9, 5)
    ids, best = logp.argmax(1), logp.max(1)

    tokens, logps = greedy(ids, best, BLANK)

    assert tokens == text_of(tuple(ids.tolist()))
    assert math.fsum(logps) == pytest.approx(best.sum())
    assert len(logps) == max(1, len(tokens))


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("places", [1, 3, 5])
def test_a_beam_without_bounds_adds_up_all_ways(seed, places):
    """Every text, and its log-probability over all sequences of places that say it."""
    logp = random_places(seed, places, 5)
    total: dict[tuple[int, ...], float] = defaultdict(lambda: -math.inf)
    for way in itertools.product(range(5), repeat=places):
        total[text_of(way)] = np.logaddexp(total[text_of(way)], sum(logp[t, word] for t, word in enumerate(way)))
    order = all_of(logp)

    found = prefix_beam(order, np.take_along_axis(logp, order, 1), BLANK, width=10_000)

    assert dict(found) == pytest.approx(dict(total))
    assert [logp for _, logp in found] == sorted((logp for _, logp in found), reverse=True)


@pytest.mark.parametrize("seed", range(30))
def test_a_beam_finds_no_worse_a_text_than_greedy(seed):
    """A text's ways together are at least as probable as the best of them."""
    logp = random_places(seed, 12, 5)
    order = all_of(logp)

    _, best = prefix_beam(order, np.take_along_axis(logp, order, 1), BLANK, width=8)[0]
    _, greedy_logps = greedy(logp.argmax(1), logp.max(1), BLANK)

    assert best >= math.fsum(greedy_logps)


def read(logp: np.ndarray, *, suppressed: tuple[int, ...] = (), **decoding):
    strategy = NonAutoregressive("ctc")
    segment = Segment((5, 0), replace(Decoding(max_length_factor=50.0), **decoding), None, strategy)
    reader = Reader(replace(segment, suppressed_ids=suppressed), CTC, WORDS)
    return told(reader, logp)


def told(reader: Reader, logp: np.ndarray):
    order = all_of(logp)[:, : reader.num_best]
    return reader.fill(np.take_along_axis(logp, order, 1).astype(np.float32), order)


def peaked(*words: int) -> np.ndarray:
    """Places that are almost certain of a word each, and then hold the next lower one for the likeliest."""
    logp = np.full((len(words), 5), -9.0)
    for place, word in enumerate(words):
        logp[place, word], logp[place, word - 1] = -0.1, -3.0
    return logp


@pytest.mark.parametrize("beam_size", [1, 3])
def test_a_text_ends_at_its_end_token_or_at_the_limit(beam_size):
    """What stands behind the end is dropped; a longer text than is allowed is cut, and says so."""
    (ended,) = read(peaked(2, 3, 0, 2), beam_size=beam_size)
    (cut,) = read(peaked(2, 3, 2, 3), beam_size=beam_size, max_length=3)

    assert (ended.ids, ended.reason) == ((2, 3), FinishReason.STOP)
    assert (cut.ids, cut.reason) == ((2, 3), FinishReason.LENGTH)


def test_words_that_are_forbidden_give_way_to_the_next_best():
    """Each place by itself; the blank can not be forbidden. Token scores add up, the end's included."""
    (found,) = read(peaked(3, BLANK, 3, 2), suppressed=(3,))

    assert found.ids == (2, 2)  # the last place merges with the one before it
    assert len(found.token_logps) == 3
    assert found.logp == pytest.approx(-3.0 - 0.1 - 3.0 - 0.1)
    assert found.score == pytest.approx(found.logp / 4)


def test_a_beam_gives_as_many_texts_as_are_wanted():
    """Best first."""
    logp = random_places(3, 6, 5)
    logp[:, 0] = -30.0  # hardly ever the end

    found = read(logp, beam_size=6, num_hypotheses=4, unknown_handling="allow")

    assert len({one.ids for one in found}) == 4
    assert [one.logp for one in found] == sorted((one.logp for one in found), reverse=True)


def test_a_pass_shows_its_words_to_the_next():
    """In their places, repeats among them; a blank shows nothing. What the last pass says is the text."""
    segment = Segment((5, 6, 0), Decoding(max_length_factor=50.0), None, NonAutoregressive("ctc", passes=3))
    reader = Reader(segment, CTC, WORDS)
    assert reader.shown.tolist() == [NOTHING] * 6

    assert told(reader, peaked(2, BLANK, 3, 3, BLANK, 2)) is None
    assert reader.shown.tolist() == [2, NOTHING, 3, 3, NOTHING, 2]
    assert told(reader, peaked(2, BLANK, 3, 2, 3, BLANK)) is None
    assert reader.shown.tolist() == [2, NOTHING, 3, 2, 3, NOTHING]
    (found,) = told(reader, peaked(3, BLANK, BLANK, 2, BLANK, BLANK))

    assert (found.ids, reader.passes) == ((3, 2), 3)


def test_a_pass_that_says_the_same_again_is_the_last():
    """However many were asked for, and whichever places say it."""
    segment = Segment((5, 6, 0), Decoding(max_length_factor=50.0), None, NonAutoregressive("ctc", passes=9))
    reader = Reader(segment, CTC, WORDS)

    assert told(reader, peaked(2, 2, 3)) is None
    (found,) = told(reader, peaked(2, BLANK, 3))

    assert (found.ids, reader.passes) == ((2, 3), 2)

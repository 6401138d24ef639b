"""The words that sources may choose from, and what the decoder says of them."""

from dataclasses import replace

import numpy as np
import pytest
from fake_runtime import FAKE_WORDS, FakeRuntime

from dragoman.bundle.graphs import CANDIDATES, STEP_SHORTLIST
from dragoman.server.batches.output_words import Words
from dragoman.server.batches.shortlist import Shortlist
from dragoman.server.batches.step_batch import tree_batch
from dragoman.server.decode.layout import Layout

LISTS = Shortlist(
    2, np.arange(FAKE_WORDS + 1), (np.arange(FAKE_WORDS) + 7) % FAKE_WORDS, vocabulary=FAKE_WORDS, eos_id=0
)
"""Word n may become the word 7 behind it, besides the lowest ones that fill a list up to a multiple of 8."""


@pytest.fixture
def runtime() -> FakeRuntime:
    return FakeRuntime(STEP_SHORTLIST, CANDIDATES)


def test_a_source_says_words_of_its_list_and_no_others(runtime, work):
    """Whoever shares the steps; alone it says the same."""
    asked = work.segments(20)

    def decoded(segments, places):
        batch = tree_batch(runtime, LISTS, layout=Layout.of(segments[0]), capacity=6)
        return work.run(runtime, batch, segments, places=places)

    together = decoded(asked, 6)

    for n, segment in enumerate(asked):
        (hypothesis,) = together[n].hypotheses
        assert set(hypothesis.ids) <= set(LISTS.candidates(segment.ids).tolist())
        assert decoded([segment], 1)[0].hypotheses == (hypothesis,)
    assert any(together[n].hypotheses[0].ids != work.greedily(runtime, one) for n, one in enumerate(asked))


def test_counting_words_runs_no_graph(runtime):
    """The rows of the output layer are looked up when they are fed, and again only after others have joined."""
    words = Words(runtime, LISTS)
    words.admit((5, 0))
    assert len(words) == len(words) > 0
    assert runtime.runs == []

    words.feed()
    words.feed()
    words.admit((6, 0))
    words.feed()
    words.remove(0)
    words.feed()

    assert runtime.runs == [CANDIDATES, CANDIDATES]


def test_the_whole_vocabulary_needs_no_lists(runtime):
    """Without a shortlist graphs are fed nothing besides."""
    words = Words(runtime, None)
    words.admit((5, 0))

    assert (len(words), words.feed()) == (FAKE_WORDS, {})


def test_words_that_are_named_are_found_among_the_candidates(runtime, work):
    """A repetition penalty asks for words by their ids; over a shortlist graphs know them by their place."""
    penalised = work.segments(1, ids=(5, 6, 7, 8, 9, 10, 0), decoding=replace(work.GREEDY, repetition_penalty=50.0))
    batch = tree_batch(runtime, LISTS, layout=Layout.of(penalised[0]), capacity=1)

    (hypothesis,) = work.run(runtime, batch, penalised, places=1)[0].hypotheses

    assert len(set(hypothesis.ids)) == len(hypothesis.ids) > 1, "no word is said twice"

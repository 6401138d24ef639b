"""Sources that are searched together: trees of one layout, over a model that is a table."""

from dataclasses import replace

import numpy as np
import pytest
from fake_runtime import FakeRuntime

from dragoman.bundle.manifest import Decoding
from dragoman.server.batches.encoding import encode
from dragoman.server.batches.step_batch import StepBatch, tree_batch
from dragoman.server.core.segments import FinishReason, Segment
from dragoman.server.core.strategies import Engine
from dragoman.server.decode.layout import Layout
from dragoman.server.decode.strategies.forced import Forced

KINDS = {
    "keys and values": {},
    "relative positions": {"positions": "relative", "relative_buckets": 4, "relative_distance": 3},
    "states": {"decoder": "ssru"},
}
BEAM = Decoding(beam_size=4, num_hypotheses=4, max_length=20)


def a_batch(runtime: FakeRuntime, segment: Segment, capacity: int = 6) -> StepBatch[int]:
    return tree_batch(runtime, None, layout=Layout.of(segment), capacity=capacity)


@pytest.fixture(params=KINDS)
def runtime(request: pytest.FixtureRequest) -> FakeRuntime:
    return FakeRuntime(**KINDS[request.param])


def test_greedy_search_says_the_best_word_each_time(runtime, work):
    """Of every kind of decoder, whoever shares the steps: 40 sources, six at a time."""
    segments = work.segments(40)

    finished = work.run(runtime, a_batch(runtime, segments[0]), segments, places=6)

    for n, segment in enumerate(segments):
        (hypothesis,) = finished[n].hypotheses
        assert hypothesis.ids == work.greedily(runtime, segment)
        assert finished[n].engine is Engine.GREEDY
        assert finished[n].steps == len(hypothesis.token_logps)


def test_a_beam_is_the_same_alone_and_among_others(runtime, work):
    """To the last bit, of sources that join and leave at different steps."""
    segments = work.segments(24, decoding=BEAM)

    together = work.run(runtime, a_batch(runtime, segments[0]), segments, places=6)

    for n, segment in enumerate(segments):
        alone = work.run(runtime, a_batch(runtime, segment), [segment], places=1)[0]
        assert together[n].hypotheses == alone.hypotheses


def test_log_probabilities_are_those_of_the_model(runtime, work):
    """Each token of each hypothesis of a beam has what the model says behind its own ancestors."""
    segments = work.segments(8, decoding=BEAM)

    finished = work.run(runtime, a_batch(runtime, segments[0]), segments, places=6)

    for n, segment in enumerate(segments):
        for hypothesis in finished[n].hypotheses:
            words = (*hypothesis.ids, 0)[: len(hypothesis.token_logps)]
            expected = [runtime.logp(segment.ids, words[:at])[word] for at, word in enumerate(words)]
            assert hypothesis.token_logps == pytest.approx(expected)


def test_a_forced_target_costs_what_the_model_gives_it(runtime, work):
    """No search at all: its words come back, and the log-probabilities of each and of the end."""
    (segment,) = work.segments(1, ids=(5, 6, 7, 0), strategy=Forced((9, 3, 9)))

    (hypothesis,) = work.run(runtime, a_batch(runtime, segment), [segment], places=1)[0].hypotheses

    assert hypothesis.ids == (9, 3, 9)
    expected = [runtime.logp(segment.ids, (9, 3, 9, 0)[:at])[word] for at, word in enumerate((9, 3, 9, 0))]
    assert hypothesis.token_logps == pytest.approx(expected)


def test_one_that_is_dropped_changes_no_other(runtime, work):
    """It leaves in the middle, and says how many target positions were decoded for it."""
    segments = work.segments(6, decoding=replace(BEAM, min_length=8))
    batch = a_batch(runtime, segments[0])
    for n, segment in enumerate(segments):
        batch.admit(n, segment, encode(runtime, [segment])[0])
    finished = dict(done for _ in range(3) for done in batch.step())

    steps = batch.drop(2)

    while len(batch):
        finished |= dict(batch.step())
    assert steps == 3
    assert finished.keys() == {0, 1, 3, 4, 5}
    for n, done in finished.items():
        alone = work.run(runtime, a_batch(runtime, segments[n]), [segments[n]], places=1)[0]
        assert done.hypotheses == alone.hypotheses


def test_a_source_whose_numbers_are_not_finite_leaves_without_hypotheses(runtime, work):
    """It alone: those beside it are as they are without it."""
    segments = work.segments(4, ids=(5, 6, 7, 0))
    batch = a_batch(runtime, segments[0])
    for n, segment in enumerate(segments):
        batch.admit(n, segment, encode(runtime, [segment])[0])
    step = runtime.step

    def broken(graph, feed, *, attention):
        said, new = step(graph, feed, attention=attention)
        said["topk_logp"][1] = np.nan
        return said, new

    runtime.step = broken
    first = batch.step()
    runtime.step = step

    assert [(n, done.hypotheses) for n, done in first] == [(1, ())]
    rest = {}
    while len(batch):
        rest |= {n: done.hypotheses[0].ids for n, done in batch.step()}
    assert rest == dict.fromkeys((0, 2, 3), work.greedily(runtime, segments[0]))


def test_a_limit_ends_what_goes_on(work):
    """LENGTH is the reason where the end token has not come by then."""
    runtime = FakeRuntime()
    segments = work.segments(20, decoding=Decoding(max_length=3, beam_size=1))

    finished = work.run(runtime, a_batch(runtime, segments[0]), segments, places=6)

    for n, segment in enumerate(segments):
        (hypothesis,) = finished[n].hypotheses
        assert hypothesis.ids == work.greedily(runtime, segment)
        assert (hypothesis.reason is FinishReason.LENGTH) == (len(hypothesis.ids) == segment.max_target_tokens)


def test_rows_and_lengths_are_told(work):
    """What a lane measures by: places of a step's level, live ones, and the longest source."""
    runtime, segments = FakeRuntime(), work.segments(5, decoding=BEAM)
    batch = a_batch(runtime, segments[0])
    for n, segment in enumerate(segments):
        batch.admit(n, segment, encode(runtime, [segment])[0])

    assert (batch.rows, batch.num_live) == (20, 5)
    batch.step()
    assert batch.num_live > 5
    assert batch.owners == [0, 1, 2, 3, 4]

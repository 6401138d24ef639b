"""Sources that get several words a round: by drafts, or by strides. What comes out is greedy search's."""

import numpy as np
import pytest
from fake_runtime import FakeRuntime

from dragoman.bundle.graphs import STEP, STRIDE
from dragoman.bundle.manifest import Decoding
from dragoman.server.batches.drafting import Speculation
from dragoman.server.batches.encoding import encode
from dragoman.server.batches.step_batch import STRIDE_STEPS, StepBatch, chain_batch
from dragoman.server.core.ports import LaneObserver
from dragoman.server.core.strategies import DraftSource, Engine, Lossy
from dragoman.server.decode.draft_costs import Costs
from dragoman.server.decode.strategies.speculative import Speculative


class Drafts:
    """Drafts that are right, partly right, wrong, too short or none, by the round."""

    def __init__(self, runtime, greedily):
        self.runtime, self.greedily, self.segments, self.rounds = runtime, greedily, [], 0

    def admit(self, segment, source):
        self.segments.append(segment)

    def remove(self, row):
        self.segments[row] = self.segments[-1]
        del self.segments[-1]

    def draft(self, prefixes, count):
        self.rounds += 1
        drafts = []
        for n, (segment, prefix) in enumerate(zip(self.segments, prefixes, strict=True)):
            right = [*self.greedily(self.runtime, segment), 0][len(prefix) :][:count]
            wrong = [*right[:1], *[3] * (count - 1)][:count]
            drafts.append([right, wrong, right[:1], [4] * count, []][(self.rounds + n) % 5])
        return drafts


class SecondBest(Drafts):
    """Drafts the second best word."""

    def draft(self, prefixes, count):
        pairs = zip(self.segments, prefixes, strict=True)
        return [[int(self.runtime.logp(segment.ids, prefix).argsort()[-2])] for segment, prefix in pairs]


class Always(Costs):
    """Drafts always pay."""

    def wants_drafts(self, sources):
        return True


class Told(LaneObserver):
    """Writes down what it is told of drafts."""

    def __init__(self, drafted):
        self._drafted = drafted

    def on_drafts(self, sources, drafted, accepted, stops_at):
        self._drafted.append((sources, drafted, accepted))


def drafting(runtime, drafter, drafted, *, lossy=None, judge=None) -> StepBatch[int]:
    strategy = Speculative(DraftSource.SOURCE, 3, lossy=lossy)
    speculation = Speculation(strategy, drafter, judge or Always(), Told(drafted))
    return chain_batch(runtime, None, speculation, capacity=5, has_stride=False)


def strides(runtime) -> StepBatch[int]:
    return chain_batch(runtime, None, None, capacity=5, has_stride=True)


def test_whatever_is_drafted_greedy_search_is_what_comes_out(work):
    """Right drafts save steps, wrong ones cost rows; no word depends on either."""
    runtime, drafted = FakeRuntime(), []
    segments = work.segments(40)

    finished = work.run(runtime, drafting(runtime, Drafts(runtime, work.greedily), drafted), segments, places=5)

    for n, segment in enumerate(segments):
        assert finished[n].hypotheses[0].ids == work.greedily(runtime, segment)
    assert sum(done.steps for done in finished.values()) < sum(
        len(d.hypotheses[0].token_logps) for d in finished.values()
    )
    assert sum(done.work.accepted_tokens for done in finished.values()) == sum(number for *_, number in drafted) > 0
    assert sum(done.work.drafted_tokens for done in finished.values()) == sum(number for _, number, _ in drafted)
    assert {done.engine for done in finished.values() if done.work.drafted_tokens} == {Engine.SPECULATIVE}


def test_a_batch_whose_drafts_do_not_pay_takes_single_steps(work):
    """The judge is asked in each round; a translation that nothing was drafted for is greedy search's own."""

    class Never(Costs):
        def wants_drafts(self, sources):
            return False

    runtime, drafted = FakeRuntime(), []
    segments = work.segments(10)

    finished = work.run(
        runtime, drafting(runtime, Drafts(runtime, work.greedily), drafted, judge=Never()), segments, places=5
    )

    assert drafted == []
    assert {done.engine for done in finished.values()} == {Engine.GREEDY}
    assert [finished[n].hypotheses[0].ids for n in range(10)] == [work.greedily(runtime, one) for one in segments]


def test_a_lossy_draft_may_stand_where_it_is_likely_enough(work):
    """Words among the two most probable ones are kept; so the translation may be another, and says so."""
    runtime = FakeRuntime()
    lossy = Lossy(top=2, margin=100.0)
    segments = work.segments(10, strategy=Speculative(DraftSource.SOURCE, 3, lossy=lossy))
    batch = drafting(runtime, SecondBest(runtime, work.greedily), [], lossy=lossy)

    finished = work.run(runtime, batch, segments, places=5)

    assert {done.engine for done in finished.values()} == {Engine.SPECULATIVE_LOSSY}
    assert any(finished[n].hypotheses[0].ids != work.greedily(runtime, one) for n, one in enumerate(segments))


@pytest.mark.parametrize("arch", [{}, {"decoder": "ssru"}], ids=["keys and values", "states"])
def test_strides_are_steps(work, arch):
    """Four at a time: as many rounds as fours of words, where the best word is never one that must not be said."""
    runtime = FakeRuntime(STRIDE, **arch)
    segments = work.segments(40, decoding=Decoding(max_length=20, beam_size=1, unknown_handling="keep"))

    finished = work.run(runtime, strides(runtime), segments, places=5)

    for n, segment in enumerate(segments):
        (hypothesis,) = finished[n].hypotheses
        words = (*hypothesis.ids, 0)[: len(hypothesis.token_logps)]
        assert [int(runtime.logp(segment.ids, words[:at]).argmax()) for at in range(len(words))] == list(words)
        assert finished[n].steps == -(-len(words) // STRIDE_STEPS)
    assert STEP not in runtime.runs


def test_a_stride_goes_on_from_the_word_that_is_chosen(work):
    """Where the best word is the unknown one, which must not be said, what was read behind it is thrown away."""
    runtime = FakeRuntime(STRIDE)
    segments = work.segments(40)

    finished = work.run(runtime, strides(runtime), segments, places=5)

    assert [finished[n].hypotheses[0].ids for n in range(40)] == [work.greedily(runtime, one) for one in segments]
    assert any(done.steps > -(-len(done.hypotheses[0].token_logps) // STRIDE_STEPS) for done in finished.values())


def test_what_lies_before_a_number_that_is_none_stands(work):
    """A source whose first place is no number is lost; one with a later such place goes on from before it."""
    runtime = FakeRuntime(STRIDE)
    segments = work.segments(4, ids=(5, 6, 7, 0))
    batch, run = strides(runtime), runtime.run
    for n, segment in enumerate(segments):
        batch.admit(n, segment, encode(runtime, [segment])[0])

    def broken(graph, feed):
        said = run(graph, feed)
        if graph == STRIDE:
            said["topk_logp"][0, 1] = said["topk_logp"][2, 3] = np.nan
        return said

    runtime.run = broken
    first = batch.step()
    runtime.run = run

    assert [(n, done.hypotheses) for n, done in first if not done.hypotheses] == [(1, ())]
    rest = {n: done.hypotheses[0].ids for n, done in first if done.hypotheses}
    while len(batch):
        rest |= {n: done.hypotheses[0].ids for n, done in batch.step()}
    assert rest == dict.fromkeys((0, 2, 3), work.greedily(runtime, segments[0]))


def test_one_that_is_dropped_changes_no_other(work):
    """It leaves between rounds, and says how many words it had."""
    runtime = FakeRuntime(STRIDE)
    segments = work.segments(5, decoding=Decoding(max_length=20, beam_size=1, unknown_handling="keep"))
    alone = {n: work.run(runtime, strides(runtime), [one], places=1)[0] for n, one in enumerate(segments)}
    batch = strides(runtime)
    for n, segment in enumerate(segments):
        batch.admit(n, segment, encode(runtime, [segment])[0])
    finished = dict(batch.step())
    staying = batch.owners[0]

    assert batch.drop(staying) == STRIDE_STEPS

    while len(batch):
        finished |= dict(batch.step())
    assert {n: done.hypotheses for n, done in finished.items()} == {
        n: done.hypotheses for n, done in alone.items() if n != staying
    }

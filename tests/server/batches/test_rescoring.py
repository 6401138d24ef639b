"""Translations that are scored again by the autoregressive decoder before they leave."""

from dataclasses import replace

import numpy as np
import pytest
from fake_runtime import FAKE_WORDS, FakeRuntime

from dragoman.bundle.graphs import STEP
from dragoman.bundle.manifest import Decoding
from dragoman.server.batches.canvas_batch import CanvasBatch
from dragoman.server.batches.encoding import encode
from dragoman.server.batches.rescoring import Rescored
from dragoman.server.core.segments import FinishReason
from dragoman.server.decode.strategies.nat import NonAutoregressive
from dragoman.server.runtime import run_limits

STRATEGY = NonAutoregressive("ctc", rescore=True)
BEAM = Decoding(max_length=20, beam_size=6, num_hypotheses=2)


@pytest.fixture
def runtime(work) -> FakeRuntime:
    return FakeRuntime(nat=work.NAT)


def a_group(runtime: FakeRuntime) -> Rescored[int]:
    return Rescored(CanvasBatch(runtime, None, name="ctc", capacity=6), runtime)


def test_hypotheses_have_the_other_decoders_log_probabilities(runtime, work):
    """Of each word and of the end, and they come in the order of those; one more step was taken."""
    asked = work.segments(12, strategy=STRATEGY, decoding=BEAM)

    finished = work.run(runtime, a_group(runtime), asked, places=6, hidden=True)

    for n, segment in enumerate(asked):
        for hypothesis in finished[n].hypotheses:
            words = (*hypothesis.ids, *(() if hypothesis.reason is FinishReason.LENGTH else (0,)))
            expected = [runtime.logp(segment.ids, words[:at])[word] for at, word in enumerate(words)]
            assert hypothesis.token_logps == pytest.approx(expected)
        scores = [hypothesis.score for hypothesis in finished[n].hypotheses]
        assert scores == sorted(scores, reverse=True)
        assert len(scores) <= BEAM.num_hypotheses
        assert finished[n].steps == 1


@pytest.mark.parametrize(("limit", "most"), [("MAX_LOGITS", 12 * FAKE_WORDS), ("MAX_SCORES", 2 * 10 * 40)])
def test_what_is_too_much_for_one_run_is_scored_in_turn(runtime, work, monkeypatch, limit, most):
    """Candidates of one source may be in several runs, one at least in each; what comes of them is the same."""
    asked = work.segments(12, strategy=STRATEGY, decoding=BEAM)
    together = work.run(runtime, a_group(runtime), asked, places=6, hidden=True)
    num_together = runtime.runs.count(STEP)
    monkeypatch.setattr(run_limits, limit, most)

    in_turn = work.run(runtime, a_group(runtime), asked, places=6, hidden=True)

    assert {n: done.hypotheses for n, done in in_turn.items()} == {n: done.hypotheses for n, done in together.items()}
    assert runtime.runs.count(STEP) > 4 * num_together


def test_the_choice_is_among_all_that_were_found(runtime, work):
    """The best by the other decoder may be one that is not among the first by its own."""
    asked = work.segments(20, strategy=STRATEGY, decoding=replace(BEAM, num_hypotheses=1))
    plain = [replace(one, strategy=replace(STRATEGY, rescore=False)) for one in asked]

    rescored = work.run(runtime, a_group(runtime), asked, places=6, hidden=True)
    first = work.run(runtime, CanvasBatch(runtime, None, name="ctc", capacity=6), plain, places=6, hidden=True)

    assert any(rescored[n].hypotheses[0].ids != first[n].hypotheses[0].ids for n in range(20))


def test_nothing_is_run_while_nothing_is_finished(runtime, work):
    """And a source that leaves unfinished is forgotten."""
    (segment,) = work.segments(1, ids=(5, 6, 0), strategy=replace(STRATEGY, passes=9), decoding=BEAM)
    group = a_group(runtime)
    group.admit(0, segment, encode(runtime, [segment], hidden=True)[0])
    group.step()

    group.drop(0)

    assert STEP not in runtime.runs
    assert len(group) == 0


def test_a_source_without_hypotheses_leaves_without(runtime, work):
    """Numbers that are not finite are not scored."""
    (segment,) = work.segments(1, ids=(5, 6, 0), strategy=STRATEGY, decoding=BEAM)
    group, run = a_group(runtime), runtime.run
    group.admit(0, segment, encode(runtime, [segment], hidden=True)[0])
    runtime.run = lambda graph, feed: {name: tensor * np.nan for name, tensor in run(graph, feed).items()}

    ((_, done),) = group.step()

    assert done.hypotheses == ()
    assert STEP not in runtime.runs

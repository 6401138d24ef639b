"""Sources whose canvases are filled together: mask-predict and CTC over a model that is a table."""

from dataclasses import replace

import numpy as np
import pytest
from fake_runtime import FAKE_WORDS, FakeRuntime

from dragoman.server.batches.canvas_batch import CanvasBatch
from dragoman.server.batches.encoding import encode
from dragoman.server.core.strategies import Engine
from dragoman.server.decode.strategies.nat import NonAutoregressive
from dragoman.server.runtime import run_limits

STRATEGIES = {
    "ctc": NonAutoregressive("ctc", passes=3),
    "mask-predict": NonAutoregressive("mask-predict", passes=4, length_candidates=3),
}


@pytest.fixture
def runtime(work) -> FakeRuntime:
    return FakeRuntime(nat=work.NAT)


@pytest.fixture(params=STRATEGIES)
def decoder(request: pytest.FixtureRequest) -> str:
    return request.param


def a_batch(runtime: FakeRuntime, decoder: str) -> CanvasBatch[int]:
    return CanvasBatch(runtime, None, name=decoder, capacity=6)


def segments(work, count: int, decoder: str, **strategy):
    return work.segments(count, strategy=replace(STRATEGIES[decoder], **strategy))


def test_a_source_is_the_same_alone_and_among_others(runtime, decoder, work):
    """Joining at any pass, with its own number of them, to the last bit."""
    asked = [one for passes in (1, 2, 4) for one in segments(work, 8, decoder, passes=passes)]

    together = work.run(runtime, a_batch(runtime, decoder), asked, places=6, hidden=True)

    for n, segment in enumerate(asked):
        alone = work.run(runtime, a_batch(runtime, decoder), [segment], places=1, hidden=True)[0]
        assert (together[n].hypotheses, together[n].work) == (alone.hypotheses, alone.work)
        assert 1 <= together[n].work.nat_passes <= segment.strategy.passes
        assert together[n].engine is Engine.NAT


def test_one_pass_of_ctc_is_each_places_best(runtime, work):
    """Read off by hand: a place says what the table has for its word, repeats are one, blanks are nothing."""
    asked = segments(work, 10, "ctc", passes=1)

    finished = work.run(runtime, a_batch(runtime, "ctc"), asked, places=6, hidden=True)

    for n, segment in enumerate(asked):
        states = np.repeat(segment.ids, 2) + np.arange(2 * len(segment.ids)) + (1 << 30)  # it shows nothing yet
        logp = runtime._table[states % len(runtime._table)].copy()
        logp[:, 1] = -np.inf
        best = logp.argmax(1).tolist()
        said = [word for word, before in zip(best, [2, *best], strict=False) if word not in (before, 2)]
        said = said[: said.index(0)] if 0 in said else said
        assert finished[n].hypotheses[0].ids == tuple(said[: segment.max_target_tokens - 1])


def test_an_exact_length_is_exact(runtime, work):
    """Whatever the source's length is, and however many passes there are."""
    asked = segments(work, 8, "mask-predict", exact_length=5)

    finished = work.run(runtime, a_batch(runtime, "mask-predict"), asked, places=6, hidden=True)

    assert {len(done.hypotheses[0].ids) for done in finished.values()} == {5}


@pytest.mark.parametrize(("limit", "most"), [("MAX_LOGITS", 40 * FAKE_WORDS), ("MAX_SCORES", 3 * 2 * 16**2)])
def test_what_is_too_much_for_one_run_goes_in_turn(runtime, decoder, work, monkeypatch, limit, most):
    """Those that came first go first, one at least in each pass; the texts are the same."""
    asked = segments(work, 12, decoder)
    together = work.run(runtime, a_batch(runtime, decoder), asked, places=6, hidden=True)
    num_together = len(runtime.runs)
    monkeypatch.setattr(run_limits, limit, most)

    in_turn = work.run(runtime, a_batch(runtime, decoder), asked, places=6, hidden=True)

    assert {n: done.hypotheses for n, done in in_turn.items()} == {n: done.hypotheses for n, done in together.items()}
    assert len(runtime.runs) > 2 * num_together


def test_one_that_is_dropped_changes_no_other(runtime, decoder, work):
    """Before its first pass, or between passes; what it says is how many passes it had."""
    asked = segments(work, 6, decoder)
    alone = {
        n: work.run(runtime, a_batch(runtime, decoder), [one], places=1, hidden=True)[0] for n, one in enumerate(asked)
    }
    batch = a_batch(runtime, decoder)
    for n, segment in enumerate(asked[:5]):
        batch.admit(n, segment, encode(runtime, [segment], hidden=True)[0])
    finished = dict(batch.step())
    batch.admit(5, asked[5], encode(runtime, asked[5:], hidden=True)[0])
    old = batch.owners[0]

    assert (batch.drop(old), batch.drop(5)) == (1, 0)

    while len(batch):
        finished |= dict(batch.step())
    assert {n: done.hypotheses for n, done in finished.items()} == {
        n: done.hypotheses for n, done in alone.items() if n not in (old, 5)
    }


def test_a_source_whose_numbers_are_not_finite_leaves_without_hypotheses(runtime, decoder, work):
    """It alone: those beside it are as they are without it."""
    asked = segments(work, 4, decoder)
    alone = {
        n: work.run(runtime, a_batch(runtime, decoder), [one], places=1, hidden=True)[0] for n, one in enumerate(asked)
    }
    batch, run = a_batch(runtime, decoder), runtime.run
    for n, segment in enumerate(asked):
        batch.admit(n, segment, encode(runtime, [segment], hidden=True)[0])

    def broken(graph, feed):
        said = run(graph, feed)
        if "topk_logp" in said:
            said["topk_logp"][-1] = np.nan
        return said

    runtime.run = broken
    finished = {n: done.hypotheses for n, done in batch.step()}
    runtime.run = run

    assert finished.pop(3) == ()
    while len(batch):
        finished |= {n: done.hypotheses for n, done in batch.step()}
    assert finished == {n: done.hypotheses for n, done in alone.items() if n != 3}


def test_rows_are_the_canvases_of_the_next_pass(runtime, work):
    """One a source of CTC; of mask-predict one a source until its lengths are known, then one for each of them."""
    for decoder, after in (("ctc", 3), ("mask-predict", 9)):
        batch = a_batch(runtime, decoder)
        for n, segment in enumerate(segments(work, 23, decoder)[20:]):
            batch.admit(n, segment, encode(runtime, [segment], hidden=True)[0])
        assert (batch.rows, batch.num_live) == (3, 3)
        batch.step()
        assert batch.rows <= after

"""The backlog and the runs of the encoder."""

from __future__ import annotations

import numpy as np
import pytest

from dragoman.server.backlog import ENCODE_TOKENS, RUN_TOKENS, Backlog, Pace, encoder_runs
from dragoman.server.pool import round_up


def a_backlog(count: int) -> Backlog[int]:
    backlog: Backlog[int] = Backlog()
    for item in range(count):
        backlog.put(item, 10)
    return backlog


def test_first_come_first_served():
    """A lone lane gets the oldest, as many as it has places for."""
    backlog = a_backlog(5)

    assert backlog.take(places=3, lanes=1) == [0, 1, 2]
    assert repr(backlog) == "<Backlog 2 waiting, 20 tokens>"


def test_a_burst_is_spread_over_the_lanes():
    """Three lanes with room for everything take a third, then a third of the rest, until nothing waits."""
    backlog = a_backlog(10)

    takes = [len(backlog.take(places=16, lanes=3)) for _ in range(6)]

    assert takes == [4, 2, 2, 1, 1, 0]


def test_one_that_left_is_not_taken():
    """Removing says whether it still waited, and its tokens no longer count."""
    backlog = a_backlog(3)

    assert backlog.remove(1)
    assert not backlog.remove(1)
    assert backlog.tokens == 20
    assert backlog.take(places=9, lanes=1) == [0, 2]
    assert backlog.tokens == 0


@pytest.mark.parametrize("seed", range(30))
def test_runs_hold_everything_once_and_pad_little(seed):
    """Every item is in one run, runs ascend, none exceeds the bound, padding costs less than the runs it saves."""
    rng = np.random.default_rng(seed)
    lengths = [int(n) for n in rng.integers(1, 500, rng.integers(0, 60))]
    items = list(enumerate(lengths))

    runs = encoder_runs(items, lambda item: item[1])

    assert sorted(item for run in runs for item in run) == sorted(items)
    flat = [length for run in runs for _, length in run]
    assert flat == sorted(lengths)
    for run in runs:
        positions = round_up(run[-1][1])
        assert len(run) == 1 or len(run) * positions <= ENCODE_TOKENS
        wasted = sum(positions - round_up(length) for _, length in run)
        assert wasted <= RUN_TOKENS * (len(run) - 1)


def test_equal_lengths_share_runs_up_to_the_bound():
    """Forty sources of one length need as many runs as the bound asks for, in the order they came."""
    runs = encoder_runs(range(40), lambda _: 60)

    assert [len(run) for run in runs] == [ENCODE_TOKENS // 64] * 2 + [40 - 2 * (ENCODE_TOKENS // 64)]
    assert [item for run in runs for item in run] == list(range(40))


def test_a_source_over_the_bound_has_a_run_of_its_own():
    """Nothing is too long to be encoded."""
    assert encoder_runs([2000, 5], lambda n: n) == [[5], [2000]]


def test_a_pace_is_what_tokens_cost_over_all_lanes():
    """2 ms a token over two lanes; nothing is predicted before anything has run."""
    pace = Pace()
    before = pace.seconds_for(100, lanes=2)
    pace.note(50, 0.1)

    assert before == 0
    assert pace.seconds_for(100, lanes=2) == pytest.approx(0.1)


def test_a_pace_follows_what_changes():
    """Slowed down to a tenth, ten times its memory later nothing is left of the speed before."""
    pace = Pace()
    for tokens, rounds in ((1000, 300), (100, 300)):
        for _ in range(rounds):
            pace.note(tokens, 1.0)

    assert pace.seconds_for(1000, lanes=1) == pytest.approx(10, rel=0.01)

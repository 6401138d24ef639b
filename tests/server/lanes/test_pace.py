"""How fast lanes have been of late, on a clock that the test sets."""

import pytest

from dragoman.server.core.strategies import Engine
from dragoman.server.lanes.pace import LEAST_S, MEMORY_S, Pace


def test_nothing_is_predicted_before_anything_was_measured():
    """A server that has just started promises no wait."""
    assert Pace().seconds_for(1000, 2) == 0.0


def test_the_first_of_many_to_end_say_nothing():
    """While lanes have been busy for a moment only, nearly all that it took is in what they have not finished."""
    pace = Pace()
    pace.note(5, LEAST_S / 2)
    assert pace.seconds_for(1000, 2) == 0.0
    pace.note(995, LEAST_S / 2)

    assert pace.seconds_for(1000, 2) == pytest.approx(LEAST_S / 2, rel=0.01)


def test_what_is_in_lanes_says_nothing_until_it_has_ended():
    """Of 400 sentences that come at once the shortest end first, after most of the time that all of them take.

    Under a load of others' that may be seconds: what waited was predicted to take minutes, and took one second.
    """
    pace = Pace()
    for _ in range(20):
        pace.note(0, 0.05, ended=0, active=128)
    pace.note(16, 0.05, ended=4, active=124)
    early = pace.seconds_for(1500, 2)
    pace.note(2_000, 0.05, ended=252, active=30)

    assert early == 0.0
    assert pace.seconds_for(2_000, 2) == pytest.approx(0.55, rel=0.1)


def test_sources_that_do_not_end_are_slow():
    """Lanes that have been busy for half a minute are as fast as they look, whatever is in them."""
    pace = Pace()
    for _ in range(40):
        pace.note(1, 1.0, ended=1, active=100)

    assert pace.seconds_for(10, 1) == pytest.approx(10.0, rel=0.01)


def test_a_pause_is_not_the_lanes_own_work():
    """A process that was stopped for ten seconds in the middle of a round of 10 ms promises no wait of minutes."""
    pace = Pace()
    for seconds in [0.01] * 100 + [10.0] + [0.01] * 100:
        pace.note(10, pace.plausible(seconds))

    assert pace.seconds_for(1000, 1) < 1.2


def test_rounds_that_have_become_slow_are_believed():
    """After some of them they count in full, even if they take a hundred times as long as before."""
    pace = Pace()
    for _ in range(100):
        pace.plausible(0.01)
    counted = [pace.plausible(1.0) for _ in range(6)]

    assert counted[0] == pytest.approx(0.01)
    assert counted[-1] == 1.0


def test_lanes_share_what_waits():
    """100 tokens a second and lane: 1000 tokens take two lanes 5 seconds."""
    pace = Pace()
    for _ in range(10):
        pace.note(50, 0.5)

    assert pace.seconds_for(1000, 2) == pytest.approx(5.0)


def test_what_was_measured_long_ago_fades():
    """A lane that has become ten times as slow is believed to be so after some time."""
    pace = Pace()
    for _ in range(100):
        pace.note(100, 1.0)
    for _ in range(300):
        pace.note(10, 1.0)

    assert 9.9 < pace.seconds_for(100, 1) < 10.0


def test_an_engine_that_has_not_run_for_a_while_has_no_speed():
    """The load may be another now."""
    pace = Pace()
    pace.note_engine(Engine.BEAM, 0.01, now_s=100.0)

    assert pace.seconds_per_token(Engine.BEAM, 100.0 + MEMORY_S) == 0.01
    assert pace.seconds_per_token(Engine.BEAM, 100.1 + MEMORY_S) is None
    assert pace.seconds_per_token(Engine.NAT, 100.0) is None


def test_speculation_counts_as_greedy_search():
    """Which it is where drafts do not pay; newer measurements weigh a tenth."""
    pace = Pace()
    pace.note_engine(Engine.GREEDY, 0.01, now_s=0.0)
    pace.note_engine(Engine.SPECULATIVE, 0.02, now_s=1.0)

    assert pace.seconds_per_token(Engine.GREEDY, 1.0) == pytest.approx(0.011)

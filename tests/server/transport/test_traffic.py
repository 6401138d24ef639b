"""How long another call would take, as calls come and go."""

import math

import pytest

from dragoman.server.core.segments import Priority
from dragoman.server.transport.traffic import FEW, FORGOTTEN_S, LEAST_S, MEMORY_S, Traffic

NORMAL, BATCH = Priority.NORMAL, Priority.BATCH


class Calls:
    """Calls of cost 10 that are finished one after another, each after so many seconds, by a clock of their own."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.traffic = Traffic(lambda: self.now_s)
        self.open: list[float] = []

    def enter(self, number: int, priority: Priority = NORMAL) -> None:
        for _ in range(number):
            self.open.append(self.traffic.enter(priority, 10))

    def leave(self, number: int, each_s: float, *, is_in_time: bool = True) -> None:
        for _ in range(number):
            self.now_s += each_s
            self.traffic.leave(NORMAL, 10, self.open.pop(0), is_in_time=is_in_time)


@pytest.fixture
def calls() -> Calls:
    return Calls()


def test_a_call_takes_as_long_as_those_before_it(calls: Calls) -> None:
    """Forty of them at a hundred a second, and its own."""
    calls.enter(140)
    calls.leave(100, 0.01)

    assert calls.traffic.seconds(NORMAL) == pytest.approx(0.4)
    assert calls.traffic.seconds(NORMAL, 200) == pytest.approx(0.6)


def test_few_calls_say_nothing(calls: Calls) -> None:
    """However slow they are: another one finds out whether it is better now."""
    assert calls.traffic.seconds(NORMAL) == 0.0
    calls.enter(FEW + 20)
    assert calls.traffic.seconds(NORMAL) == 0.0
    calls.leave(20, 0.04)
    assert calls.traffic.seconds(NORMAL) == pytest.approx(0.04 * FEW)
    calls.leave(1, 0.04)
    assert calls.traffic.seconds(NORMAL) == 0.0


def test_calls_one_by_one_say_nothing_of_many(calls: Calls) -> None:
    """Nor do the first moments of a burst: what takes long alone may take no longer beside others."""
    for _ in range(500):
        calls.enter(1)
        calls.leave(1, 0.01)
    calls.enter(1_000)
    assert calls.traffic.seconds(NORMAL) == 0.0
    calls.leave(round(LEAST_S / 0.001), 0.001)
    assert calls.traffic.seconds(NORMAL) == 0.0
    calls.leave(100, 0.001)
    assert calls.traffic.seconds(NORMAL) == pytest.approx(0.001 * len(calls.open))


def test_a_pause_is_no_pace(calls: Calls) -> None:
    """As when the process is stopped for a while: afterwards all goes on as before."""
    calls.enter(1_000)
    calls.leave(300, 0.01)
    calls.leave(1, 20.0)
    calls.leave(100, 0.01)

    assert calls.traffic.seconds(NORMAL) < 1.2 * 0.01 * len(calls.open)


def test_what_was_long_ago_is_forgotten(calls: Calls) -> None:
    """A server that was slow yesterday refuses nobody for it."""
    calls.enter(200)
    calls.leave(200, 0.1)
    calls.enter(100)
    assert calls.traffic.seconds(NORMAL) == pytest.approx(10.0)
    calls.now_s += FORGOTTEN_S + 0.1
    assert calls.traffic.seconds(NORMAL) == 0.0
    calls.leave(100, 0.01)
    calls.enter(100)
    assert calls.traffic.seconds(NORMAL) == pytest.approx(1.0, rel=0.2)


def test_time_in_which_nobody_calls_does_not_count(calls: Calls) -> None:
    """Only what calls wait for each other."""
    for _ in range(50):
        calls.now_s += 20
        calls.enter(40)
        calls.leave(40, 0.01)
    calls.enter(100)

    assert calls.traffic.seconds(NORMAL) == pytest.approx(1.0)


def test_it_is_seen_soon_that_all_becomes_slower(calls: Calls) -> None:
    """Three times as slow for two seconds counts for most of it."""
    calls.enter(1_000)
    calls.leave(300, 0.01)
    calls.leave(round(2 * MEMORY_S / 0.03), 0.03)
    ahead = len(calls.open)

    assert 0.75 * 0.03 * ahead < calls.traffic.seconds(NORMAL) < 0.03 * ahead


def test_only_what_goes_before_it_is_waited_for(calls: Calls) -> None:
    """Whoever is of a higher priority does not wait for others'."""
    calls.enter(150)
    calls.leave(100, 0.01)
    calls.enter(100, BATCH)

    assert calls.traffic.seconds(Priority.INTERACTIVE) == 0.0
    assert calls.traffic.seconds(NORMAL) == pytest.approx(0.5)
    assert calls.traffic.seconds(BATCH) == pytest.approx(1.5)


def test_calls_that_fail_are_none_that_were_finished(calls: Calls) -> None:
    """Where all do, another one would take for ever; until few are left."""
    calls.enter(100)
    calls.leave(50, 0.01, is_in_time=False)
    assert calls.traffic.seconds(NORMAL) == math.inf
    calls.leave(50 - FEW + 1, 0.01, is_in_time=False)
    assert calls.traffic.seconds(NORMAL) == 0.0

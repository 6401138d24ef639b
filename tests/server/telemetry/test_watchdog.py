"""The watch over the lanes, with a clock that the tests turn."""

import threading
import time
from dataclasses import replace

import pytest

from dragoman.bundle.manifest import Decoding
from dragoman.server.core.ports import Pulse
from dragoman.server.core.segments import Segment
from dragoman.server.pipeline.pipeline import Pipeline
from dragoman.server.telemetry.lane_metrics import LaneTally
from dragoman.server.telemetry.liveness import Fault
from dragoman.server.telemetry.watchdog import EVENT_LOOP, Watchdog
from dragoman.server.testing import FakeLanes

LIMIT_S = 30.0


class Watched:
    """A watchdog over fake lanes; seconds pass when told to, and its checks with them."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.now_s = float(int(time.monotonic()))  # whole seconds add up without rounding
        self.loop = Pulse(self.now_s)
        self.tally = LaneTally()
        self.changes = self.ends = 0
        self.dog = Watchdog(
            lambda: [pipeline],
            {pipeline.name: self.tally},
            LIMIT_S,
            self._changed,
            loop_pulse=self.loop,
            end=self._end,
            clock=lambda: self.now_s,
        )

    def pass_seconds(self, seconds: int, *, loop_beats: bool = True) -> None:
        for _ in range(seconds):
            self.now_s += 1
            if loop_beats:
                self.loop.beat(self.now_s, is_busy=True)
            self.dog.check()

    def _changed(self) -> None:
        self.changes += 1

    def _end(self) -> None:
        self.ends += 1


@pytest.fixture
def watched(pipeline: Pipeline) -> Watched:
    return Watched(pipeline)


def test_an_idle_server_is_live_for_an_hour(watched: Watched) -> None:
    """And for the moment after it, when work arrives at a lane that has not moved for so long."""
    watched.pass_seconds(3600)
    assert (watched.dog.faults, watched.changes, watched.ends) == ({}, 0, 0)

    watched.pipeline.lanes.pulses[0].beat(watched.now_s, is_busy=True)
    watched.pass_seconds(1)

    assert watched.dog.faults == {}


def test_a_lane_that_stands_still_is_noticed_counted_and_ends_the_process(watched: Watched, lanes: FakeLanes) -> None:
    """Within the limit and one check; the end comes after as long again, and not before."""
    lanes.pulses[0].beat(watched.now_s, is_busy=True)

    watched.pass_seconds(30)
    assert watched.dog.faults == {}
    watched.pass_seconds(1)
    assert watched.dog.faults == {"echo": Fault.HANG}
    assert (watched.changes, watched.tally.failures["hang"], watched.ends) == (1, 1, 0)
    watched.pass_seconds(29)
    assert watched.ends == 0
    watched.pass_seconds(1)
    assert (watched.changes, watched.tally.failures["hang"], watched.ends) == (1, 1, 1)


def test_a_lane_that_moves_again_is_well(watched: Watched, lanes: FakeLanes) -> None:
    """Slowness is not death: the process goes on."""
    lanes.pulses[0].beat(watched.now_s, is_busy=True)
    watched.pass_seconds(45)
    lanes.pulses[0].beat(watched.now_s, is_busy=True)
    watched.pass_seconds(20)

    assert (watched.dog.faults, watched.changes, watched.ends) == ({}, 2, 0)


def test_a_lane_that_crashed_is_lost_at_once(watched: Watched, lanes: FakeLanes) -> None:
    """Nothing can bring its thread back."""
    lanes.pulses[0].has_crashed = True
    watched.pass_seconds(1)

    assert watched.dog.faults == {"echo": Fault.CRASH}
    assert watched.tally.failures == {"round": 0, "hang": 0, "crash": 1, "failure": 0}


def test_work_that_no_lane_takes_is_noticed(watched: Watched, lanes: FakeLanes) -> None:
    """A wake-up that got lost leaves lanes idle and requests waiting for ever."""
    lanes.hold()
    ticket = lanes.submit(Segment((5, 0), Decoding()), lambda _: None)
    watched.now_s = ticket.submitted_s
    watched.pass_seconds(31)

    assert watched.dog.faults == {"echo": Fault.HANG}


def test_a_blocked_event_loop_is_noticed(watched: Watched) -> None:
    """It could not say so itself."""
    watched.pass_seconds(1)
    watched.pass_seconds(31, loop_beats=False)

    assert watched.dog.faults == {EVENT_LOOP: Fault.HANG}


def test_one_model_of_two_is_lost(pipeline: Pipeline, lanes: FakeLanes) -> None:
    """The other one's health does not change."""
    other_lanes = FakeLanes()
    other = Pipeline(
        replace(pipeline.bundle, manifest=replace(pipeline.bundle.manifest, name="other")),
        pipeline._tokenizer,
        other_lanes,
        pipeline.limits,
        pipeline.workers,
    )
    now_s = time.monotonic()
    dog = Watchdog(
        lambda: [pipeline, other], {}, LIMIT_S, lambda: None, loop_pulse=Pulse(now_s), clock=lambda: now_s + 40
    )
    lanes.pulses[0].beat(now_s, is_busy=True)

    dog.check()
    other_lanes.close()

    assert dog.faults == {"echo": Fault.HANG}


def test_a_look_that_fails_is_not_the_last(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where memory is short for a moment, the watch goes on."""
    seen = threading.Event()
    check = watched.dog.check

    def fails_once() -> None:
        monkeypatch.setattr(watched.dog, "check", lambda: (check(), seen.set()))
        raise MemoryError

    monkeypatch.setattr(watched.dog, "check", fails_once)
    monkeypatch.setattr(watched.dog, "_limit_s", 0.01)
    watched.dog.start()

    assert seen.wait(10)
    watched.dog.close()

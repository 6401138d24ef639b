"""When lanes count as lost."""

import pytest

from dragoman.server.core.ports import Pulse
from dragoman.server.telemetry.liveness import Fault, Faults, fault_of

LIMIT_S = 30.0


def busy(moved_s: float) -> Pulse:
    return Pulse(moved_s, is_busy=True)


@pytest.mark.parametrize(
    ("pulses", "oldest_arrived_s", "fault"),
    [
        ([Pulse(0.0), Pulse(0.0)], None, None),  # idle from the beginning
        ([Pulse(0.0)], 99.0, None),  # idle for long, and work has just come
        ([busy(70.0), busy(99.0)], None, None),  # a slow round, not slower than allowed
        ([busy(69.9), busy(99.0)], None, Fault.HANG),  # one lane of two
        ([busy(99.0)], 1.0, None),  # overload: what waits is old, and the lane works
        ([Pulse(99.0)], 1.0, None),  # the same between two rounds
        ([Pulse(69.0), Pulse(50.0)], 69.9, Fault.HANG),  # nobody takes what waits
        ([Pulse(0.0, has_crashed=True), busy(99.0)], None, Fault.CRASH),
        ([Pulse(0.0, has_crashed=True), busy(0.0)], 0.0, Fault.CRASH),
    ],
)
def test_lanes_with_work_must_move(pulses: list[Pulse], oldest_arrived_s: float | None, fault: Fault | None) -> None:
    """At second 100 with 30 allowed: work decides, not time alone."""
    assert fault_of(pulses, oldest_arrived_s, 100.0, LIMIT_S) is fault


@pytest.mark.parametrize(
    ("failed_s", "fault"),
    [
        (range(60, 100, 5), Fault.FAILURE),
        (range(60, 95, 5), None),  # too few
        (range(71, 100, 4), None),  # not for long enough
    ],
)
def test_a_lane_that_only_fails_is_lost(failed_s: range, fault: Fault | None) -> None:
    """However lively it is, and idle or not; one round that goes well clears it."""
    pulse = Pulse(0.0)
    for second in failed_s:
        pulse.fail(second)
        pulse.beat(second, is_busy=False)
    assert fault_of([pulse], None, 100.0, LIMIT_S) is fault

    pulse.succeed()
    assert fault_of([pulse], None, 100.0, LIMIT_S) is None


def test_a_fault_is_new_once_and_final_after_as_long_again() -> None:
    """From when it was first seen, not from when the lane last moved: a process that was suspended gets its chance."""
    faults = Faults(LIMIT_S)

    assert faults.see({"a": Fault.HANG}, 100.0) == ["a"]
    assert faults.see({"a": Fault.HANG, "b": Fault.CRASH}, 120.0) == ["b"]
    assert not faults.is_final(129.9)
    assert faults.is_final(130.0)
    assert repr(faults) == "<Faults a hang, b crash>"


def test_a_fault_that_passes_starts_anew() -> None:
    """Two short ones do not make a long one."""
    faults = Faults(LIMIT_S)
    faults.see({"a": Fault.HANG}, 100.0)
    faults.see({}, 120.0)

    assert faults.see({"a": Fault.HANG}, 125.0) == ["a"]
    assert not faults.is_final(154.0)

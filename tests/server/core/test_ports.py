"""What a lane shows of itself."""

from dragoman.server.core.ports import Pulse


def test_only_a_lane_with_work_can_stand_still() -> None:
    """From its last beat on."""
    pulse = Pulse(10.0)
    assert pulse.stalled_s(100.0) == 0

    pulse.beat(20.0, is_busy=True)
    assert pulse.stalled_s(25.0) == 5
    assert pulse.stalled_s(19.0) == 0, "another thread's clock was read before"

    pulse.beat(30.0, is_busy=False)
    assert pulse.stalled_s(100.0) == 0


def test_failures_count_from_the_first_to_the_last_until_a_success() -> None:
    """One failure takes no time yet."""
    pulse = Pulse(0.0)
    pulse.fail(10.0)
    assert (pulse.failures, pulse.failing_s) == (1, 0.0)
    pulse.fail(12.5)
    assert (pulse.failures, pulse.failing_s) == (2, 2.5)

    pulse.succeed()
    assert (pulse.failures, pulse.failing_s) == (0, 0.0)
    pulse.fail(100.0)
    assert (pulse.failures, pulse.failing_s) == (1, 0.0)

"""The event loop's own pulse."""

import asyncio
import time

from dragoman.server.telemetry.loop_pulse import BEAT_S, LoopPulse


async def blocked_for(seconds: float) -> tuple[list[float], float]:
    """What a pulse says about a loop that does something else for a while, and how stalled it looked meanwhile."""
    lags: list[float] = []
    is_beating = asyncio.Event()

    def on_lag(lag_s: float) -> None:
        lags.append(lag_s)
        is_beating.set()

    pulse = LoopPulse(on_lag)
    pulse.start()
    await is_beating.wait()
    time.sleep(seconds)  # the blocked loop is what this is about
    stalled_s = pulse.pulse.stalled_s(time.monotonic())
    is_beating.clear()
    await is_beating.wait()
    pulse.close()
    return lags, stalled_s


def test_a_blocked_loop_is_late_and_has_no_pulse() -> None:
    """By as long as it was blocked, less what it would have slept anyway."""
    lags, stalled_s = asyncio.run(blocked_for(4 * BEAT_S))

    assert max(lags) >= 3 * BEAT_S - 0.01
    assert stalled_s >= 4 * BEAT_S - 0.01


def test_a_pulse_that_was_closed_is_not_missed() -> None:
    """A server that has stopped has not stalled."""

    async def close() -> LoopPulse:
        pulse = LoopPulse(lambda _: None)
        pulse.start()
        pulse.close()
        return pulse

    assert asyncio.run(close()).pulse.stalled_s(time.monotonic() + 3600) == 0

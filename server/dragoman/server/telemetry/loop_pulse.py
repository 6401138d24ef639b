"""The event loop's pulse: a task that sleeps, wakes up, and says how late it was."""

import asyncio
import time
from collections.abc import Callable

from dragoman.server.core.ports import Pulse

BEAT_S = 0.1


class LoopPulse:
    """Beats from `start`, which the loop itself calls, to `close`."""

    def __init__(self, on_lag: Callable[[float], None]) -> None:
        self.pulse = Pulse(time.monotonic())
        self._on_lag = on_lag
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to beat."""
        self._task = asyncio.create_task(self._run())

    def close(self) -> None:
        """Stop beating."""
        if self._task is not None:
            self._task.cancel()
        self.pulse.beat(time.monotonic(), is_busy=False)

    async def _run(self) -> None:
        while True:
            before_s = time.monotonic()
            self.pulse.beat(before_s, is_busy=True)
            await asyncio.sleep(BEAT_S)
            self._on_lag(max(0.0, time.monotonic() - before_s - BEAT_S))

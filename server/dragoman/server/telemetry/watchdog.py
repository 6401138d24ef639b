"""The watch over the lanes: a separate thread, so that it sees a blocked event loop, too.

A fault is counted, logged and told to `on_change`, which turns health to NOT_SERVING while the process goes on
answering; so is the end of a fault that passes. A fault that lasts for another `limit_s` ends the process, with the
stacks of all threads in the log: nothing gentler gets past a thread that hangs in a graph.
"""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import FrameType

from dragoman.server.core import logs
from dragoman.server.core.ports import Pulse
from dragoman.server.pipeline.pipeline import Pipeline
from dragoman.server.telemetry.lane_metrics import LaneTally
from dragoman.server.telemetry.liveness import Fault, Faults, fault_of

EXIT_LANE_LOST = 3
"""The process's exit code where a lane, or the event loop, hung or crashed."""
EVENT_LOOP = "event loop"
"""Stands among the models: it has a pulse as lanes do."""
_LAST_WORDS_S = 2.0
"""How long the log has to take what is left to say; the end does not wait for it longer."""

_logger = logging.getLogger(__name__)


def end_process() -> None:
    """End, whether or not somebody reads what was logged."""
    logs.last_words(_stacks(), _LAST_WORDS_S)
    os._exit(EXIT_LANE_LOST)


def _stacks() -> str:
    """What every thread does, the innermost call first.

    Not `faulthandler`: it writes with all other threads held, and where nobody reads it would never end.
    """
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    lines = []
    for ident, innermost in sys._current_frames().items():
        word = "Current thread" if ident == threading.get_ident() else "Thread"
        lines.append(f"{word} {names.get(ident, '?')} (most recent call first):\n")
        frame: FrameType | None = innermost
        while frame is not None:
            code = frame.f_code
            lines.append(f'  File "{code.co_filename}", line {frame.f_lineno} in {code.co_name}\n')
            frame = frame.f_back
    return "".join(lines)


class Watchdog:
    """Watches from `start` to `close`."""

    def __init__(
        self,
        pipelines: Callable[[], Iterable[Pipeline]],
        tallies: Mapping[str, LaneTally],
        limit_s: float,
        on_change: Callable[[], None],
        *,
        loop_pulse: Pulse,
        end: Callable[[], None] = end_process,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pipelines, self._tallies, self._limit_s = pipelines, tallies, limit_s
        self._on_change, self._end, self._clock = on_change, end, clock
        self._loop_pulse = loop_pulse
        self._faults = Faults(limit_s)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    @property
    def faults(self) -> Mapping[str, Fault]:
        """What is wrong now, by model."""
        return self._faults.current

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def close(self) -> None:
        """Stop watching."""
        self._closed.set()
        self._thread.join()

    def check(self) -> None:
        """Look once."""
        now_s = self._clock()
        looks: dict[str, Fault | None] = {}
        for each in self._pipelines():  # of several versions one that is lost counts
            fault = self._look(each.lanes.pulses, each.lanes.oldest_arrived_s, now_s)
            looks[each.name] = looks.get(each.name) or fault
        looks[EVENT_LOOP] = self._look([self._loop_pulse], None, now_s)
        faults = {name: fault for name, fault in looks.items() if fault is not None}
        before = self._faults.current
        for name in self._faults.see(faults, now_s):
            if name in self._tallies:
                self._tallies[name].on_failure(faults[name].value)
            logs.event(_logger, logging.ERROR, "lane_lost", model=name, fault=faults[name].value, limit_s=self._limit_s)
        for name in before.keys() - faults.keys():
            logs.event(_logger, logging.WARNING, "lane_recovered", model=name, fault=before[name].value)
        if faults != before:
            self._on_change()
        if self._faults.is_final(now_s):
            logs.event(_logger, logging.CRITICAL, "ending", exit_code=EXIT_LANE_LOST, reason=repr(self._faults))
            self._end()

    def _look(self, pulses: Sequence[Pulse], oldest_arrived_s: float | None, now_s: float) -> Fault | None:
        return fault_of(pulses, oldest_arrived_s, now_s, self._limit_s)

    def _run(self) -> None:
        while not self._closed.wait(min(1.0, self._limit_s / 10)):
            try:
                self.check()
            except Exception as error:  # noqa: BLE001 - where memory is short, the next look may go well
                logs.event(_logger, logging.ERROR, "watch_failed", exc_info=error)

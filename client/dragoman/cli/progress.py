"""Progress of long work, on a terminal only."""

import time
from collections.abc import Callable
from typing import Self, TextIO

QUIET_S = 1.0
"""Work that ends sooner shows nothing."""
INTERVAL_S = 0.2


class StatusLine:
    """One line of a terminal that is written over and over. A context manager: at its end the line is gone."""

    def __init__(self, stream: TextIO, *, is_shown: bool) -> None:
        self._stream = stream
        self._is_shown = is_shown
        self._width = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def show(self, text: str) -> None:
        """Write `text` over what the line says."""
        if self._is_shown:
            self._stream.write("\r" + text.ljust(self._width))
            self._stream.flush()
            self._width = len(text)

    def clear(self) -> None:
        """Make room on the terminal for something else."""
        if self._width:
            self.show("")
            self._stream.write("\r")
            self._stream.flush()


class Progress(StatusLine):
    """Counts lines and shows, now and then, how many there were and how fast they come."""

    def __init__(self, stream: TextIO, *, is_shown: bool, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream, is_shown=is_shown)
        self._clock = clock
        self._started_s = clock()
        self._next_s = self._started_s + QUIET_S
        self._lines = 0

    def advance(self) -> None:
        """One more line is done."""
        self._lines += 1
        now_s = self._clock()
        if now_s >= self._next_s:
            self._next_s = now_s + INTERVAL_S
            rate = self._lines / (now_s - self._started_s)
            self.show(f"{self._lines:,} lines, {rate:,.0f} a second")


class TimeLeft(StatusLine):
    """Shows, now and then, how much of a known amount of work is done and how long the rest will take."""

    def __init__(self, stream: TextIO, *, is_shown: bool, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream, is_shown=is_shown)
        self._clock = clock
        self._started_s = clock()
        self._next_s = self._started_s + QUIET_S

    def advance(self, label: str, done: int, total: int) -> None:
        """So much of the work that was there at the beginning is done."""
        now_s = self._clock()
        if now_s >= self._next_s and done > 0:
            self._next_s = now_s + INTERVAL_S
            left_s = (now_s - self._started_s) * (total - done) / done
            self.show(f"{label}, {100 * done // total} %, {_duration(left_s)} left")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

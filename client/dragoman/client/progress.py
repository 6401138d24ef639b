"""Progress of long work, on a terminal only."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

QUIET_S = 1.0
"""Work that ends sooner shows nothing."""
INTERVAL_S = 0.2


class Progress:
    """Counts lines and shows, now and then, how many there were and how fast they come. A context manager."""

    def __init__(self, stream: TextIO, *, is_shown: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._is_shown = is_shown
        self._clock = clock
        self._started_s = clock()
        self._next_s = self._started_s + QUIET_S
        self._lines = 0
        self._width = 0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def advance(self) -> None:
        """One more line is done."""
        self._lines += 1
        now_s = self._clock()
        if self._is_shown and now_s >= self._next_s:
            self._next_s = now_s + INTERVAL_S
            rate = self._lines / (now_s - self._started_s)
            self._show(f"{self._lines:,} lines, {rate:,.0f} a second")

    def clear(self) -> None:
        """Make room on the terminal for something else."""
        if self._width:
            self._show("")
            self._stream.write("\r")
            self._stream.flush()

    def _show(self, text: str) -> None:
        self._stream.write("\r" + text.ljust(self._width))
        self._stream.flush()
        self._width = len(text)

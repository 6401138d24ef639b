"""A stream for the log that nobody ever waits for.

Whoever reads the log may stop reading: a pipe that is full would stop every thread that logs, and with it the server
and the watch over it. So lines go through a queue to a thread of its own. What does not fit is dropped and counted, and
when lines flow again one says how many were.
"""

import os
import queue
import threading
from collections.abc import Callable
from functools import partial

MAX_LINES = 10_000
"""Of lines that wait; a few megabytes."""
_AT_ONCE = 1000
_PAUSE_S = 0.02
"""How long lines are gathered before they are written."""


class LogWriter:
    """Takes lines as a stream does, and writes them to standard error, or with `write`.

    `on_dropped` is told how many lines were dropped, by the writing thread, as soon as one was written again.
    """

    def __init__(
        self, on_dropped: Callable[[int], None], write: Callable[[bytes], int] | None = None, max_lines: int = MAX_LINES
    ) -> None:
        self._on_dropped, self._max_lines = on_dropped, max_lines
        self._write = write or partial(os.write, 2)
        self._lines: queue.SimpleQueue[str | threading.Event] = queue.SimpleQueue()
        self.dropped = 0
        """Lines that were never written."""
        self._told = 0
        self._hurry = threading.Event()
        threading.Thread(target=self._run, name="log", daemon=True).start()

    def __repr__(self) -> str:
        return f"<LogWriter {self._lines.qsize()} lines wait, {self.dropped} dropped>"

    def write(self, line: str) -> None:
        """Have a line written soon, or drop it."""
        if self._lines.qsize() < self._max_lines:
            self._lines.put(line)
        else:
            self.dropped += 1

    def flush(self) -> None:
        """Nothing: loggers ask for it after each line, and would wait."""

    def settle(self, limit_s: float) -> bool:
        """Wait until all lines are written, for so long at most; whether they are."""
        written = threading.Event()
        self._hurry.set()
        self._lines.put(written)
        return written.wait(limit_s)

    def _run(self) -> None:
        while True:
            taken = [self._lines.get()]
            # A thread that wakes for each line takes longer than all that is said in it.
            self._hurry.wait(_PAUSE_S)
            while len(taken) < _AT_ONCE and not self._lines.empty():
                taken.append(self._lines.get())
            lines = [line for line in taken if isinstance(line, str)]
            if lines and not self._written("".join(lines).encode("utf-8", "backslashreplace")):
                self.dropped += len(lines)
            elif lines and self.dropped > self._told:
                number, self._told = self.dropped - self._told, self.dropped
                self._on_dropped(number)
            for waiting in taken:
                if isinstance(waiting, threading.Event):
                    self._hurry.clear()
                    waiting.set()

    def _written(self, data: bytes) -> bool:
        """Write, wait for as long as it takes; whether it could be written."""
        try:
            while data:
                data = data[self._write(data) :]
        except OSError:  # nobody reads any more, the disk is full
            return False
        return True

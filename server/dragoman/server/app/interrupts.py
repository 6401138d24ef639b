"""Ctrl-C while an event loop runs in the main thread: what the loop does is cancelled at once, and nothing is torn.

Python runs signal handlers between two instructions of the main thread. A signal that arrives after the last of them
and before the selector's wait would be handled only when something else ends the wait: the next answer of a lane, or
nothing at all. `asyncio.Runner` has a handler, and this gap. So the C part of signal handling, which runs at once, has
to write into a socket that the selector waits for: `signal.set_wakeup_fd`. `loop.add_signal_handler` does that too, but
forgets a signal that comes just before its handler is removed.

The handler raises nothing: an exception in the middle of the loop, from a second Ctrl-C say, could leave a lock held or
segments in the lanes. It has the tasks cancelled, and `KeyboardInterrupt` is raised once the loop has stopped.
"""

import asyncio
import signal
import socket
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")


class InterruptibleRunner:
    """Runs coroutines to their end, as `asyncio.Runner` does, and has Ctrl-C end them at once.

    A handler of SIGINT that the program has set is left as it is; it, too, runs at once.
    """

    def __init__(self) -> None:
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)  # without making it the thread's
        self._loop = self._runner.get_loop()
        self._written, self._read = socket.socketpair()
        for end in (self._written, self._read):
            end.setblocking(False)  # noqa: FBT003 - its signature
        self._loop.add_reader(self._read, self._read.recv, 4096)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`; raises `KeyboardInterrupt` where Ctrl-C ended it."""
        if threading.current_thread() is not threading.main_thread():
            return self._runner.run(work)  # signals are the main thread's
        with self._woken_by_signals(), self._cancelled_by_ctrl_c():
            try:
                return self._runner.run(work)
            finally:
                if left := self._cancel_tasks():  # the program's own handler has raised out of the loop
                    self._loop.run_until_complete(asyncio.wait(left))

    def close(self) -> None:
        """Cancel what is left, and end the loop."""
        with self._written, self._read:
            self._runner.close()

    @contextmanager
    def _woken_by_signals(self) -> Iterator[None]:
        """Have any signal end the selector's wait."""
        before = signal.set_wakeup_fd(self._written.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)

    @contextmanager
    def _cancelled_by_ctrl_c(self) -> Iterator[None]:
        if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            yield
            return
        is_interrupted = False

        def interrupt(*_: object) -> None:
            nonlocal is_interrupted
            is_interrupted = True
            self._loop.call_soon_threadsafe(self._cancel_tasks)

        signal.signal(signal.SIGINT, interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            if is_interrupted:
                raise KeyboardInterrupt

    def _cancel_tasks(self) -> set[asyncio.Task[object]]:
        """Cancel what the loop has not finished, and return it."""
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        return tasks

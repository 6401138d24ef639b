"""Ctrl-C while an event loop runs."""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from dragoman.server.app.interrupts import InterruptibleRunner


class Stop(Exception):
    """What a program's own handler raises."""


@pytest.fixture
def runner() -> Iterator[InterruptibleRunner]:
    runner = InterruptibleRunner()
    yield runner
    runner.close()


async def forever(started: threading.Event) -> None:
    started.set()
    await asyncio.Event().wait()


@contextmanager
def interrupted_elsewhere(started: threading.Event) -> Iterator[None]:
    """Ctrl-C, once the loop runs, that another thread meets.

    Nothing interrupts the main thread's wait then, just as if the signal had come a moment before it.
    """

    def interrupt() -> None:
        started.wait(10)
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    yield
    thread.join()


@contextmanager
def handled_by(handler: Callable[..., None]) -> Iterator[None]:
    before = signal.signal(signal.SIGINT, handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_signal_that_does_not_interrupt_the_wait_ends_it(runner: InterruptibleRunner) -> None:
    """Whatever the moment at which it comes, the selector is woken."""
    started = threading.Event()

    with interrupted_elsewhere(started), pytest.raises(KeyboardInterrupt):
        runner.run(forever(started))


def test_a_second_one_does_not_tear_the_cleaning_up(runner: InterruptibleRunner) -> None:
    """Whoever presses twice interrupts no `finally`."""
    cleaned = []

    async def careful() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
            await asyncio.Event().wait()
        finally:
            signal.raise_signal(signal.SIGINT)
            cleaned.append("all")

    with pytest.raises(KeyboardInterrupt):
        runner.run(careful())

    assert cleaned == ["all"]


def test_one_that_comes_with_the_end_is_not_lost(runner: InterruptibleRunner) -> None:
    """The work is done by then, and the program stops all the same."""

    async def ending() -> None:
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        runner.run(ending())


def test_one_that_comes_with_an_error_is_not_lost(runner: InterruptibleRunner) -> None:
    """A program that goes on after the error must not go on after Ctrl-C."""

    async def failing() -> None:
        signal.raise_signal(signal.SIGINT)
        raise ValueError("failed")

    with pytest.raises(KeyboardInterrupt):
        runner.run(failing())


def test_a_handler_of_the_program_runs_at_once(runner: InterruptibleRunner) -> None:
    """It is not replaced; what it raises ends the loop, and leaves no task for the next run."""

    def stop(*_: object) -> None:
        raise Stop

    started, cancelled = threading.Event(), []

    async def work() -> None:
        try:
            await forever(started)
        except asyncio.CancelledError:
            cancelled.append("work")
            raise

    with handled_by(stop):
        with interrupted_elsewhere(started), pytest.raises(Stop):
            runner.run(work())
        assert signal.getsignal(signal.SIGINT) is stop

    assert cancelled == ["work"]


def test_it_runs_again_after_ctrl_c(runner: InterruptibleRunner) -> None:
    """Who catches it can go on, and Ctrl-C ends the next run, too."""
    for _ in range(2):
        started = threading.Event()
        with interrupted_elsewhere(started), pytest.raises(KeyboardInterrupt):
            runner.run(forever(started))

    assert runner.run(asyncio.sleep(0, "done")) == "done"


def test_everything_is_as_before_afterwards(runner: InterruptibleRunner) -> None:
    """Ctrl-C is the interpreter's own again, and no descriptor is written to."""
    runner.run(asyncio.sleep(0))

    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.set_wakeup_fd(-1) == -1


def test_other_threads_have_no_signals(runner: InterruptibleRunner) -> None:
    """There it only runs what it is given."""
    results: list[str] = []
    thread = threading.Thread(target=lambda: results.append(runner.run(asyncio.sleep(0, "done"))))

    thread.start()
    thread.join()

    assert results == ["done"]

"""Threads that end with what they do."""

import asyncio
import threading

import pytest

from dragoman.server.app.passing_threads import on_a_thread


def test_it_ends_with_its_work() -> None:
    """What the work returns is returned."""
    thread = asyncio.run(on_a_thread("passing", threading.current_thread))

    thread.join(10)
    assert thread.name.startswith("passing")
    assert not thread.is_alive()
    assert thread is not threading.current_thread()


def test_what_it_raises_is_raised() -> None:
    """And its thread ends, too."""
    with pytest.raises(ZeroDivisionError):
        asyncio.run(on_a_thread("failing", lambda: 1 // 0))

    for thread in threading.enumerate():
        if thread.name.startswith("failing"):
            thread.join(10)
            assert not thread.is_alive()

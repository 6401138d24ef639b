"""For all tests, also while other things use the machine."""

import asyncio
import faulthandler
import gc
import os
import signal
import sys
import threading
from collections.abc import Generator

import pytest

# Two threads of torch spin while they wait for each other: that gains nothing with models as small as these, and takes
# three times the processor time of one thread beside other programs.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Of graphs that are traced once, torch's cache of shapes costs more than it saves: a fifth of a step's tracing.
os.environ.setdefault("TORCH_FAKE_TENSOR_DISPATCH_CACHE", "0")


LEAVING_S = 60
"""How long the run may take to end behind its last test: threads that nobody stopped would keep it for ever."""
STDERR = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    """A shell has what it starts in the background ignore Ctrl-C, and commands under test would inherit that."""
    config.stash[STDERR] = os.dup(sys.__stderr__.fileno())
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Behind `faulthandler_timeout`, pytest writes the stacks of all threads and ends the run with 1.

    Those stacks name no test that is a coroutine. So just before, the test and the stacks of all tasks are written.
    """
    limit_s = float(item.config.getini("faulthandler_timeout"))
    timer = threading.Timer(0.98 * limit_s, _tell, (item.nodeid, limit_s, item.config.stash[STDERR]))
    timer.daemon = True
    timer.start()
    try:
        return (yield)
    finally:
        timer.cancel()


def _tell(test: str, limit_s: float, stderr: int) -> None:
    """Write which test is about to be ended for its time, and what its coroutines wait for."""
    with open(stderr, "w", encoding="utf-8", closefd=False) as out:
        print(f"\n\n{test} is at its limit of {limit_s:g} seconds (faulthandler_timeout)", file=out)
        for task in (thing for thing in gc.get_objects() if issubclass(type(thing), asyncio.Task)):
            task.print_stack(file=out)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Not even leaving can hang."""
    faulthandler.dump_traceback_later(LEAVING_S, exit=True, file=config.stash[STDERR])


def pytest_collection_finish() -> None:
    """What is imported stays until the end: the collector need not search those half a million objects.

    Tracing makes so many objects that the search took a fifth of its time.
    """
    gc.collect()
    gc.freeze()

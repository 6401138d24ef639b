"""For all tests, also while other things use the machine."""

import asyncio
import faulthandler
import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Generator

import pytest

# Two threads of torch spin while they wait for each other: that gains nothing with models as small as these, and takes
# three times the processor time of one thread beside other programs.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Of graphs that are traced once, torch's cache of shapes costs more than it saves: a fifth of a step's tracing.
os.environ.setdefault("TORCH_FAKE_TENSOR_DISPATCH_CACHE", "0")


LEAVING_S = 60
"""How long the run may take to end behind its last test: threads that nobody stopped would keep it for ever."""
LIMIT = pytest.StashKey["Limit"]()
RANDOM_MODELS = frozenset(
    f"tests/e2e/test_{name}.py" for name in ("devices", "long_sources", "strategies", "strides", "tiny_models")
)
"""Files whose tests run on the same random models."""
LONGEST = RANDOM_MODELS | {"tests/export/importers/hf/test_models.py"}
"""Files that take minutes: where there are several processes, all others fit in behind them."""


class Limit(threading.Thread):
    """Ends the run with 1 in a test that takes too long, and writes which, and the stacks of all tasks and threads.

    Once a second it has Python's own watchdog wait for what is left of the test's time. That one bites too where no
    thread of Python's comes to run any more; and a test costs nothing for it.
    """

    def __init__(self, limit_s: float) -> None:
        super().__init__(daemon=True, name="limit")
        self._limit_s, self._ended = limit_s, threading.Event()
        self._stderr = os.dup(sys.__stderr__.fileno())
        self.running: tuple[str, float] = "", float("inf")
        """A test, and when it began."""

    def run(self) -> None:
        self._bite_in(self._limit_s)
        while not self._ended.wait(1.0):
            test, began_s = self.running
            left_s = began_s + self._limit_s - time.monotonic()
            self._bite_in(min(max(left_s, 0.0), self._limit_s) + 1.5)
            if left_s <= 0:
                self._tell(test)
                break

    def close(self) -> None:
        """Not even leaving can hang."""
        self._ended.set()
        self.join()
        self._bite_in(LEAVING_S)

    def _bite_in(self, seconds: float) -> None:
        faulthandler.dump_traceback_later(seconds, exit=True, file=self._stderr)

    def _tell(self, test: str) -> None:
        """The stacks of threads name no test that is a coroutine."""
        with open(self._stderr, "w", encoding="utf-8", closefd=False) as out:
            print(f"\n\n{test} took longer than {self._limit_s:g} seconds (faulthandler_timeout)", file=out)
            for task in (thing for thing in gc.get_objects() if issubclass(type(thing), asyncio.Task)):
                task.print_stack(file=out)


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """A shell has what it starts in the background ignore Ctrl-C, and commands under test would inherit that."""
    config.pluginmanager.unregister(name="faulthandler")  # it makes a thread for each test
    config.stash[LIMIT] = Limit(float(config.getini("faulthandler_timeout")))
    config.stash[LIMIT].start()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Every test has a time limit."""
    limit = item.config.stash[LIMIT]
    limit.running = item.nodeid, time.monotonic()
    try:
        return (yield)
    finally:
        limit.running = "", float("inf")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first."""
    items.sort(key=lambda item: item.nodeid.partition("::")[0] not in LONGEST)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Files that need the same models are one worker's: two would trace each model side by side."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling  # where it is not installed, nobody asks

    class LoadModelScheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file: str = super()._split_scope(nodeid)
            return "random models" if file in RANDOM_MODELS else file

    return LoadModelScheduling(config, log)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[LIMIT].close()


def pytest_collection_finish() -> None:
    """What is imported stays until the end: the collector need not search those half a million objects.

    Tracing makes so many objects that the search took a fifth of its time. And torch writes down what it traces if
    anybody listens to its log for that, to which pytest listens unless it passes on to the root's: a sixth of its time.
    """
    gc.collect()
    gc.freeze()
    logging.getLogger("torch.__trace").propagate = True

"""For all tests, also while other things use the machine."""

from __future__ import annotations

import gc
import os
import signal

# Two threads of torch spin while they wait for each other: that gains nothing with models as small as these, and takes
# three times the processor time of one thread beside other programs.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Of graphs that are traced once, torch's cache of shapes costs more than it saves: a fifth of a step's tracing.
os.environ.setdefault("TORCH_FAKE_TENSOR_DISPATCH_CACHE", "0")


def pytest_configure() -> None:
    """A shell has what it starts in the background ignore Ctrl-C, and commands under test would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """What is imported stays until the end: the collector need not search those half a million objects.

    Tracing makes so many objects that the search took a fifth of its time.
    """
    gc.collect()
    gc.freeze()

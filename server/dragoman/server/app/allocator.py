"""The C library's allocator: set up for a server, and asked for what it keeps while nothing is decoded.

glibc has an arena for each thread by default, and only the first gives the end of its memory back when it is asked to.
So there is one. By default it would also map and unmap each large tensor anew, and the kernel would fill each with
zeros: what is below `MAPPED_BYTES` comes from the arena, which keeps up to `KEPT_BYTES` of what is free until nothing
is decoded.
"""

import asyncio
import ctypes
import os
from collections.abc import Callable
from contextlib import suppress

from dragoman.server.telemetry.resources import give_back, resident_bytes

MAPPED_BYTES = 32 << 20
"""The most that glibc takes."""
KEPT_BYTES = 64 << 20
EVERY_S = 5.0
"""How often it is looked whether there is something to give back."""
GROWTH = 1.05
"""What is not more than so many times what was left the last time is not asked for."""

_PARAMETERS = (
    ("MALLOC_ARENA_MAX", -8, 1),
    ("MALLOC_MMAP_THRESHOLD_", -3, MAPPED_BYTES),
    ("MALLOC_TRIM_THRESHOLD_", -1, KEPT_BYTES),
)
"""The environment variables of glibc, which win; the numbers of the same parameters; their values."""


def set_up() -> None:
    """Before there are threads. Of other C libraries nothing is asked."""
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for name, number, value in _PARAMETERS:
            if name not in os.environ:
                mallopt(number, value)


async def give_back_at_rest(is_at_rest: Callable[[], bool]) -> None:
    """Give memory back whenever nothing is decoded and there is more of it than the last time; without end."""
    left = 0.0
    while True:
        if is_at_rest() and resident_bytes() > GROWTH * left:
            await asyncio.to_thread(give_back)
            left = resident_bytes()
        await asyncio.sleep(EVERY_S)

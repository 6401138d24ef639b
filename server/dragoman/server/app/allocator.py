"""The C library's allocator: set up for a server, and asked for what it keeps while nothing is decoded.

glibc has an arena for each thread by default, and only the first gives the end of its memory back when it is asked to.
So there is one. By default it would also map and unmap each large tensor anew, and the kernel would fill each with
zeros: what is below `MAPPED_BYTES` comes from the arena, which keeps up to `KEPT_BYTES` of what is free until nothing
is decoded.

numpy asks the kernel for huge pages where it has a large array, and the kernel fills whatever is given back there with
new ones: some megabytes a minute of a server at rest. So there are none in this process, unless its environment says
otherwise.

A bundle is tens of thousands of small blocks. glibc puts each into the smallest hole that has room for it. So those of
a bundle that comes would lie among what was there, and leave as many holes when it goes: each with parts of pages that
cannot be given back, and more of them with each replacement. So the small holes are filled while a bundle is loaded:
then it lies together, and leaves whole pages.
"""

import asyncio
import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from dragoman.server.app.passing_threads import on_a_thread
from dragoman.server.telemetry.resources import give_back, resident_bytes

MAPPED_BYTES = 32 << 20
"""The most that glibc takes."""
KEPT_BYTES = 128 << 20
"""More than what 32 sources with a beam of 4 take for themselves: a page that is new costs more than to fill it."""
EVERY_S = 5.0
"""How often it is looked whether there is something to give back."""
GROWTH, RESTED_GROWTH = 1.05, 1.01
"""What is not more than so many times what was left is not asked for; the second where nothing has been decoded at more
than one look, as then nobody is likely to need it."""
SETTLED_LOOKS = 2
"""So many looks in a row are a rest, at which it is asked for once, however little it is."""
HOLE_BYTES = 128 << 10
"""Holes that are no larger are filled."""
MOST_FILLERS = 20_000
"""Filling so many takes some 20 ms, in which no other thread runs Python."""

_HEADER_BYTES, _STEP_BYTES, _LEAST_BYTES = 8, 16, 32
"""A block of glibc's begins with its size, which is a multiple of the step."""
_SMALL_BYTES = 1024
_IN_A_ROW = 4
"""Blocks that follow one upon another are parts of a hole that is larger than they are."""
_PR_SET_THP_DISABLE, _HUGE_PAGES = 41, {"NUMPY_MADVISE_HUGEPAGE", "GLIBC_TUNABLES"}
"""A number of Linux's prctl, and the variables by which somebody asks for huge pages, or for none."""
_PARAMETERS = (
    ("MALLOC_ARENA_MAX", -8, 1),
    ("MALLOC_MMAP_THRESHOLD_", -3, MAPPED_BYTES),
    ("MALLOC_TRIM_THRESHOLD_", -1, KEPT_BYTES),
)
"""The environment variables of glibc, which win; the numbers of the same parameters; their values."""


def set_up() -> None:
    """Before there are threads. Of other C libraries nothing is asked."""
    if not os.environ.keys() & _HUGE_PAGES:
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_THP_DISABLE, 1, 0, 0, 0)
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for name, number, value in _PARAMETERS:
            if name not in os.environ:
                mallopt(number, value)


async def give_back_at_rest(is_at_rest: Callable[[], bool]) -> None:
    """Give memory back whenever nothing is decoded and there is more of it than the last time; without end."""
    left, rests = 1, 0  # what loading has left behind is given back at once
    while True:
        rests = rests + 1 if is_at_rest() else 0
        resident = resident_bytes()
        if is_due(rests, resident / left):
            await on_a_thread("giving-back", give_back)
            left = resident_bytes()
        else:  # what was in use while it was given back the last time may not be any more
            left = min(left, resident)
        await asyncio.sleep(EVERY_S)


def is_due(rests: int, growth: float) -> bool:
    """Whether to give memory back at the last of so many looks in a row at which nothing was decoded."""
    return rests == SETTLED_LOOKS or (rests > 0 and growth > (GROWTH if rests < SETTLED_LOOKS else RESTED_GROWTH))


@contextmanager
def holes_filled() -> Iterator[None]:
    """What is allocated meanwhile lies together, and not in small holes. With glibc; else it lies anywhere."""
    library = _glibc()
    fillers = [] if library is None else _fillers(library.malloc, library.free)
    try:
        yield
    finally:
        for filler in fillers:
            library.free(filler)


def _fillers(malloc: Callable[[int], int | None], free: Callable[[int], None]) -> list[int]:
    """Blocks in all small holes, the largest first: the smallest hole that is large enough is taken for each."""
    fillers: list[int] = []
    for size in _sizes():
        row: list[int] = []
        while len(row) < _IN_A_ROW:
            block = malloc(size - _HEADER_BYTES)
            if block is None or len(fillers) >= MOST_FILLERS:
                return fillers
            fillers.append(block)
            row = [*row, block] if row and block == row[-1] + size else [block]
        for block in row:
            free(block)
        del fillers[-len(row) :]
    return fillers


def _sizes() -> Iterator[int]:
    """Sizes of blocks, from large to small: each of the small ones, of the others some."""
    size = HOLE_BYTES
    while size > _SMALL_BYTES:
        yield size
        size = size * 9 // 10 // _STEP_BYTES * _STEP_BYTES
    yield from range(_SMALL_BYTES, _LEAST_BYTES - 1, -_STEP_BYTES)


def _glibc() -> Any:
    """The C library, if blocks come from glibc; None where another allocator has taken its place."""
    library = ctypes.PyDLL(None)  # which lets nobody else run between two blocks
    try:
        library.mallopt  # noqa: B018 - musl has none
        library.malloc.argtypes, library.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
        library.free.argtypes, library.free.restype = [ctypes.c_void_p], None
        library.malloc_usable_size.argtypes, library.malloc_usable_size.restype = [ctypes.c_void_p], ctypes.c_size_t
    except AttributeError:
        return None
    block = library.malloc(_SMALL_BYTES - _HEADER_BYTES)
    usable = library.malloc_usable_size(block) + _HEADER_BYTES
    library.free(block)
    return library if usable in (_SMALL_BYTES, _SMALL_BYTES + _STEP_BYTES) else None

"""What is asked of the C library's allocator, and when."""

import asyncio
import ctypes
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from dragoman.server.app import allocator


class EndOfTest(Exception):
    """There is nothing more to look at."""


def given_back(
    monkeypatch: pytest.MonkeyPatch, rests: list[bool], resident: Callable[[int], float], left: float
) -> list[int]:
    """The looks at which memory was given back; `resident` is how much there is at each, `left` after giving back."""
    looks, given = -1, list[int]()

    def is_at_rest() -> bool:
        nonlocal looks
        looks += 1
        if looks == len(rests):
            raise EndOfTest
        return rests[looks]

    monkeypatch.setattr(allocator, "EVERY_S", 0)
    monkeypatch.setattr(allocator, "resident_bytes", lambda: left if given[-1:] == [looks] else resident(looks))
    monkeypatch.setattr(allocator, "give_back", lambda: given.append(looks))
    with pytest.raises(EndOfTest):
        asyncio.run(allocator.give_back_at_rest(is_at_rest))
    return given


def test_memory_is_given_back_at_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, then when there is more than before and nothing is at work, and in any case once in each rest."""
    rests = [True, True, True, False, False, True, True, False, True, False]

    assert given_back(monkeypatch, rests, lambda look: 100 if look < 4 else 200, left=100) == [0, 1, 5, 6, 8]


def test_what_is_in_use_is_not_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has not grown is left alone."""
    assert given_back(monkeypatch, [True] * 4, lambda look: 101, left=100) == [0, 1]


def test_little_is_asked_for_where_nobody_is_likely_to_need_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few per cent are given back when nothing has been decoded for two looks, not between two calls."""
    rests = [True, True, False, True, False, True, True, True]

    assert given_back(monkeypatch, rests, lambda look: 104 if look > 1 else 100, left=100) == [0, 1, 6, 7]


def test_the_least_that_was_left_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was in use while it was given back the last time and is so no more is not there to be kept."""
    sizes = [100, 220, 150, 150, 152]

    assert given_back(monkeypatch, [True] * 5, sizes.__getitem__, left=200) == [0, 1, 4]


@pytest.mark.skipif(platform.system() != "Linux", reason="others have no huge pages of this kind")
@pytest.mark.parametrize(("variable", "enabled"), [(None, 0), ("NUMPY_MADVISE_HUGEPAGE", 1), ("GLIBC_TUNABLES", 1)])
def test_the_kernel_fills_nothing_with_huge_pages(variable: str | None, enabled: int) -> None:
    """Unless somebody has said what to do about them."""
    environment = {name: value for name, value in os.environ.items() if name not in allocator._HUGE_PAGES}
    # A child has it of its parent, which may be a server.
    code = "import ctypes; ctypes.CDLL(None).prctl(41, 0, 0, 0, 0); "
    code += "from dragoman.server.app import allocator; allocator.set_up(); print(open('/proc/self/status').read())"
    command = [sys.executable, "-c", code]
    said = subprocess.check_output(command, env=environment | ({variable: ""} if variable else {}), text=True)

    assert f"THP_enabled:\t{enabled}" in said


@pytest.mark.parametrize(("environment", "asked"), [({}, 3), ({"MALLOC_ARENA_MAX": "4"}, 2)])
def test_what_the_environment_says_wins(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], asked: int
) -> None:
    """One arena and two thresholds are set otherwise."""
    told: list[tuple[int, int]] = []

    class Library:
        def mallopt(self, number: int, value: int) -> int:
            told.append((number, value))
            return 1

    for name in ("MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: Library())

    allocator.set_up()

    assert len(told) == asked
    assert ((-8, 1) in told) == (not environment)


def test_a_library_without_parameters_is_let_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as musl's."""
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())

    allocator.set_up()


def test_nothing_is_filled_of_another_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its blocks say nothing of its holes."""
    monkeypatch.setattr(ctypes, "PyDLL", lambda _: object())

    with allocator.holes_filled():
        pass


@pytest.fixture
def library() -> Any:
    """The C library."""
    library = ctypes.PyDLL(None)
    library.malloc.argtypes, library.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
    library.free.argtypes, library.free.restype = [ctypes.c_void_p], None
    return library


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are let be")
@pytest.mark.parametrize("size", [40, 600, 5_000, 100_000])
def test_what_comes_lies_in_no_small_hole(library: Any, size: int) -> None:
    """Neither one block of it nor a hundred; afterwards the holes are there as before."""
    blocks = [library.malloc(size) for _ in range(400)]
    holes = blocks[50::2]
    for block in holes:
        library.free(block)

    with allocator.holes_filled():
        inside = [library.malloc(size) for _ in range(100)]
    outside = [library.malloc(size) for _ in range(100)]

    for block in (*blocks[:50], *blocks[51::2], *inside, *outside):
        library.free(block)
    assert not {*holes} & {*inside}
    assert {*holes} & {*outside}


class Heap:
    """An allocator with holes, which it takes by their size, and no end of room behind them."""

    def __init__(self, *holes: int) -> None:
        self.holes, self.end, self.taken = sorted(holes), 1 << 20, dict[int, int]()

    def malloc(self, size: int) -> int | None:
        """A block in the smallest hole that is large enough, else at the end."""
        block = size + 8
        hole = next((hole for hole in self.holes if hole >= block), 0)
        if hole:
            self.holes.remove(hole)
            address = -2 * len(self.taken) * (1 << 20)
        else:
            address, self.end = self.end, self.end + block
        self.taken[address] = hole
        return address

    def free(self, address: int) -> None:
        """A block is free again."""
        self.holes += [hole] if (hole := self.taken.pop(address)) else []


def test_a_filler_fits_its_hole() -> None:
    """The large ones come first, and none is wasted on what is larger than a hole that is filled."""
    heap = Heap(32, 48, 48, 1_024, 4_000, allocator.HOLE_BYTES)

    fillers = allocator._fillers(heap.malloc, heap.free)

    assert heap.holes == []
    assert [heap.taken[filler] for filler in fillers] == [allocator.HOLE_BYTES, 4_000, 1_024, 48, 48, 32]


def test_fillers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many holes there are, and where memory is at an end."""
    monkeypatch.setattr(allocator, "MOST_FILLERS", 100)
    heap = Heap(*[64] * 1_000)
    assert len(allocator._fillers(heap.malloc, heap.free)) == 100

    assert allocator._fillers(lambda _: None, heap.free) == []

"""What is asked of the C library's allocator, and when."""

import asyncio
import ctypes
from collections.abc import Callable

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
    """At once, and then when there is more again and nothing is at work."""
    rests = [True, True, False, False, True, True]

    assert given_back(monkeypatch, rests, lambda look: 100 if look < 2 else 200, left=100) == [0, 4, 5]


def test_what_is_in_use_is_not_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has grown by a few per cent is left alone."""
    assert given_back(monkeypatch, [True] * 4, lambda look: 104, left=100) == [0]


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

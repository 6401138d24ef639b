"""When garbage is collected."""

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest

from dragoman.server.app import garbage
from dragoman.server.app.garbage import AT_LEAST_S, EVERY_S, FEW_SEGMENTS, Garbage, collect_departed, is_due


class Knot:
    """Something that refers to itself."""

    def __init__(self) -> None:
        self.itself = self


@pytest.mark.parametrize(
    ("since_s", "segments", "due"),
    [
        (EVERY_S - 0.1, 0, False),
        (EVERY_S, FEW_SEGMENTS, True),
        (EVERY_S, FEW_SEGMENTS + 1, False),
        (AT_LEAST_S, 10**6, True),
    ],
)
def test_it_waits_while_much_is_in_flight(since_s: float, segments: int, due: bool) -> None:
    """But not for ever."""
    assert is_due(since_s, segments) == due


@pytest.fixture(params=[False, True], ids=["", "frozen"])
def is_frozen(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Whether somebody else has put objects aside for good."""
    (gc.freeze if request.param else gc.unfreeze)()
    yield request.param
    gc.freeze()


def test_old_objects_are_looked_at_when_it_is_due_alone(monkeypatch: pytest.MonkeyPatch, is_frozen: bool) -> None:
    """However many objects are made in between; what is garbage goes then, and in the end all is as before."""
    monkeypatch.setattr(garbage, "_BEAT_S", 0.01)
    monkeypatch.setattr(garbage, "EVERY_S", 0.0)
    before, full = gc.get_threshold(), 0

    def count(phase: str, info: dict[str, int]) -> None:
        nonlocal full
        full += phase == "start" and info["generation"] == 2

    async def run() -> None:
        watched = Garbage(lambda: 0)
        watched.start()
        made = [[n] for n in range(300_000)]
        assert (full, len(made)) == (1, 300_000), "the one with which it begins"

        old = Knot()
        knot = weakref.ref(old)
        gc.collect(1)  # so that it is not young any more
        del old
        async with asyncio.timeout(10):
            while knot() is not None:
                await asyncio.sleep(0.01)
        watched.close()

    gc.callbacks.append(count)
    try:
        asyncio.run(run())
    finally:
        gc.callbacks.remove(count)

    assert full > 1
    assert (gc.get_freeze_count() > 0) == is_frozen
    assert gc.get_threshold() == before


@pytest.mark.parametrize("held", [False, True], ids=["", "held for a moment"])
def test_what_has_departed_is_collected(is_frozen: bool, held: bool) -> None:
    """Also what was there for good, and what a thread still holds when it is looked for."""

    async def run() -> bool:
        holders = [Knot()]
        gc.freeze()
        knot = weakref.ref(holders[0])
        if held:
            asyncio.get_running_loop().call_later(0.01, holders.clear)
        else:
            holders.clear()
        collected = await collect_departed(knot)
        assert (knot() is None) == collected
        return collected

    assert asyncio.run(run())
    assert gc.get_freeze_count() > 0


def test_what_stays_is_not_set_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    """So it is found by a collection like any other when it is let go of in the end."""
    monkeypatch.setattr(garbage, "PAUSES_S", (0.0, 0.0))
    old = Knot()
    knot = weakref.ref(old)
    gc.freeze()

    assert not asyncio.run(collect_departed(knot))
    del old
    gc.collect()
    assert knot() is None
    gc.freeze()

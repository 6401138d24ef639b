"""Room of a lane, beside a version that pads anew for each question."""

import numpy as np
import pytest

from dragoman.server.core.segments import Size
from dragoman.server.lanes.room import Room, places


def padded(sizes: list[Size], states: int = 0) -> int:
    """Positions of all, each as long as the longest of its width, and what its hypotheses' states take."""
    longest = {size.width: max(other.length for other in sizes if other.width == size.width) for size in sizes}
    return sum(size.width * (longest[size.width] + states) for size in sizes)


@pytest.mark.parametrize("states", [0, 40])
@pytest.mark.parametrize("seed", range(20))
def test_what_is_taken_fits(seed: int, states: int) -> None:
    """Places are never below 0, positions never above what there are; what is not admitted would not fit."""
    rng = np.random.default_rng(seed)
    sizes = [Size(1, int(rng.integers(1, 100)), int(rng.choice([1, 4, 16]))) for _ in range(60)]
    held, places, positions = sizes[:3], int(rng.integers(1, 20)), int(rng.integers(500, 9000))
    room = Room(places, positions, held, states=states)
    room.other = Room(0, 0, sizes[3:6], room, states=states)
    for size in sizes[6:]:
        fits = places > 0 and padded([*held, size], states) + padded(sizes[3:6], states) <= positions
        assert room.admits(size) is fits
        if fits:
            room.take(size)
            held, places = [*held, size], places - 1

        assert (room.places, room.held, room.longest) == (places, padded(held, states), max(one.length for one in held))


def test_room_for_what_is_not_long_has_none_for_what_is() -> None:
    """Long by its tokens, or by the positions of all its hypotheses; not even where it is empty."""
    room = Room(9, 100_000)
    room.takes_long = False

    assert [room.admits(size) for size in (Size(1, 257), Size(1, 256), Size(1, 64, 17), Size(1, 64, 16))] == [
        False,
        True,
        False,
        True,
    ]


def test_an_empty_lane_has_room_for_anything() -> None:
    """Once, and where it has a place at all."""
    huge, small = Size(1, 10_000, 16), Size(1, 1)
    room = Room(9, 5)

    assert room.admits(huge)
    room.take(huge)
    assert not room.admits(small)
    assert not Room(0, 5).admits(small)


@pytest.mark.parametrize(
    ("waiting", "lanes", "expected"),
    [
        (0, 1, 32),
        (1, 2, 32),
        (64, 1, 32),  # two rounds of the usual number
        (65, 1, 32),
        (66, 1, 33),
        (128, 2, 32),
        (200, 2, 50),
        (256, 2, 64),
        (384, 2, 96),
        (10_000, 2, 96),
        (10_000, 256, 32),
    ],
)
def test_places_follow_what_waits(waiting: int, lanes: int, expected: int) -> None:
    """Few while few wait; half of a lane's share while many do; never more than the most, nor fewer than usual."""
    assert places(32, 96, waiting, lanes) == expected
    assert places(32, 32, waiting, lanes) == 32


@pytest.mark.parametrize("seed", range(10))
def test_places_beyond_the_usual_number_make_no_step_longer_or_larger(seed: int) -> None:
    """Up to that number any sizes are taken; then as long as all, padded, and their rows are no more than might be."""
    rng = np.random.default_rng(seed)
    usual, held = int(rng.integers(1, 8)), list[Size]()
    room = Room(40, 1_000_000, usual=usual)
    for _ in range(60):
        size = Size(1, int(rng.choice([5, 10, 30, 100, 250, 256, 700])), int(rng.choice([1, 1, 4, 6])))
        rows = sum(each.width for each in [*held, size])
        is_like_usual = padded([*held, size]) <= usual * 256 and rows <= usual * 8
        fits = len(held) < 40 and (len(held) < usual or is_like_usual)
        assert room.admits(size) is fits
        if fits:
            room.take(size)
            held.append(size)


def test_a_long_source_has_no_more_beside_it_than_usual() -> None:
    """Nor does it join where there are more."""
    crowd = Room(96, 1_000_000, [Size(9, 700), *[Size(9, 20)] * 31], usual=32)
    assert not crowd.admits(Size(1, 5))

    shorts = Room(96, 1_000_000, [Size(9, 20)] * 40, usual=32)
    assert shorts.admits(Size(9, 25))
    assert not shorts.admits(Size(9, 700))
    assert Room(96, 1_000_000, [Size(9, 20)] * 31, usual=32).admits(Size(9, 700))

"""Room of a lane, beside a version that pads anew for each question."""

import numpy as np
import pytest

from dragoman.server.core.segments import Size
from dragoman.server.lanes.room import Room


def padded(sizes: list[Size]) -> int:
    """Positions of all, each as long as the longest of its width."""
    return sum(size.width * max(other.length for other in sizes if other.width == size.width) for size in sizes)


@pytest.mark.parametrize("seed", range(20))
def test_what_is_taken_fits(seed: int) -> None:
    """Places are never below 0, positions never above what there are; what is not admitted would not fit."""
    rng = np.random.default_rng(seed)
    sizes = [Size(1, int(rng.integers(1, 100)), int(rng.choice([1, 4, 16]))) for _ in range(60)]
    held, places, positions = sizes[:3], int(rng.integers(1, 20)), int(rng.integers(500, 9000))
    room = Room(places, positions, held)
    room.other = Room(0, 0, sizes[3:6], room)
    for size in sizes[6:]:
        fits = places > 0 and padded([*held, size]) + padded(sizes[3:6]) <= positions
        assert room.admits(size) is fits
        if fits:
            room.take(size)
            held, places = [*held, size], places - 1

        assert (room.places, room.held, room.longest) == (places, padded(held), max(one.length for one in held))


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

"""What a lane has room for: places, one for each source, and positions, which are what a place may come to hold.

Sources that are stepped together are padded to the longest of them, so a long one costs as many times its length as
there are others beside it. Hypotheses side by side each have positions of their own. Only sources of one width are ever
stepped together, which is why positions add up over widths.
"""

from collections.abc import Iterable

from dragoman.server.core.segments import Size


class Room:
    """Free places of one half of a lane, while both halves together hold no more than so many positions."""

    def __init__(self, places: int, positions: int, held: Iterable[Size] = (), other: "Room | None" = None) -> None:
        self.places, self._positions = places, positions
        self.other = other
        """The other half's, whose positions count, too."""
        self.takes_long = True
        """Whether there is room for sources that are long."""
        self._padded: dict[int, tuple[int, int]] = {}  # by width: how many sources, and the length of the longest
        for size in held:
            self._padded[size.width] = self._beside(size)

    def __repr__(self) -> str:
        return f"<Room {self.places} places, {self.held} of {self._positions} positions held>"

    @property
    def held(self) -> int:
        """Positions of all sources that it has taken or that were there, padded."""
        return sum(width * number * longest for width, (number, longest) in self._padded.items())

    @property
    def longest(self) -> int:
        """Length of the longest of them; 0 where there is none."""
        return max((longest for _, longest in self._padded.values()), default=0)

    def admits(self, size: Size) -> bool:
        """Whether there is room for one more of this size. In an empty half there is, where it takes long ones."""
        if size.is_long and not self.takes_long:
            return False
        if not self._padded or self.places <= 0:
            return self.places > 0
        (number, longest), (_, before) = self._beside(size), self._padded.get(size.width, (0, 0))
        more = size.width * (number * longest - (number - 1) * before)
        others = 0 if self.other is None else self.other.held
        return self.held + more + others <= self._positions

    def take(self, size: Size) -> None:
        """It has one more."""
        self.places -= 1
        self._padded[size.width] = self._beside(size)

    def _beside(self, size: Size) -> tuple[int, int]:
        number, longest = self._padded.get(size.width, (0, 0))
        return number + 1, max(longest, size.length)

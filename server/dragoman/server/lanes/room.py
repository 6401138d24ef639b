"""What a lane has room for: places, one for each source, and positions, which are what a place may come to hold.

Sources that are stepped together are padded to the longest of them, so a long one costs as many times its length as
there are others beside it. Hypotheses side by side each have positions of their own. Only sources of one width are ever
stepped together, which is why positions add up over widths.
"""

from collections.abc import Iterable

from dragoman.server.core.segments import LONG_TOKENS, Size

TURNS = 2
"""So many times over, those who wait may go through the places that a lane has as a rule."""
WIDE = 8
"""Hypotheses side by side of a wide search."""


def places(usual: int, most: int, waiting: int, lanes: int) -> int:
    """How many sources a half of a lane may hold while so many segments wait for all lanes.

    As many as usual, with which each of them is soon done, as long as those who wait go through these places twice or
    less. Where more wait, each waits for several times as long as it will be decoded, however many it is decoded with:
    then what counts is how many are done in a second, and half of a lane's share of them may be stepped together, as
    more rows share each reading of the weights, but no more than `most`.
    """
    return max(usual, min(most, waiting // (TURNS * lanes)))


class Room:
    """Free places of one half of a lane, while both halves together hold no more than so many positions.

    Places beyond the `usual` number are for sources that make no step longer or larger than the usual number of sources
    might, none of which is long and each of which is searched widely: so a long source is never slowed by more others
    than it always was, and scores of all words take no more memory.
    """

    def __init__(
        self,
        places: int,
        positions: int,
        held: Iterable[Size] = (),
        other: "Room | None" = None,
        *,
        usual: int | None = None,
        states: int = 0,
    ) -> None:
        """Each hypothesis takes as many positions more as its `states` do."""
        self.places, self._positions, self._usual, self._states = places, positions, usual, states
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
        padded = self._padded.items()
        return sum(width * number * (longest + self._states) for width, (number, longest) in padded)

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
        more = size.width * (number * longest - (number - 1) * before + self._states)
        others = 0 if self.other is None else self.other.held
        if self._usual is not None and sum(number for number, _ in self._padded.values()) >= self._usual:
            rows = size.width + sum(width * number for width, (number, _) in self._padded.items())
            if self.held + more > self._usual * LONG_TOKENS or rows > self._usual * WIDE:
                return False
        return self.held + more + others <= self._positions

    def take(self, size: Size) -> None:
        """It has one more."""
        self.places -= 1
        self._padded[size.width] = self._beside(size)

    def _beside(self, size: Size) -> tuple[int, int]:
        number, longest = self._padded.get(size.width, (0, 0))
        return number + 1, max(longest, size.length)

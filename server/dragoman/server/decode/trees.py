"""The token trees of sources that are stepped together: what was proposed, and by which way it was reached.

A step adds one level to every tree: K places, each a token, its parent's place in the level above, and the
log-probability that the model gave it. A hypothesis is a place and is read off by walking up. Places that no
hypothesis lives in hold anything.
"""

import numpy as np

from dragoman.server.decode.arrays import Floats32, Ints

FIRST_LEVELS = 32


class Trees:
    """Trees of up to `capacity` sources with K places a level."""

    def __init__(self, capacity: int, places: int) -> None:
        self.length = np.zeros(capacity, np.int64)
        """Levels of each tree."""
        self.newest = np.zeros((capacity, places), np.int64)
        """Tokens of the newest level; the root's where there is none yet."""
        self._rows = np.arange(capacity)
        self._token = np.zeros((capacity, FIRST_LEVELS, places), np.int64)
        self._parent = np.zeros((capacity, FIRST_LEVELS, places), np.int64)
        self._logp = np.zeros((capacity, FIRST_LEVELS, places), np.float32)

    def plant(self, g: int, token: int) -> None:
        """Tree g is its root alone."""
        self.length[g] = 0
        self.newest[g] = token

    def move(self, row: int, to: int) -> None:
        """What belonged to row `row` belongs to row `to`."""
        levels = self.length[row]
        for values in (self._token, self._parent, self._logp):
            values[to, :levels] = values[row, :levels]
        self.length[to], self.newest[to] = levels, self.newest[row]

    def grow(self, token: Ints, parent: Ints, logp: Floats32, rows: Ints | None = None) -> None:
        """Add a level [n, K] to these trees, or to the first n."""
        # A slice is faster than the numbers that it stands for.
        at, rows = (slice(len(token)), self._rows[: len(token)]) if rows is None else (rows, rows)
        level = self.length[at]
        if level.max(initial=0) >= self._token.shape[1]:
            self._token, self._parent, self._logp = (
                np.concatenate([held, np.zeros_like(held)], axis=1) for held in (self._token, self._parent, self._logp)
            )
        self._token[rows, level] = self.newest[at] = token
        self._parent[rows, level] = parent
        self._logp[rows, level] = logp
        self.length[at] = level + 1

    def tokens(self, g: int, places: Ints) -> list[list[int]]:
        """The tokens on the ways from the root to places of the newest level of tree g."""
        levels = int(self.length[g])
        walk = np.zeros((levels, len(places)), np.int64)
        for level in range(levels - 1, -1, -1):
            walk[level] = self._token[g, level, places]
            places = self._parent[g, level, places]
        said: list[list[int]] = walk.T.tolist()
        return said

    def path(self, g: int, place: int) -> tuple[list[int], list[float], list[int]]:
        """The way from the root to a place of the newest level of tree g: tokens, their log-probabilities, and the
        place of each in its level.
        """
        levels = int(self.length[g])
        parents = self._parent[g, :levels].tolist()
        places = [0] * levels
        for level in range(levels - 1, -1, -1):
            places[level] = place
            place = parents[level][place]
        walk = (g, np.arange(levels), places)
        return self._token[walk].tolist(), self._logp[walk].tolist(), places

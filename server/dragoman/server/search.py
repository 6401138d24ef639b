"""The token trees of sources that are stepped together, and the search that grows them.

Every source has a tree. A step adds one level: its nodes are (token, parent, log-probability), the parent being a place
in the level above, so a hypothesis is a place in the newest level and is read off by walking up. All trees of one
`Search` have the same width K (greedy is K = 1) and lie in arrays with the source as first axis; sources join and leave
at any step, and each has its own age, limit and options.

The rule is Marian's: of all continuations of a source's live hypotheses the best W are taken, W being K at first; those
that end leave the beam, which narrows by as many; the search is over when none is left, or at the length limit, where
open hypotheses count as they are. Ties go to the lower place, then the lower id.
Suppressed words are passed over after normalisation, so that scores stay the model's.

Always true: a source's live hypotheses number at most its W; a place that is not live has score -inf; nothing about a
source depends on any other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dragoman.server.domain import FinishReason, Hypothesis

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

IMPOSSIBLE = -1e8
"""Graphs add -1e9 to what must not be chosen; a log-probability below this was masked."""


@dataclass(frozen=True)
class Terms:
    """What the search must know of one segment."""

    max_target_tokens: int
    length_penalty: float
    num_hypotheses: int


@dataclass(frozen=True)
class Advance:
    """What a step did to the trees: for each place of the new level, its parent's place and whether it lives."""

    parents: Ints  # [G, K]
    live: Bools  # [G, K]
    finished: list[int]
    """Sources whose search is over, ascending."""


class Search:
    """Trees of up to `capacity` sources at one width."""

    def __init__(self, width: int, capacity: int, *, start_id: int, eos_id: int, suppressed: tuple[int, ...]) -> None:
        self.width, self.start_id, self.eos_id, self.suppressed = width, start_id, eos_id, suppressed
        self._terms: list[Terms] = []
        self._ended: list[list[Hypothesis]] = []
        self._scores: Floats = np.full((capacity, width), -np.inf)
        self._room = np.zeros(capacity, np.int64)  # W
        self._length = np.zeros(capacity, np.int64)
        self._limit = np.zeros(capacity, np.int64)
        self._numbers = np.arange(max(capacity, width * (width + len(suppressed))))
        self._token = np.zeros((capacity, 32, width), np.int64)  # [source, level, place]
        self._parent = np.zeros((capacity, 32, width), np.int64)

    def __len__(self) -> int:
        return len(self._terms)

    def __repr__(self) -> str:
        return f"<Search width {self.width}, {len(self)} sources, lengths {self._length[: len(self)].tolist()}>"

    @property
    def num_wanted(self) -> int:
        """How many best words of each row the search must see: the beam's, and those it passes over."""
        return self.width + len(self.suppressed)

    @property
    def num_live(self) -> int:
        """Live hypotheses of all sources."""
        return int(np.count_nonzero(self._scores[: len(self)] > -np.inf))

    def admit(self, terms: Terms) -> int:
        """Plant a tree; its index is the number of sources before it."""
        g = len(self._terms)
        self._terms.append(terms)
        self._ended.append([])
        self._scores[g] = -np.inf
        self._scores[g, 0] = 0.0
        self._room[g], self._length[g], self._limit[g] = self.width, 0, terms.max_target_tokens
        return g

    def remove(self, g: int) -> None:
        """Take out source g; the last one moves to its index."""
        last = len(self._terms) - 1
        for rows in (self._scores, self._room, self._length, self._limit, self._token, self._parent):
            rows[g] = rows[last]
        self._terms[g] = self._terms[last]
        self._ended[g] = self._ended[last]
        del self._terms[last], self._ended[last]

    def frontier(self) -> tuple[Ints, Ints]:
        """Tokens and positions [G, K] of the newest level: what the decoder reads next."""
        n = len(self)
        age = self._length[:n]
        ids = self._token[self._numbers[:n], age - 1]  # of a source with no level yet: any, replaced below
        ids[age == 0] = self.start_id
        return ids, np.repeat(age[:, None], self.width, axis=1)

    def advance(self, logp: npt.NDArray[np.float32], ids: Ints) -> Advance:
        """Grow every tree by one level, given each place's best words: two of [G, K, k]."""
        n, width, count = logp.shape
        scores = self._scores[:n, :, None] + logp
        scores[logp < IMPOSSIBLE] = -np.inf
        for word in self.suppressed:
            scores[ids == word] = -np.inf
        flat, words = scores.reshape(n, -1), ids.reshape(n, -1)
        places = np.broadcast_to(self._numbers[: width * count] // count, flat.shape)
        order = np.lexsort((words, places, -flat))[:, :width]
        rows = self._numbers[:n, None]
        score, token, parents = flat[rows, order], words[rows, order], order // count

        taken = (self._numbers[: order.shape[1]] < self._room[:n, None]) & (score > -np.inf)
        self._append(token, parents)
        ended = taken & (token == self.eos_id)
        at_limit = (self._length[:n] >= self._limit[:n])[:, None] & taken & ~ended
        for g, place in zip(*np.nonzero(ended | at_limit), strict=True):
            reason = FinishReason.STOP if ended[g, place] else FinishReason.LENGTH
            self._end(int(g), int(place), float(score[g, place]), reason)
        live = taken & ~ended & ~at_limit
        self._scores[:n] = np.where(live, score, -np.inf)
        self._room[:n] -= ended.sum(1)
        return Advance(parents, live, np.flatnonzero(~live.any(1)).tolist())

    def hypotheses(self, g: int) -> tuple[Hypothesis, ...]:
        """The best finished hypotheses of source g, best first."""
        best = sorted(self._ended[g], key=lambda h: -h.score)  # stable: the one found first wins a tie
        return tuple(best[: self._terms[g].num_hypotheses])

    def steps(self, g: int) -> int:
        """Levels grown so far."""
        return int(self._length[g])

    def _append(self, token: Ints, parents: Ints) -> None:
        n = len(self)
        level = self._length[:n]
        if level.max(initial=0) >= self._token.shape[1]:
            self._token = np.concatenate([self._token, np.zeros_like(self._token)], axis=1)
            self._parent = np.concatenate([self._parent, np.zeros_like(self._parent)], axis=1)
        self._token[self._numbers[:n], level] = token
        self._parent[self._numbers[:n], level] = parents
        self._length[:n] += 1

    def _end(self, g: int, place: int, logp: float, reason: FinishReason) -> None:
        """Read a hypothesis off the tree."""
        length = int(self._length[g])
        tokens = []
        for level in range(length - 1, -1, -1):
            tokens.append(int(self._token[g, level, place]))
            place = int(self._parent[g, level, place])
        tokens.reverse()
        if reason is FinishReason.STOP:
            tokens.pop()
        score = logp / float(length) ** self._terms[g].length_penalty
        self._ended[g].append(Hypothesis(tuple(tokens), logp, score, reason))

"""Lexical shortlists: which target words a source text makes likely.

A bundle's file (`.npz`, no pickles) holds `first`, `offsets` [source vocabulary + 1] and `ids`: source word s owns
`ids[offsets[s]:offsets[s + 1]]`, and every target word below `first` is always a candidate. `Candidates` keeps the
union of what the sources of a batch may say; each source still sees its own words only.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]

MULTIPLE = 8
"""A source's candidates are filled up to a multiple of this with the lowest words, as Marian's engines do."""
BLOCK = 32
"""The graph takes candidates in multiples of this."""
MASKED = np.float32(-1e9)


class Shortlist:
    """The table of one bundle."""

    def __init__(self, first: int, offsets: Ids, ids: Ids, *, vocabulary: int, eos_id: int) -> None:
        self.first, self.offsets, self.ids = first, offsets, ids
        self.vocabulary, self.eos_id = vocabulary, eos_id

    @classmethod
    def load(cls, path: Path, vocabulary: int, eos_id: int) -> Shortlist:
        """Read and check a bundle's file."""
        with np.load(path, allow_pickle=False) as file:
            first, offsets, ids = int(file["first"]), file["offsets"].astype(np.int64), file["ids"].astype(np.int64)
        is_sound = offsets.ndim == 1 and len(offsets) > 1 and offsets[0] == 0 and offsets[-1] == len(ids)
        if not is_sound or (np.diff(offsets) < 0).any() or (len(ids) and not 0 <= ids.min() <= ids.max() < vocabulary):
            raise ValueError(f"{path.name}: the shortlist's lists do not fit a vocabulary of {vocabulary}")
        return cls(first, offsets, ids, vocabulary=vocabulary, eos_id=eos_id)

    def candidates(self, source: tuple[int, ...]) -> Ids:
        """The target words worth considering for these source words, ascending."""
        lists = [self.ids[self.offsets[s] : self.offsets[s + 1]] for s in set(source)]
        is_in = np.zeros(self.vocabulary, np.bool_)
        is_in[: self.first] = True
        is_in[self.eos_id] = True
        is_in[np.concatenate(lists)] = True
        missing = -int(is_in.sum()) % MULTIPLE
        if missing:
            is_in[np.flatnonzero(~is_in)[:missing]] = True
        return np.flatnonzero(is_in)


class Candidates:
    """The candidate words of all sources of a batch, as the graph takes them.

    The union is made anew when sources join; one that leaves only stops counting, so that its words linger unseen
    until then.
    """

    def __init__(self, capacity: int, vocabulary: int) -> None:
        self._own: list[Ids] = []
        self._capacity = capacity
        self._count = np.zeros(vocabulary, np.int32)
        self._place = np.zeros(vocabulary, np.int64)
        self._words: Ids = np.zeros(0, np.int64)
        self._allowed = np.zeros((capacity, 0), np.float32)
        self._is_stale = True

    def admit(self, words: Ids) -> None:
        """One more source."""
        self._own.append(words)
        self._count[words] += 1
        self._is_stale = True

    def remove(self, g: int) -> None:
        """Source g leaves; the last one moves to its index."""
        self._count[self._own[g]] -= 1
        last = len(self._own) - 1
        self._own[g] = self._own[last]
        del self._own[last]
        if not self._is_stale:
            self._allowed[g] = self._allowed[last]

    def feed(self, wanted: int) -> dict[str, npt.NDArray[np.generic]]:
        """Graph inputs, with blocks enough to choose `wanted` words."""
        if self._is_stale or len(self._words) < wanted * BLOCK:
            words = np.flatnonzero(self._count)
            size = max(-(-len(words) // BLOCK), wanted) * BLOCK
            self._words = np.zeros(size, np.int64)
            self._words[: len(words)] = words
            self._place[words] = np.arange(len(words))
            self._allowed = np.full((self._capacity, size), MASKED)
            for g, own in enumerate(self._own):
                self._allowed[g, self._place[own]] = 0
            self._is_stale = False
        return {"candidates": self._words, "allowed": self._allowed[: len(self._own)]}

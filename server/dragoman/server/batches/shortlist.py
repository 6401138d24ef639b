"""Lexical shortlists: which target words a source text makes likely.

A bundle's file (`.npz`, no pickles) holds `first`, `offsets` [source vocabulary + 1] and `ids`: source word s owns
`ids[offsets[s]:offsets[s + 1]]`, and every target word below `first` is always a candidate. `CandidateUnion` keeps the
union of what the sources of a batch may say; each source still sees its own words only.
"""

import io
from collections.abc import Callable
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from dragoman.bundle.graphs import ALLOWED, CANDIDATE_IDS, OWN, OWN_BIAS, SHORTLIST_BLOCK, WORD_BIAS
from dragoman.server.decode.arrays import Ints
from dragoman.server.runtime.buffers import Array, Feed
from dragoman.server.runtime.padding import MASKED

MULTIPLE = 8
"""A source's candidates are filled up to a multiple of this with the lowest words, as Marian's engines do."""


class Shortlist:
    """The table of one bundle."""

    def __init__(self, first: int, offsets: Ints, ids: Ints, *, vocabulary: int, eos_id: int) -> None:
        self.first, self.offsets, self.ids = first, offsets, ids
        self.vocabulary = vocabulary
        self._always = np.union1d(np.arange(first), [eos_id])

    @classmethod
    def load(cls, path: Path, content: bytes, *, source_vocabulary: int, vocabulary: int, eos_id: int) -> "Shortlist":
        """Check what the file `path` of a bundle holds, and take it. Raises ValueError."""
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                first, offsets, ids = (arrays[name].astype(np.int64) for name in ("first", "offsets", "ids"))
        except (OSError, EOFError, KeyError, TypeError, AttributeError, ValueError, BadZipFile) as error:
            raise ValueError(f"{path.name}: not a shortlist: {error}") from error
        is_sound = offsets.shape == (source_vocabulary + 1,) and offsets[0] == 0 and offsets[-1] == len(ids)
        is_sound = is_sound and first.shape == () and 0 <= first <= vocabulary
        if not is_sound or (np.diff(offsets) < 0).any() or (len(ids) and not 0 <= ids.min() <= ids.max() < vocabulary):
            sizes = f"{source_vocabulary} and {vocabulary} words"
            raise ValueError(f"{path.name}: the shortlist's lists do not fit vocabularies of {sizes}")
        return cls(int(first), offsets, ids, vocabulary=vocabulary, eos_id=eos_id)

    def candidates(self, source: tuple[int, ...]) -> Ints:
        """The target words worth considering for these source words, ascending."""
        lists = [self.ids[self.offsets[s] : self.offsets[s + 1]] for s in set(source)]
        words = _distinct(np.concatenate([self._always, *lists]))
        size = -(-len(words) // MULTIPLE) * MULTIPLE
        if len(words) < size <= self.vocabulary:
            absent = np.ones(size, np.bool_)  # at least as many of the lowest `size` words are absent as are missing
            absent[words[words < size]] = False
            words = np.concatenate([words, np.flatnonzero(absent)[: size - len(words)]])
            words.sort()
        return words


def _distinct(ids: Ints) -> Ints:
    """Ascending, without repeats: `np.unique`, several times faster on lists as short as these."""
    ids.sort()
    is_first = np.empty(len(ids), np.bool_)
    is_first[:1] = True
    np.not_equal(ids[1:], ids[:-1], out=is_first[1:])
    return ids[is_first]


class CandidateUnion:
    """The candidate words of all sources of a batch, as the graph takes them.

    The union is made anew when sources join; one that leaves only stops counting, so that its words linger unseen
    until then. `look_up` fetches the output layer's rows of the union.
    """

    def __init__(self, look_up: Callable[[Ints], Feed], vocabulary: int) -> None:
        self._look_up = look_up
        self._listed: list[Ints] = []
        self._count = np.zeros(vocabulary, np.int32)
        self._place = np.zeros(vocabulary, np.int64)
        self._words: Ints = np.zeros(0, np.int64)
        self._rows: Feed = {}
        self._bias = np.zeros(0, np.float32)
        self._lists: dict[str, Array] = {}
        """What sources may say, in the forms that were asked for since the union was made."""
        self._is_stale = True

    def admit(self, words: Ints) -> None:
        """One more source."""
        self._listed.append(words)
        self._count[words] += 1
        self._is_stale = True

    def remove(self, row: int) -> None:
        """A source leaves; the last one takes its place."""
        self._count[self._listed[row]] -= 1
        self._listed[row] = self._listed[-1]
        del self._listed[-1]
        for lists in () if self._is_stale else self._lists.values():
            lists[row] = lists[len(self._listed)]

    def __len__(self) -> int:
        """How many words the graph is given."""
        if self._is_stale:
            self._unite()
        return len(self._words)

    def feed(self, *, by_source: bool = False) -> Feed:
        """Graph inputs: a source's own words have their bias, others are masked; or its own words alone."""
        if self._is_stale:
            self._unite()
        if not self._rows:
            self._rows = self._look_up(self._words)
            self._bias = self._rows.pop(WORD_BIAS)
        names = (OWN, OWN_BIAS) if by_source else (ALLOWED,)
        if names[0] not in self._lists:
            self._lists |= self._own() if by_source else self._among_all()
        lists = {name: self._lists[name][: len(self._listed)] for name in names}
        return {CANDIDATE_IDS: self._words, **lists, **self._rows}

    def places(self, words: Ints) -> Ints:
        """Where these words stand among the candidates; one that is none stands where all sources are masked."""
        return np.where(self._count[words] > 0, self._place[words], len(self._words) - 1)

    def _unite(self) -> None:
        """The words of all sources."""
        words = np.flatnonzero(self._count > 0)  # booleans are searched seven times as fast as numbers
        self._words = np.zeros((len(words) // SHORTLIST_BLOCK + 1) * SHORTLIST_BLOCK, np.int64)  # the last is nobody's
        self._words[: len(words)] = words
        self._place[words] = np.arange(len(words))
        self._rows, self._lists, self._is_stale = {}, {}, False

    def _among_all(self) -> dict[str, Array]:
        """The bias of each source's own words among all candidates."""
        allowed = np.full((len(self._listed), len(self._words)), MASKED)
        for row, words in zip(allowed, self._listed, strict=True):
            places = self._place[words]
            row[places] = self._bias[places]
        return {ALLOWED: allowed}

    def _own(self) -> dict[str, Array]:
        """Where each source's own words stand, in order, and their biases; in place of those it lacks is nobody's."""
        width = max(map(len, self._listed)) // SHORTLIST_BLOCK * SHORTLIST_BLOCK + SHORTLIST_BLOCK
        own = np.full((len(self._listed), width), len(self._words) - 1)
        bias = np.full(own.shape, MASKED)
        for row, words in enumerate(self._listed):
            places = self._place[words]
            own[row, : len(words)], bias[row, : len(words)] = places, self._bias[places]
        return {OWN: own, OWN_BIAS: bias}

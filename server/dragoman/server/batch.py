"""The sources that one lane steps together: their trees, what the decoder keeps, their encoder memory.

All sources of a batch share a width (beam size) and a step graph; each has its own age, length and options. Sources
join at the end; one that leaves is replaced by the last one, so every tensor the graph sees is the front of a larger
array and nothing else moves. Source positions are padded to a multiple of 16 that fits the longest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from dragoman.bundle.manifest import Manifest, Tensor
from dragoman.server.device import Device
from dragoman.server.domain import Engine, Hypothesis, Segment, Work
from dragoman.server.pool import GRAIN, MASKED, kept_for, round_up
from dragoman.server.resident import ResidentPositions
from dragoman.server.runtime import EXTENDED, HIDDEN, Runtime
from dragoman.server.search import Layout, Search
from dragoman.server.shortlist import Shortlist
from dragoman.server.stores import Feed, HostPositions, Positions
from dragoman.server.weighing import Vocabulary
from dragoman.server.words import Words

Floats = npt.NDArray[np.float32]
T = TypeVar("T")
U = TypeVar("U")
NO_WORK = Work()


@dataclass(frozen=True)
class Encoded:
    """One source as the encoder gives it."""

    made: Mapping[str, Any]
    """What the autoregressive decoder reads, by name, without the axis G: keys and values [H, ...] with padded
    positions, and first states; none where nobody wants them."""
    hidden: Floats | None
    """Rows [n, d] without padding, where someone wants them."""


@dataclass(frozen=True)
class Finished(Generic[T]):
    """A source that leaves a group."""

    owner: T
    hypotheses: tuple[Hypothesis, ...]
    """None where the numbers were not finite."""
    steps: int
    engine: Engine
    work: Work = NO_WORK


class Group(Protocol[T]):
    """Sources that are decoded together, whatever the way. Each carries an owner: what the caller wants back."""

    @property
    def owners(self) -> list[T]:
        """Of the sources."""

    def __len__(self) -> int:
        """Sources."""

    @property
    def rows(self) -> int:
        """Of the next step."""

    @property
    def num_live(self) -> int:
        """Rows of the next step that are of use."""

    @property
    def longest(self) -> int:
        """Tokens of its longest source; above 0 where there is one."""

    def admit(self, owner: T, segment: Segment, encoded: Encoded) -> None:
        """Take in an encoded source."""

    def step(self) -> list[Finished[T]]:
        """Run the decoder once for all sources; those that are finished leave."""

    def drop(self, owner: T) -> int:
        """A source leaves unfinished; returns how many target positions were decoded for it."""


class Memory:
    """Cross-attention keys and values of a batch's sources, [G, H, ...] with positions S on an axis of their own."""

    def __init__(self, declared: Sequence[Tensor], capacity: int, device: Device | None = None) -> None:
        self._capacity = capacity
        positioned = [one for one in declared if "S" in one.shape]
        self._store: Positions = (
            HostPositions(positioned, capacity, GRAIN)
            if device is None
            else ResidentPositions(device, positioned, capacity, GRAIN)
        )
        self._lengths = np.zeros(capacity, np.int64)
        self._mask = np.full((capacity, 1, 1, GRAIN), MASKED)

    def admit(self, g: int, encoded: Mapping[str, Any], length: int) -> None:
        """Source g's own keys and values, without the axis G, of which `length` positions count."""
        self._lengths[g] = length
        longest = self._store.room(round_up(int(self._lengths[: g + 1].max())))
        positions = self._mask.shape[3]
        if longest > positions or 2 * longest <= positions:
            self._resize(longest, g)
        self._store.place(g, encoded)
        self._mask[g] = MASKED
        self._mask[g, ..., :length] = 0

    def move(self, source: int, target: int) -> None:
        """What belonged to index `source` belongs to index `target`."""
        self._store.move(source, target)
        self._mask[target] = self._mask[source]
        self._lengths[target] = self._lengths[source]

    def longest(self, sources: int) -> int:
        """Positions of the longest of the first `sources` sources."""
        return int(self._lengths[:sources].max(initial=0))

    def feed(self, sources: int) -> Feed:
        """Graph inputs for the first `sources` sources."""
        return {"src_mask": self._mask[:sources], **self._store.feed(sources)}

    def _resize(self, positions: int, sources: int) -> None:
        """Make room for this many positions; the first `sources` sources keep theirs."""
        self._store.resize(positions, sources)
        mask = np.full((self._capacity, 1, 1, positions), MASKED)
        kept = min(positions, self._mask.shape[3])
        mask[:sources, ..., :kept] = self._mask[:sources, ..., :kept]
        self._mask = mask


class Batch(Generic[T]):
    """Up to `capacity` sources of one layout. Each carries an owner: whatever the caller wants back at its end."""

    def __init__(self, runtime: Runtime, shortlist: Shortlist | None, *, layout: Layout, capacity: int) -> None:
        manifest = runtime.manifest
        self.owners: list[T] = []
        self.layout, self.capacity = layout, capacity
        self._search = Search(layout, capacity, vocabulary_of(manifest))
        self._kept = kept_for(runtime, capacity, layout.places)
        self._memory = Memory(memory_of(manifest), capacity, runtime.device)
        self._vocabulary, self._copies = manifest.architecture.target_vocabulary, manifest.architecture.copies
        self._unk_id = manifest.tokenizer.unk_id
        self._words = Words(runtime, shortlist)

    def __len__(self) -> int:
        return len(self.owners)

    def __repr__(self) -> str:
        return f"<Batch {len(self)}/{self.capacity} sources, {self.layout}>"

    @property
    def rows(self) -> int:
        """See `Group`."""
        return len(self) * self.layout.places

    @property
    def num_live(self) -> int:
        """Live hypotheses of all sources."""
        return self._search.num_live

    @property
    def longest(self) -> int:
        """See `Group`."""
        return self._memory.longest(len(self))

    def admit(self, owner: T, segment: Segment, encoded: Encoded) -> None:
        """See `Group`."""
        g = len(self.owners)
        self.owners.append(owner)
        self._search.admit(segment)
        made = dict(encoded.made)
        if self._copies:
            made[EXTENDED] = np.array(segment.copies or segment.ids)
        self._kept.admit(g, made)
        self._memory.admit(g, made, len(segment.ids))
        self._words.admit(segment.ids)

    def step(self) -> list[Finished[T]]:
        """See `Group`."""
        n, query = len(self), self._search.ask()
        # What was copied is read as what it is to the vocabulary.
        ids = np.where(query.ids < self._vocabulary, query.ids, self._unk_id) if self._copies else query.ids
        feed = {"ids": ids, "depth": query.depth, **self._memory.feed(n), **self._kept.feed(n)}
        reply, new, broken = self._words.answer(query, feed)
        advance = self._search.advance(reply)
        self._kept.keep(new, advance)
        leaving = sorted({*broken, *advance.finished})
        done = [
            Finished(
                self.owners[g],
                () if g in broken else self._search.hypotheses(g),
                self._search.steps(g),
                self.layout.engine,
            )
            for g in leaving
        ]
        for g in reversed(leaving):
            self._remove(g)
        return done

    def drop(self, owner: T) -> int:
        """See `Group`."""
        g = self.owners.index(owner)
        steps = self._search.steps(g)
        self._remove(g)
        return steps

    def _remove(self, g: int) -> None:
        last = len(self) - 1
        self.owners[g] = self.owners[last]
        del self.owners[last]
        if g != last:
            self._kept.move(last, g)
            self._memory.move(last, g)
        self._search.remove(g)
        self._words.remove(g)


def replace_by_last(rows: list[U], g: int) -> None:
    """Row g leaves; the last one takes its place."""
    rows[g] = rows[-1]
    del rows[-1]


def vocabulary_of(manifest: Manifest) -> Vocabulary:
    """What the search must know of a bundle's target vocabulary."""
    words = manifest.tokenizer
    return Vocabulary(words.start_id, words.eos_id, words.unk_id, words.suppressed_ids)


def memory_of(manifest: Manifest) -> list[Tensor]:
    """What a step reads of a source's positions."""
    return [tensor for tensor in manifest.graphs["step"].inputs if "S" in tensor.shape and tensor.name != "src_mask"]


def encode(runtime: Runtime, segments: Sequence[Segment], *, cross: bool = True, hidden: bool = False) -> list[Encoded]:
    """Encode segments in one padded run, for the autoregressive decoder (`cross`), for others (`hidden`), or both."""
    lengths = np.array([len(segment.ids) for segment in segments])
    positions = round_up(int(lengths.max()))
    is_word = np.arange(positions) < lengths[:, None]
    found = runtime.encode(
        {
            "ids": np.concatenate([segment.ids for segment in segments]),
            "depth": np.nonzero(is_word)[1],
            "rows": np.flatnonzero(is_word),
            "places": places_of(lengths),
            "src_mask": np.where(is_word, np.float32(0), MASKED)[:, None, None],
        },
        cross=cross,
        hidden=hidden,
    )
    rows = np.split(found.pop(HIDDEN), lengths.cumsum()[:-1]) if hidden else [None] * len(segments)
    return [Encoded({name: tensor[g] for name, tensor in found.items()}, rows[g]) for g in range(len(segments))]


def places_of(lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Which of all sources' words stands where [G, S]; padding reads the word before it, masked."""
    is_word = np.arange(round_up(int(lengths.max()))) < lengths[:, None]
    found: npt.NDArray[np.int64] = (np.cumsum(is_word) - 1).reshape(is_word.shape)
    return found

"""The sources that one lane steps together: their trees, what the decoder keeps, their encoder memory.

All sources of a batch share a width (beam size) and a step graph; each has its own age, length and options. Sources
join at the end; one that leaves is replaced by the last one, so every tensor the graph sees is the front of a larger
array and nothing else moves. Source positions are padded to a multiple of 16 that fits the longest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from dragoman.bundle.manifest import Manifest, Tensor
from dragoman.server.domain import Engine, Hypothesis, Segment, Work
from dragoman.server.pool import GRAIN, MASKED, kept_for, round_up
from dragoman.server.runtime import ATTENTION, STEP, STEP_SHORTLIST, Runtime
from dragoman.server.search import Layout, Reply, Search
from dragoman.server.shortlist import Candidates, Shortlist
from dragoman.server.weighing import Vocabulary

Floats = npt.NDArray[np.float32]
T = TypeVar("T")
U = TypeVar("U")
NO_WORK = Work()


@dataclass(frozen=True)
class Encoded:
    """One source as the encoder gives it."""

    cross: Sequence[Floats]
    """The autoregressive decoder's keys and values [H, ...] with padded positions; none where nobody wants them."""
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
        """A source leaves unfinished; returns the steps that were run for it."""


class Memory:
    """Cross-attention keys and values of a batch's sources, [G, H, ...] with positions S on an axis of their own."""

    def __init__(self, declared: Sequence[Tensor], capacity: int) -> None:
        self._capacity = capacity
        self._declared = [one for one in declared if one.name.startswith("cross_")]
        self._positions = 0
        self._lengths = np.zeros(capacity, np.int64)
        self._tensors: list[Floats] = []
        self._mask = np.zeros((0, 1, 1, 0), np.float32)
        self._resize(GRAIN, 0)

    def admit(self, g: int, cross: Sequence[Floats], length: int) -> None:
        """Source g's own keys and values, without the axis G, of which `length` positions count."""
        self._lengths[g] = length
        longest = round_up(int(self._lengths[: g + 1].max()))
        if longest > self._positions or 2 * longest <= self._positions:
            self._resize(longest, g)
        for tensor, own, declared in zip(self._tensors, cross, self._declared, strict=True):
            axis = declared.shape.index("S") - 1
            front = (slice(None),) * axis + (slice(min(own.shape[axis], self._positions)),)
            tensor[g][front] = own[front]
        self._mask[g] = MASKED
        self._mask[g, ..., :length] = 0

    def move(self, source: int, target: int) -> None:
        """What belonged to index `source` belongs to index `target`."""
        for tensor in (*self._tensors, self._mask):
            tensor[target] = tensor[source]
        self._lengths[target] = self._lengths[source]

    def longest(self, sources: int) -> int:
        """Positions of the longest of the first `sources` sources."""
        return int(self._lengths[:sources].max(initial=0))

    def feed(self, sources: int) -> dict[str, npt.NDArray[np.generic]]:
        """Graph inputs for the first `sources` sources."""
        named = zip(self._declared, self._tensors, strict=True)
        return {"src_mask": self._mask[:sources], **{one.name: tensor[:sources] for one, tensor in named}}

    def _resize(self, positions: int, sources: int) -> None:
        """Make room for this many positions; the first `sources` sources keep theirs."""
        if positions == self._positions:
            return
        sizes = {"G": self._capacity, "S": positions}
        tensors = [
            np.zeros([size if isinstance(size, int) else sizes[size] for size in declared.shape], np.float32)
            for declared in self._declared
        ]
        mask = np.full((self._capacity, 1, 1, positions), MASKED)
        kept = min(positions, self._positions)
        for new, old, declared in zip(tensors, self._tensors, self._declared, strict=False):  # none at first
            axis = declared.shape.index("S")
            front = (slice(sources),) + (slice(None),) * (axis - 1) + (slice(kept),)
            new[front] = old[front]
        mask[:sources, ..., :kept] = self._mask[:sources, ..., :kept]
        self._tensors, self._mask, self._positions = tensors, mask, positions


class Batch(Generic[T]):
    """Up to `capacity` sources of one layout. Each carries an owner: whatever the caller wants back at its end."""

    def __init__(self, runtime: Runtime, shortlist: Shortlist | None, *, layout: Layout, capacity: int) -> None:
        manifest = runtime.manifest
        self._runtime, self._shortlist = runtime, shortlist
        self.owners: list[T] = []
        self.layout, self.capacity = layout, capacity
        self._search = Search(layout, capacity, vocabulary_of(manifest))
        self._kept = kept_for(manifest.architecture, capacity, layout.places)
        self._memory = Memory(manifest.graphs["encoder"].outputs, capacity)
        self._words = manifest.architecture.target_vocabulary
        self._candidates = Candidates(runtime.look_up, self._words) if shortlist is not None else None
        self._nothing_chosen = np.zeros((capacity, layout.places, 1), np.int64)

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
        self._kept.admit(g)
        self._memory.admit(g, encoded.cross, len(segment.ids))
        if self._candidates is not None and self._shortlist is not None:
            self._candidates.admit(self._shortlist.candidates(segment.ids))

    def step(self) -> list[Finished[T]]:
        """See `Group`."""
        n, query = len(self), self._search.ask()
        feed = {"ids": query.ids, "depth": query.depth, **self._memory.feed(n), **self._kept.feed(n)}
        chosen = query.named if query.named.shape[2] else self._nothing_chosen[:n]
        graph, words = STEP, self._words
        if self._candidates is not None:
            feed |= self._candidates.feed()
            graph, words = STEP_SHORTLIST, len(self._candidates)
            chosen = self._candidates.places(chosen)
        feed["chosen"], feed["top"] = chosen, np.zeros(min(query.best, words), np.int64)
        said, new = self._runtime.step(graph, feed, attention=query.attention)
        logp = said["topk_logp"].reshape(*query.ids.shape, -1)
        is_sound = np.isfinite(logp)
        broken = set() if is_sound.all() else set(np.flatnonzero(~is_sound.all((1, 2))).tolist())
        for g in broken:
            logp[g] = 0.0
        reply = Reply(
            logp,
            said["topk_id"].reshape(logp.shape),
            said["chosen_logp"].reshape(chosen.shape),
            said["normaliser"].reshape(query.ids.shape),
            said.get(ATTENTION),
        )
        advance = self._search.advance(reply)
        self._kept.keep(new, advance)
        leaving = sorted(broken | set(advance.finished))
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
        """A source leaves unfinished; returns the steps that were run for it."""
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
        if self._candidates is not None:
            self._candidates.remove(g)


def replace_by_last(rows: list[U], g: int) -> None:
    """Row g leaves; the last one takes its place."""
    rows[g] = rows[-1]
    del rows[-1]


def vocabulary_of(manifest: Manifest) -> Vocabulary:
    """What the search must know of a bundle's target vocabulary."""
    words = manifest.tokenizer
    return Vocabulary(words.start_id, words.eos_id, words.unk_id, words.suppressed_ids)


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
    rows = np.split(found.pop(), lengths.cumsum()[:-1]) if hidden else [None] * len(segments)
    return [Encoded([tensor[g] for tensor in found], rows[g]) for g in range(len(segments))]


def places_of(lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Which of all sources' words stands where [G, S]; padding reads the word before it, masked."""
    is_word = np.arange(round_up(int(lengths.max()))) < lengths[:, None]
    found: npt.NDArray[np.int64] = (np.cumsum(is_word) - 1).reshape(is_word.shape)
    return found

"""Sources that CTC translates together: a step is one pass over their canvases, and one or a few finish a source."""

from __future__ import annotations

import itertools
from typing import Generic, TypeVar

import numpy as np

from dragoman.server.batches.group import Finished, Source, replace_by_last
from dragoman.server.batches.nat_runs import NatWords, longest_waiting, source_feed
from dragoman.server.batches.shortlist import Shortlist
from dragoman.server.core.segments import Segment, Work
from dragoman.server.core.strategies import Engine
from dragoman.server.decode.arrays import Floats32
from dragoman.server.decode.constraints import vocabulary_of
from dragoman.server.decode.ctc import NOTHING, Reader
from dragoman.server.runtime.runtime import Runtime

T = TypeVar("T")


class CtcBatch(Generic[T]):
    """Sources of CTC, each with its own number of passes."""

    def __init__(self, runtime: Runtime, shortlist: Shortlist | None, *, name: str) -> None:
        self.owners: list[T] = []
        self._nat = runtime.manifest.nat[name]
        self._vocabulary = vocabulary_of(runtime.manifest)
        self._words = NatWords(runtime, shortlist, name)
        self._sources: list[tuple[Segment, Floats32]] = []
        self._readers: list[Reader] = []
        self._arrivals: list[int] = []
        self._clock = itertools.count()

    def __len__(self) -> int:
        return len(self.owners)

    def __repr__(self) -> str:
        return f"<CtcBatch {self._words.graph}, {len(self)} sources>"

    @property
    def rows(self) -> int:
        """Canvases of the next step."""
        return len(self)

    @property
    def num_live(self) -> int:
        """All of them."""
        return len(self)

    @property
    def longest(self) -> int:
        """See `Group`."""
        return max((len(segment.ids) for segment, _ in self._sources), default=0)

    def admit(self, owner: T, segment: Segment, source: Source) -> None:
        """See `Group`."""
        assert source.hidden is not None, "it was encoded for this"
        self.owners.append(owner)
        self._arrivals.append(next(self._clock))
        self._sources.append((segment, source.hidden))
        self._readers.append(Reader(segment, self._nat, self._vocabulary))
        self._words.admit(segment)

    def drop(self, owner: T) -> int:
        """See `Group`."""
        g = self.owners.index(owner)
        passes = self._readers[g].passes
        self._remove(g)
        return passes

    def _remove(self, g: int) -> None:
        replace_by_last(self.owners, g)
        replace_by_last(self._sources, g)
        replace_by_last(self._readers, g)
        replace_by_last(self._arrivals, g)
        self._words.remove(g)

    def step(self) -> list[Finished[T]]:
        """See `Group`."""
        upsample = self._nat.upsample
        rows = [len(hidden) * upsample for _, hidden in self._sources]
        going = longest_waiting(rows, self._arrivals, self._words.max_rows)
        feed = source_feed([self._sources[g][1] for g in going])
        is_word = (feed["src_mask"][:, 0, 0] == 0).repeat(upsample, axis=1)
        readers = [self._readers[g] for g in going]
        if self._nat.refines:
            shown = np.full(is_word.shape, NOTHING)
            shown[is_word] = np.concatenate([reader.shown for reader in readers])
            feed["ids"] = shown.reshape(len(going), -1, upsample)
        count = max(reader.num_best for reader in readers)
        logp, ids = self._words.best(feed, np.flatnonzero(is_word), np.array(going), count)
        done, leaving, start = [], [], 0
        for g, reader in zip(going, readers, strict=True):
            end = start + rows[g]
            found = reader.tell(logp[start:end], ids[start:end]) if np.isfinite(logp[start:end]).all() else ()
            if found is not None:
                leaving.append(g)
                done.append(Finished(self.owners[g], found, 0, Engine.NAT, Work(nat_passes=reader.passes)))
            start = end
        for g in reversed(leaving):
            self._remove(g)
        return done

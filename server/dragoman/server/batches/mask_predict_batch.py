"""Sources that mask-predict translates together: a step is one pass over their canvases.

Sources join at any pass, and each has its own number of passes. What the encoder says of a source is turned into the
decoder's own keys and values at its first pass. Canvases and source positions are padded to multiples of 16, so that a
source's numbers do not depend on what shares its pass.
"""

from __future__ import annotations

import itertools
from typing import Generic, TypeVar

import numpy as np

from dragoman.server.batches.group import Finished, Source, replace_by_last
from dragoman.server.batches.nat_runs import NatMemory, NatWords, canvas_feed, longest_waiting
from dragoman.server.batches.shortlist import Shortlist
from dragoman.server.core.segments import Segment, Work
from dragoman.server.core.strategies import Engine
from dragoman.server.decode.arrays import Floats32, Ints
from dragoman.server.decode.constraints import vocabulary_of
from dragoman.server.decode.mask_predict import Canvas, CanvasSource, all_rows
from dragoman.server.runtime.runtime import Runtime

T = TypeVar("T")


class MaskPredictBatch(Generic[T]):
    """Up to `capacity` sources of mask-predict."""

    def __init__(self, runtime: Runtime, shortlist: Shortlist | None, *, name: str, capacity: int) -> None:
        self.owners: list[T] = []
        self._nat = runtime.manifest.nat[name]
        self._vocabulary = vocabulary_of(runtime.manifest)
        self._words = NatWords(runtime, shortlist, name)
        self._memory = NatMemory(runtime, name, capacity)
        self._sources: list[CanvasSource] = []
        self._new: list[tuple[Segment, Floats32]] = []
        self._arrivals: list[int] = []
        self._clock = itertools.count()

    def __len__(self) -> int:
        return len(self.owners)

    def __repr__(self) -> str:
        return f"<MaskPredictBatch {self._words.graph}, {len(self)} sources>"

    @property
    def rows(self) -> int:
        """Canvases of the next pass, so far as they are known."""
        return len(self._new) + sum(not canvas.is_done for one in self._sources for canvas in one.canvases)

    @property
    def num_live(self) -> int:
        """All of them."""
        return self.rows

    @property
    def longest(self) -> int:
        """See `Group`."""
        sources = [one.segment for one in self._sources] + [segment for segment, _ in self._new]
        return max((len(segment.ids) for segment in sources), default=0)

    def admit(self, owner: T, segment: Segment, source: Source) -> None:
        """See `Group`."""
        assert source.hidden is not None, "it was encoded for this"
        self.owners.append(owner)
        self._arrivals.append(next(self._clock))
        self._new.append((segment, source.hidden))
        self._words.admit(segment)

    def step(self) -> list[Finished[T]]:
        """One pass; see `Group`."""
        self._settle()
        rows = [one.num_open for one in self._sources]
        going = longest_waiting(rows, self._arrivals, self._words.max_rows)
        open_ = [(g, n) for g in going for n, c in enumerate(self._sources[g].canvases) if not c.is_done]
        canvases = [self._sources[g].canvases[n] for g, n in open_]
        of = np.array([g for g, _ in open_])
        feed, width = canvas_feed([canvas.ids for canvas in canvases])
        feed |= self._memory.feed(of, len(self))
        count = max(self._sources[g].num_best for g in going)
        logp, ids = self._words.best(feed, all_rows(canvases, width), of, count)
        broken = self._tell(open_, canvases, logp, ids)
        for g in going:
            self._sources[g].advance()
        leaving = sorted(broken | {g for g, one in enumerate(self._sources) if one.is_done})
        done = [self._finished(g, is_broken=g in broken) for g in leaving]
        for g in reversed(leaving):
            self._remove(g)
        return done

    def drop(self, owner: T) -> int:
        """See `Group`."""
        self._settle()
        g = self.owners.index(owner)
        passes = self._sources[g].passes
        self._remove(g)
        return passes

    def _settle(self) -> None:
        """Give those that have joined their canvases."""
        if not self._new:
            return
        predicted = self._memory.admit(len(self._sources), [hidden for _, hidden in self._new])
        for n, (segment, _) in enumerate(self._new):
            own = None if predicted is None else predicted[n]
            self._sources.append(CanvasSource(segment, self._nat, self._vocabulary, own))
        self._new.clear()

    def _tell(self, open_: list[tuple[int, int]], canvases: list[Canvas], logp: Floats32, ids: Ints) -> set[int]:
        """Hand each canvas its places' words; returns the sources whose numbers are not finite."""
        broken, start = set[int](), 0
        for (g, n), canvas in zip(open_, canvases, strict=True):
            end = start + int(canvas.is_open.sum())
            if np.isfinite(logp[start:end]).all():
                self._sources[g].tell(n, logp[start:end], ids[start:end])
            else:
                broken.add(g)
            start = end
        return broken

    def _finished(self, g: int, *, is_broken: bool) -> Finished[T]:
        one = self._sources[g]
        found = () if is_broken else one.hypotheses()
        return Finished(self.owners[g], found, 0, Engine.NAT, Work(nat_passes=one.passes))

    def _remove(self, g: int) -> None:
        last = len(self) - 1
        replace_by_last(self.owners, g)
        replace_by_last(self._sources, g)
        replace_by_last(self._arrivals, g)
        if g != last:
            self._memory.move(last, g)
        self._words.remove(g)

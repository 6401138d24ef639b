"""The sources that one lane steps together: their trees, what the decoder keeps, their encoder memory.

All sources of a batch share a width (beam size) and a step graph; each has its own age, length and options. Sources
join at the end; one that leaves is replaced by the last one, so every tensor the graph sees is the front of a larger
array and nothing else moves. Source positions are padded to a multiple of 16 that fits the longest.
"""

from __future__ import annotations

from typing import Generic

import numpy as np

from dragoman.server.batches.group import Finished, Source, T
from dragoman.server.batches.output_words import Words
from dragoman.server.batches.shortlist import Shortlist
from dragoman.server.core.segments import Segment
from dragoman.server.decode.constraints import vocabulary_of
from dragoman.server.decode.layout import Layout
from dragoman.server.decode.search import Search
from dragoman.server.kvcache.source_memory import Memory, memory_of
from dragoman.server.kvcache.tree_nodes import tree_nodes_of
from dragoman.server.runtime.runtime import EXTENDED, Runtime


class TreeBatch(Generic[T]):
    """Up to `capacity` sources of one layout. Each carries an owner: whatever the caller wants back at its end."""

    def __init__(self, runtime: Runtime, shortlist: Shortlist | None, *, layout: Layout, capacity: int) -> None:
        manifest = runtime.manifest
        self.owners: list[T] = []
        self.layout, self.capacity = layout, capacity
        self._search = Search(layout, capacity, vocabulary_of(manifest))
        self._nodes = tree_nodes_of(runtime, capacity, layout.places)
        self._memory = Memory(memory_of(manifest), capacity, runtime.device)
        self._vocabulary, self._copies = manifest.architecture.target_vocabulary, manifest.architecture.copies
        self._unk_id = manifest.tokenizer.unk_id
        self._words = Words(runtime, shortlist)

    def __len__(self) -> int:
        return len(self.owners)

    def __repr__(self) -> str:
        return f"<TreeBatch {len(self)}/{self.capacity} sources, {self.layout}>"

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

    def admit(self, owner: T, segment: Segment, source: Source) -> None:
        """See `Group`."""
        g = len(self.owners)
        self.owners.append(owner)
        self._search.admit(segment)
        tensors = dict(source.tensors)
        if self._copies:
            tensors[EXTENDED] = np.array(segment.copies or segment.ids)
        self._nodes.admit(g, tensors)
        self._memory.admit(g, tensors, len(segment.ids))
        self._words.admit(segment.ids)

    def step(self) -> list[Finished[T]]:
        """See `Group`."""
        n, query = len(self), self._search.ask()
        # What was copied is read as what it is to the vocabulary.
        ids = np.where(query.ids < self._vocabulary, query.ids, self._unk_id) if self._copies else query.ids
        feed = {"ids": ids, "depth": query.depth, **self._memory.feed(n), **self._nodes.feed(n)}
        reply, new, broken = self._words.answer(query, feed)
        advance = self._search.advance(reply)
        self._nodes.keep(new, advance)
        leaving = sorted({*broken, *advance.finished})
        done = [
            Finished(
                self.owners[g],
                () if g in broken else self._search.hypotheses(g),
                self._search.steps(g),
                self._search.engine(g),
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
            self._nodes.move(last, g)
            self._memory.move(last, g)
        self._search.remove(g)
        self._words.remove(g)

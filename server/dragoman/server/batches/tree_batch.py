"""The sources that one lane steps together: their trees, what the decoder keeps, their encoder memory.

All sources of a batch share a width (beam size) and a step graph; each has its own age, length and options. Sources
join at the end; one that leaves is replaced by the last one, so every tensor the graph sees is the front of a larger
array and nothing else moves. Source positions are padded to a multiple of 16 that fits the longest.
"""

from __future__ import annotations

from typing import Generic

import numpy as np

from dragoman.bundle.graphs import DEPTH, EXTENDED, IDS
from dragoman.server.batches.group import Finished, Source, T
from dragoman.server.batches.output_words import Words
from dragoman.server.batches.roster import Roster
from dragoman.server.batches.shortlist import Shortlist
from dragoman.server.core.segments import Segment
from dragoman.server.decode.constraints import special_ids_of
from dragoman.server.decode.layout import Layout
from dragoman.server.decode.search import Search
from dragoman.server.kvcache.source_memory import Memory, memory_of
from dragoman.server.kvcache.tree_nodes import tree_nodes_of
from dragoman.server.runtime.runtime import Runtime


class TreeBatch(Generic[T]):
    """Up to `capacity` sources of one layout. Each carries an owner: whatever the caller wants back at its end."""

    def __init__(self, runtime: Runtime, shortlist: Shortlist | None, *, layout: Layout, capacity: int) -> None:
        manifest = runtime.manifest
        self.layout, self.capacity = layout, capacity
        self._search = Search(layout, capacity, special_ids_of(manifest))
        self._nodes = tree_nodes_of(runtime, capacity, layout.places)
        self._memory = Memory(runtime.store, memory_of(manifest), capacity)
        self._vocabulary, self._copies = manifest.architecture.target_vocabulary, manifest.architecture.copies
        self._unk_id = manifest.tokenizer.unk_id
        self._words = Words(runtime, shortlist)
        self._roster: Roster[T] = Roster(self._search, self._nodes, self._memory, self._words)

    def __len__(self) -> int:
        return len(self._roster)

    def __repr__(self) -> str:
        return f"<TreeBatch {len(self)}/{self.capacity} sources, {self.layout}>"

    @property
    def owners(self) -> list[T]:
        """Who waits for the sources."""
        return self._roster.rows

    @property
    def rows(self) -> int:
        """Places of the next step's level."""
        return len(self) * self.layout.places

    @property
    def num_live(self) -> int:
        """Live hypotheses of all sources."""
        return self._search.num_live

    @property
    def longest(self) -> int:
        """Tokens of the longest source."""
        return self._memory.longest

    def admit(self, owner: T, segment: Segment, source: Source) -> None:
        """Take in an encoded source."""
        self._roster.admit(owner)
        self._search.admit(segment)
        tensors = dict(source.tensors)
        if self._copies:
            tensors[EXTENDED] = np.array(segment.copies or segment.ids)
        self._nodes.admit(tensors)
        self._memory.admit(tensors, len(segment.ids))
        self._words.admit(segment.ids)

    def step(self) -> list[Finished[T]]:
        """Grow all trees by a level; sources that are finished leave."""
        query = self._search.ask()
        # What was copied is read as what it is to the vocabulary.
        ids = np.where(query.ids < self._vocabulary, query.ids, self._unk_id) if self._copies else query.ids
        feed = {IDS: ids, DEPTH: query.depth, **self._memory.feed(), **self._nodes.feed()}
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
            self._roster.remove(g)
        return done

    def drop(self, owner: T) -> int:
        """A source leaves unfinished; returns how many target positions were decoded for it."""
        g = self.owners.index(owner)
        steps = self._search.steps(g)
        self._roster.remove(g)
        return steps

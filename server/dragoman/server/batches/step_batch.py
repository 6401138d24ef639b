"""Sources whose hypotheses one grower grows together: a step is one run of the decoder for all of them.

Each has its own age, length and options. A tree search (`tree_batch`) reads a level of every source's tree. Greedy
search (`chain_batch`) may read several words of each source at a time: by speculation, or by the decoder's own stride.

Speculation drafts, verifies, and keeps what stands. The decoder reads the newest word of each source and the words that
were drafted behind it as one chain: one run of the ordinary step graph. How much of its draft each source keeps is its
own affair. A chain is as wide for all sources of a batch in all rounds with drafts, so that a source's numbers do not
depend on what shares its batch. Where drafts do not pay or are not asked for, the stride graph takes some steps in one
run, where the bundle has one: a draft that the decoder makes itself, and that stands but where another word than the
best is wanted.
"""

import time
from collections.abc import Hashable
from typing import Generic

import numpy as np

from dragoman.bundle.graphs import DEPTH, EXTENDED, IDS
from dragoman.server.batches.drafting import Speculation
from dragoman.server.batches.group import Source, T
from dragoman.server.batches.output_words import Words
from dragoman.server.batches.roster import Roster
from dragoman.server.batches.shortlist import Shortlist
from dragoman.server.core.segments import Decoded, Segment
from dragoman.server.decode.chains import Chains
from dragoman.server.decode.layout import Layout
from dragoman.server.decode.search import Search
from dragoman.server.decode.step import Grower
from dragoman.server.kvcache.nodes import nodes_of, reserve
from dragoman.server.kvcache.source_memory import sources_of
from dragoman.server.runtime.runtime import Runtime

STRIDE_STEPS = 4
"""Steps of a stride of several sources. With more, those that have ended are carried along for longer, and newcomers
wait."""
FAR_STEPS = 8
"""The same of a source that is alone and far from its end, where the decoder keeps states. Keys and values would be
added up in another order, and numbers differ in their last bits from those in company."""


MOST_STRIDING = 64
"""Sources that stride together on a device. More keep it at work as they are, and newcomers would wait for longer."""


class StepBatch(Generic[T]):
    """Up to `capacity` sources of `width` places a level."""

    def __init__(
        self,
        runtime: Runtime,
        shortlist: Shortlist | None,
        grower: Grower,
        speculation: Speculation | None = None,
        *,
        width: int,
        capacity: int,
        kind: Hashable,
    ) -> None:
        arch = runtime.manifest.architecture
        self.grower, self._speculation, self._width = grower, speculation, width
        self._memory = sources_of(runtime, capacity, kind)
        self._nodes = nodes_of(runtime, capacity, width, kind, lambda: self._memory.positions)
        self._words = Words(runtime, shortlist)
        columns = grower, self._nodes, self._memory, self._words
        removals = [] if speculation is None else [speculation.drafter.remove]
        self._roster: Roster[T] = Roster(*(column.remove for column in columns), *removals)
        self._vocabulary, self._copies = arch.target_vocabulary, arch.copies
        self._last_position = arch.max_positions - 1
        self._unk_id = runtime.manifest.tokenizer.unk_id

    def __len__(self) -> int:
        return len(self._roster)

    def __repr__(self) -> str:
        return f"<StepBatch {self.grower!r}>"

    @property
    def owners(self) -> list[T]:
        """Who waits for the sources."""
        return self._roster.rows

    @property
    def rows(self) -> int:
        """Places of the next step's level; drafts behind them are not counted."""
        return len(self) * self._width

    @property
    def num_live(self) -> int:
        """Live hypotheses of all sources."""
        return self.grower.num_live

    def admit(self, owner: T, segment: Segment, source: Source) -> None:
        """Take in an encoded source."""
        tensors = dict(source.tensors)
        if self._copies:
            tensors[EXTENDED] = np.array(segment.copies or segment.ids)
        self._roster.admit(owner)
        self.grower.admit(segment)
        self._nodes.admit(tensors)
        self._memory.admit(tensors, len(segment.ids))
        self._words.admit(segment.ids)
        if self._speculation is not None:
            self._speculation.drafter.admit(segment, source)

    def expect(self, sources: int) -> None:
        """So many come soon, in several runs of the encoder: their memory is made once."""
        self._memory.expect(sources)

    def reserve(self, slots: int) -> None:
        """Have memory for so many nodes of a source, where it is a device's."""
        reserve(self._nodes, slots)

    def step(self) -> list[tuple[T, Decoded]]:
        """Run the decoder once for all sources; those that are finished leave."""
        started_s = time.perf_counter()
        query = self.grower.ask()
        # What was copied is read as what it is to the vocabulary.
        ids = np.where(query.ids < self._vocabulary, query.ids, self._unk_id) if self._copies else query.ids
        depth = np.minimum(query.depth, self._last_position)  # drafts behind the last one are never kept
        feed = {IDS: ids, DEPTH: depth, **self._memory.feed(), **self._nodes.feed(query.seen)}
        reply, new = self._words.answer(query, feed)
        advance = self.grower.advance(reply)
        self._nodes.keep(new, advance)
        done = [(self.owners[g], self.grower.decoded(g)) for g in advance.finished]
        for g in reversed(advance.finished):
            self._roster.remove(g)
        if self._speculation is not None:
            self._speculation.note(advance, time.perf_counter() - started_s)
        return done

    def drop(self, owner: T) -> int:
        """A source leaves unfinished; returns how many target positions were decoded for it."""
        g = self.owners.index(owner)
        length = self.grower.length(g)
        self._roster.remove(g)
        return length


def tree_batch(
    runtime: Runtime, shortlist: Shortlist | None, *, layout: Layout, capacity: int, stride: int = 1
) -> StepBatch[T]:
    """Sources of one layout, searched step by step; greedily by strides, where a device takes so many steps in one run
    and sources are few.
    """
    search = Search(layout, capacity, runtime.manifest.tokenizer, stride=stride, most_striding=MOST_STRIDING)
    return StepBatch(runtime, shortlist, search, width=layout.places, capacity=capacity, kind=layout)


def chain_batch(
    runtime: Runtime, shortlist: Shortlist | None, speculation: Speculation | None, *, capacity: int, has_stride: bool
) -> StepBatch[T]:
    """Sources of one kind of drafts, or none. Rounds without drafts are strides or single steps."""
    vocabulary, stride, far = runtime.manifest.tokenizer, STRIDE_STEPS if has_stride else 1, 0
    if has_stride and runtime.manifest.architecture.keeps_states:
        far = FAR_STEPS
    chains = Chains(vocabulary, stride=stride, far=far)
    if speculation is not None:
        propose, longest = speculation.propose, speculation.strategy.tokens
        chains = Chains(vocabulary, propose, longest=longest, stride=stride, far=far)
    kind = None if speculation is None else speculation.strategy
    return StepBatch(runtime, shortlist, chains, speculation, width=1, capacity=capacity, kind=kind)

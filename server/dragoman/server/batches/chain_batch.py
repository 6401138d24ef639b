"""Sources that greedy search takes several words at a time: by speculation, or by the decoder's own stride.

Speculation drafts, verifies, and keeps what stands. The decoder reads the newest word of each source and the words that
were drafted behind it as one chain: one run of the ordinary step graph, whose node pool is here simply the words read
so far, in their order. How much of its draft each source keeps is its own affair. A chain is as wide for all sources of
a batch in all rounds with drafts, so that a source's numbers do not depend on what shares its batch.

Where drafts do not pay (`costs`) or are not asked for, the stride graph takes some steps in one run, where the bundle
has one: a draft that the decoder makes itself, and that stands but where another word than the best is wanted.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from dragoman.bundle.graphs import DEPTH, IDS
from dragoman.server.batches.drafting import NO_DRAFT, Speculation
from dragoman.server.batches.group import NO_WORK, Finished, Source
from dragoman.server.batches.output_words import Words
from dragoman.server.batches.roster import Roster
from dragoman.server.batches.shortlist import Shortlist
from dragoman.server.core.segments import Segment, Work
from dragoman.server.core.strategies import Engine
from dragoman.server.decode.arrays import Bools
from dragoman.server.decode.chains import Chained, Chains, Draft
from dragoman.server.decode.constraints import special_ids_of
from dragoman.server.decode.step import Query, Reply
from dragoman.server.kvcache.chain_nodes import chain_nodes_of
from dragoman.server.kvcache.source_memory import Memory, memory_of
from dragoman.server.runtime.buffers import Feed
from dragoman.server.runtime.runtime import Runtime

T = TypeVar("T")
STRIDE_STEPS = 4
"""Steps of a stride. With more, sources that have ended are carried along for longer, and newcomers wait."""


@dataclass
class _ChainRow(Generic[T]):
    """A source of the batch."""

    owner: T
    steps: int = 0
    work: Work = NO_WORK


class ChainBatch(Generic[T]):
    """Up to `capacity` sources of one way of drafting, or none. Rounds without drafts are strides or single steps."""

    def __init__(
        self,
        runtime: Runtime,
        shortlist: Shortlist | None,
        speculation: Speculation | None,
        *,
        capacity: int,
        has_stride: bool,
    ) -> None:
        manifest = runtime.manifest
        self._speculation, self._has_stride = speculation, has_stride
        self._chains = Chains(special_ids_of(manifest))
        self._nodes = chain_nodes_of(runtime, capacity)
        self._memory = Memory(runtime.store, memory_of(manifest), capacity)
        self._last_place = manifest.architecture.max_positions - 1
        self._words = Words(runtime, shortlist)
        drafter = [] if speculation is None else [speculation.drafter]
        self._roster: Roster[_ChainRow[T]] = Roster(self._chains, self._nodes, self._memory, self._words, *drafter)

    def __len__(self) -> int:
        return len(self._roster)

    def __repr__(self) -> str:
        return f"<ChainBatch {len(self)} sources, {self._speculation}>"

    @property
    def owners(self) -> list[T]:
        """Who waits for the sources."""
        return [row.owner for row in self._roster.rows]

    @property
    def rows(self) -> int:
        """Newest words: a draft behind one is not counted."""
        return len(self)

    @property
    def num_live(self) -> int:
        """All sources."""
        return len(self)

    @property
    def longest(self) -> int:
        """Tokens of the longest source."""
        return self._memory.longest

    def admit(self, owner: T, segment: Segment, source: Source) -> None:
        """Take in an encoded source."""
        self._roster.admit(_ChainRow(owner))
        self._chains.admit(segment)
        self._nodes.admit()
        self._memory.admit(source.tensors, len(segment.ids))
        if self._speculation is not None:
            self._speculation.drafter.admit(segment, source)
        self._words.admit(segment.ids)

    def step(self) -> list[Finished[T]]:
        """One round: all sources get a word at least, or leave."""
        started_s = time.perf_counter()
        n, speculation = len(self), self._speculation
        is_drafted = speculation is not None and speculation.is_wanted(n)
        if speculation is not None and is_drafted:
            tokens = speculation.strategy.tokens
            reply, new, broken = self._verify(speculation.drafter.draft(self._chains.prefixes, tokens), tokens + 1)
        elif self._has_stride:
            reply, new, broken = self._stride()
        else:
            reply, new, broken = self._verify([NO_DRAFT] * n, 1)
        for g, place in broken.items():  # what lies before it stands, and may be all that there is
            self._chains.cut(g, place)
        chained = self._chains.advance(reply)
        self._nodes.keep(new, [one.kept for one in chained])
        for g, one in enumerate(chained):
            self._roster.rows[g].steps += 1
            if is_drafted:
                self._roster.rows[g].work += Work(drafted_tokens=one.drafted, accepted_tokens=one.accepted)
        lost = {g for g, place in broken.items() if place == 0}
        leaving = sorted(lost | {g for g, one in enumerate(chained) if one.has_ended})
        done = [self._finished(g, is_broken=g in lost) for g in leaving]
        for g in reversed(leaving):
            self._roster.remove(g)
        if speculation is not None:
            _note(speculation, chained, time.perf_counter() - started_s, is_drafted=is_drafted)
        return done

    def _verify(self, drafts: Sequence[Draft], width: int) -> tuple[Reply, list[Any], dict[int, int]]:
        """One run of the decoder over all chains; also the first place of a source whose numbers are not finite."""
        query = self._chains.ask(drafts, width)
        return self._words.answer(query, self._feed(query, np.tri(width, dtype=np.bool_)))

    def _stride(self) -> tuple[Reply, list[Any], dict[int, int]]:
        """The same, with the decoder's own words for drafts."""
        query = self._chains.ask([NO_DRAFT] * len(self), 1)
        feed = self._feed(query, np.ones((1, STRIDE_STEPS), np.bool_))
        reply, new, broken = self._words.follow(query, feed, STRIDE_STEPS)
        self._chains.followed(reply)
        return reply, new, broken

    def _feed(self, query: Query, own: Bools) -> Feed:
        depth = np.minimum(query.depth, self._last_place)  # what lies behind the last place is never kept
        return {IDS: query.ids, DEPTH: depth, **self._memory.feed(), **self._nodes.feed(own)}

    def _finished(self, g: int, *, is_broken: bool) -> Finished[T]:
        row = self._roster.rows[g]
        engine = Engine.SPECULATIVE if row.work.drafted_tokens else Engine.GREEDY
        if self._speculation is not None and self._speculation.strategy.lossy is not None:
            engine = Engine.SPECULATIVE_LOSSY
        found = () if is_broken else self._chains.hypotheses(g)
        return Finished(row.owner, found, row.steps, engine, row.work)

    def drop(self, owner: T) -> int:
        """A source leaves unfinished; returns how many target positions were decoded for it."""
        g = self.owners.index(owner)
        decoded = len(self._chains.prefixes[g])
        self._roster.remove(g)
        return decoded


def _note(speculation: Speculation, chained: Sequence[Chained], seconds: float, *, is_drafted: bool) -> None:
    """Tell what a round cost and what came of it."""
    tokens = sum(one.kept for one in chained)
    if not is_drafted:
        speculation.judge.note_plain(len(chained), seconds, tokens)
        return
    speculation.judge.note_speculative(len(chained), seconds, tokens)
    drafted, accepted = sum(one.drafted for one in chained), sum(one.accepted for one in chained)
    speculation.on_drafts(len(chained), drafted, accepted)

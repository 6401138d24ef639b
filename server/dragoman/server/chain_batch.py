"""Sources that are decoded by speculation: a step drafts, verifies, and keeps what stands.

The decoder reads the newest word of each source and the words that were drafted behind it as one chain: one run of the
ordinary step graph, whose node pool is here simply the words read so far, in their order. How much of its draft each
source keeps is its own affair. A chain is as wide for all sources of a batch in all rounds with drafts, so that a
source's numbers do not depend on what shares its batch. Where drafts do not pay (`costs`), steps go without.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from dragoman.bundle.manifest import Architecture
from dragoman.server.batch import Encoded, Finished, Memory, replace_by_last, vocabulary_of
from dragoman.server.chains import Chained, Chains, Draft
from dragoman.server.domain import Engine, Segment, Speculative, Work
from dragoman.server.pool import GRAIN, MASKED, pool_names, pool_shape, round_up, slots_of
from dragoman.server.runtime import Runtime
from dragoman.server.search import Reply
from dragoman.server.shortlist import Shortlist
from dragoman.server.stores import Feed, HostSlots, Slots
from dragoman.server.words import Words

T = TypeVar("T")
NOTHING: Draft = ()


class Drafter(Protocol):
    """Where drafts come from: the one interface of all sources of them. A wrong draft costs time and nothing else."""

    def admit(self, segment: Segment, encoded: Encoded) -> None:
        """One more source."""

    def remove(self, g: int) -> None:
        """Source g leaves; the last one moves to its index."""

    def draft(self, prefixes: Sequence[Sequence[int]], count: int) -> Sequence[Draft]:
        """What may follow each source's tokens: up to `count` words each."""


class Judge(Protocol):
    """Says when to speculate, and is told what came of it: `dragoman.server.costs`."""

    def wants_drafts(self, sources: int) -> bool:
        """Whether the next round of so many sources shall speculate."""

    def note_plain(self, sources: int, seconds: float) -> None:
        """A step without drafts took so long."""

    def note_speculative(self, sources: int, seconds: float, tokens: int) -> None:
        """A round with drafts took so long, and all sources together got so many tokens."""


class ChainPool:
    """Keys and values of the words that each source has read, [G, H, T, e] a layer, word t in slot t."""

    def __init__(self, arch: Architecture, capacity: int, slots: Slots | None = None) -> None:
        self._slots = slots or HostSlots(pool_names(arch), pool_shape(arch, capacity, GRAIN), np.float32)
        self.length = np.zeros(capacity, np.int64)
        self._is_relative = arch.positions == "relative"

    def admit(self, g: int) -> None:
        """A source that has read nothing; slots that only a source which left needed are given up."""
        self.length[g] = 0
        self._slots.wipe(g)  # what is not a number is seen through any mask
        wanted = self._slots.room(max(GRAIN, round_up(int(self.length[: g + 1].max()))))
        if 2 * wanted <= self._slots.size:
            self._slots.resize(wanted, g)

    def move(self, source: int, target: int) -> None:
        """What belonged to index `source` belongs to index `target`."""
        self._slots.move(source, target)
        self.length[target] = self.length[source]

    def feed(self, sources: int, width: int) -> Feed:
        """The pool, and the mask [G, 1, q, T + q] that opens all words read and a chain's own beginning."""
        slots = np.arange(self._slots.size)
        read = slots < self.length[:sources, None]
        chain = np.tri(width, dtype=np.bool_)
        is_open = np.concatenate(
            [
                np.broadcast_to(read[:, None], (sources, width, len(slots))),
                np.broadcast_to(chain, (sources, width, width)),
            ],
            axis=2,
        )
        feed: Feed = {"mask": np.where(is_open, np.float32(0), MASKED)[:, None]}
        feed |= self._slots.feed(sources)
        if self._is_relative:
            feed["slot_depth"] = np.broadcast_to(slots, (sources, len(slots)))
        return feed

    def keep(self, new: Sequence[Any], counts: Sequence[int]) -> None:
        """Of each source's new words, the first so many stand."""
        n = len(counts)
        longest = round_up(int((self.length[:n] + counts).max(initial=0)))
        if longest > self._slots.size:
            self._slots.resize(self._slots.room(longest + round_up(longest // 2)), n)
        self._slots.extend(new, self.length[:n], counts)
        self.length[:n] += counts


class ChainBatch(Generic[T]):
    """Up to `capacity` sources of one way of drafting. `on_drafts` is told of drafted and accepted tokens."""

    def __init__(
        self,
        runtime: Runtime,
        shortlist: Shortlist | None,
        drafter: Drafter,
        judge: Judge,
        *,
        strategy: Speculative,
        capacity: int,
        on_drafts: Callable[[int, int, int], None],
    ) -> None:
        manifest = runtime.manifest
        self.owners: list[T] = []
        self._drafter, self._judge = drafter, judge
        self._strategy, self._on_drafts = strategy, on_drafts
        self._chains = Chains(vocabulary_of(manifest))
        self._pool = ChainPool(manifest.architecture, capacity, slots_of(runtime, capacity, GRAIN))
        self._memory = Memory(manifest.graphs["encoder"].outputs, capacity, runtime.device)
        self._last_place = manifest.architecture.max_positions - 1
        self._words = Words(runtime, shortlist)
        self._work: list[Work] = []
        self._steps: list[int] = []

    def __len__(self) -> int:
        return len(self.owners)

    def __repr__(self) -> str:
        return f"<ChainBatch {len(self)} sources, {self._strategy}>"

    @property
    def rows(self) -> int:
        """Of a step without drafts."""
        return len(self)

    @property
    def num_live(self) -> int:
        """All of them."""
        return len(self)

    @property
    def longest(self) -> int:
        """See `Group`."""
        return self._memory.longest(len(self))

    def admit(self, owner: T, segment: Segment, encoded: Encoded) -> None:
        """See `Group`."""
        g = len(self.owners)
        self.owners.append(owner)
        self._work.append(Work())
        self._steps.append(0)
        self._chains.admit(segment)
        self._pool.admit(g)
        self._memory.admit(g, encoded.made, len(segment.ids))
        self._drafter.admit(segment, encoded)
        self._words.admit(segment.ids)

    def step(self) -> list[Finished[T]]:
        """See `Group`."""
        started_s = time.perf_counter()
        n = len(self)
        # What a lossy draft may change must not depend on the load.
        is_speculative = self._strategy.lossy is not None or self._judge.wants_drafts(n)
        drafts: Sequence[Draft] = [NOTHING] * n
        width = 1
        if is_speculative:
            drafts, width = self._drafter.draft(self._chains.prefixes, self._strategy.tokens), self._strategy.tokens + 1
        reply, new, broken = self._verify(drafts, width)
        chained = self._chains.advance(reply)
        self._pool.keep(new, [one.kept for one in chained])
        for g, one in enumerate(chained):
            self._steps[g] += 1
            self._work[g] += Work(drafted=one.drafted, accepted=one.accepted)
        leaving = sorted(broken | {g for g, one in enumerate(chained) if one.has_ended})
        done = [self._finished(g, is_broken=g in broken) for g in leaving]
        for g in reversed(leaving):
            self._remove(g)
        self._note(chained, time.perf_counter() - started_s, is_speculative=is_speculative)
        return done

    def _note(self, chained: Sequence[Chained], seconds: float, *, is_speculative: bool) -> None:
        if not is_speculative:
            self._judge.note_plain(len(chained), seconds)
            return
        tokens = sum(one.kept for one in chained)
        self._judge.note_speculative(len(chained), seconds, tokens)
        drafted, accepted = sum(one.drafted for one in chained), sum(one.accepted for one in chained)
        self._on_drafts(len(chained), drafted, accepted)

    def _verify(self, drafts: Sequence[Draft], width: int) -> tuple[Reply, list[Any], set[int]]:
        """One run of the decoder over all chains; also the sources whose numbers are not finite."""
        query = self._chains.ask(drafts, width)
        n = len(query.ids)
        depth = np.minimum(query.depth, self._last_place)  # what lies behind the last place is never kept
        feed = {"ids": query.ids, "depth": depth, **self._memory.feed(n), **self._pool.feed(n, width)}
        return self._words.answer(query, feed)

    def _finished(self, g: int, *, is_broken: bool) -> Finished[T]:
        work = self._work[g]
        engine = Engine.SPECULATIVE if work.drafted else Engine.GREEDY
        if self._strategy.lossy is not None:
            engine = Engine.SPECULATIVE_LOSSY
        found = () if is_broken else self._chains.hypotheses(g)
        return Finished(self.owners[g], found, self._steps[g], engine, work)

    def drop(self, owner: T) -> int:
        """See `Group`."""
        g = self.owners.index(owner)
        steps = self._steps[g]
        self._remove(g)
        return steps

    def _remove(self, g: int) -> None:
        last = len(self) - 1
        replace_by_last(self.owners, g)
        replace_by_last(self._work, g)
        replace_by_last(self._steps, g)
        if g != last:
            self._pool.move(last, g)
            self._memory.move(last, g)
        self._chains.remove(g)
        self._drafter.remove(g)
        self._words.remove(g)

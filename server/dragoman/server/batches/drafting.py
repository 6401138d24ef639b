"""Speculation's parts: who drafts, who judges whether drafts pay."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from dragoman.server.batches.group import Source
from dragoman.server.core.ports import LaneObserver
from dragoman.server.core.segments import Segment
from dragoman.server.decode.chains import Draft
from dragoman.server.decode.draft_costs import Costs
from dragoman.server.decode.step import Advance
from dragoman.server.decode.strategies.speculative import Speculative

NO_DRAFT: Draft = ()


class Drafter(Protocol):
    """Where drafts come from: the one interface of all sources of them. A wrong draft costs time and nothing else."""

    def admit(self, segment: Segment, source: Source) -> None:
        """One more source."""

    def remove(self, row: int) -> None:
        """A source leaves; the last one takes its place."""

    def draft(self, prefixes: Sequence[Sequence[int]], count: int) -> Sequence[Draft]:
        """What may follow each source's tokens: up to `count` words each."""


@dataclass(frozen=True)
class Speculation:
    """One way of drafting."""

    strategy: Speculative
    drafter: Drafter
    judge: Costs
    observer: LaneObserver

    def propose(self, prefixes: Sequence[Sequence[int]]) -> Sequence[Draft] | None:
        """Drafts behind each source's tokens; None where the next round is better off without.

        What a lossy draft may change must not depend on the load.
        """
        is_wanted = self.strategy.lossy is not None or self.judge.wants_drafts(len(prefixes))
        return self.drafter.draft(prefixes, self.strategy.tokens) if is_wanted else None

    def note(self, advance: Advance, seconds: float) -> None:
        """Tell what a round cost and what came of it."""
        sources, drafts = len(advance.kept), advance.drafts
        self.judge.note(sources, seconds, int(advance.kept.sum()), is_drafted=drafts is not None)
        if drafts is not None:
            self.observer.on_drafts(sources, *drafts, self.judge.stops_at)

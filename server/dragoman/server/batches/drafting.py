"""Speculation's parts: who drafts, who judges whether drafts pay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from dragoman.server.batches.group import Source
from dragoman.server.core.segments import Segment
from dragoman.server.decode.chains import Draft
from dragoman.server.decode.strategies.speculative import Speculative

NO_DRAFT: Draft = ()


class Drafter(Protocol):
    """Where drafts come from: the one interface of all sources of them. A wrong draft costs time and nothing else."""

    def admit(self, segment: Segment, source: Source) -> None:
        """One more source."""

    def remove(self, g: int) -> None:
        """Source g leaves; the last one moves to its index."""

    def draft(self, prefixes: Sequence[Sequence[int]], count: int) -> Sequence[Draft]:
        """What may follow each source's tokens: up to `count` words each."""


class Judge(Protocol):
    """Says when to speculate, and is told what came of it: `dragoman.server.decode.draft_costs`."""

    def wants_drafts(self, sources: int) -> bool:
        """Whether the next round of so many sources shall speculate."""

    def note_plain(self, sources: int, seconds: float, tokens: int) -> None:
        """A round without drafts took so long, and all sources together got so many tokens."""

    def note_speculative(self, sources: int, seconds: float, tokens: int) -> None:
        """A round with drafts took so long, and all sources together got so many tokens."""


@dataclass(frozen=True)
class Speculation:
    """One way of drafting."""

    strategy: Speculative
    drafter: Drafter
    judge: Judge
    on_drafts: Callable[[int, int, int], None]
    """Is told of each round's sources, and of its drafted and accepted tokens."""

    def is_wanted(self, sources: int) -> bool:
        """Whether the next round drafts. What a lossy draft may change must not depend on the load."""
        return self.strategy.lossy is not None or self.judge.wants_drafts(sources)

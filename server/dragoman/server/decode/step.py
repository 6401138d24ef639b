"""What a search asks of the decoder at each step, what it is told, and what it made of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from dragoman.server.core.segments import Decoded, Segment
from dragoman.server.decode.arrays import Bools, Floats32, Ints


@dataclass(frozen=True)
class Query:
    """What the decoder must say of the newest level."""

    ids: Ints
    """[G, K]"""
    depth: Ints
    """[G, K]"""
    seen: Bools
    """[K, w]: which of a source's w nodes of the run each of them sees, besides those that were read before."""
    named: Ints
    """Words [G, K, m] whose log-probabilities are wanted; m is 0 where no source asks."""
    best: int
    """How many of each row's best words are wanted."""
    attention: bool
    is_stride: bool = False
    """Whether the decoder goes on by itself from each source's one node: w steps in all."""


@dataclass(frozen=True)
class Reply:
    """What the decoder says."""

    logp: Floats32
    """Log-probabilities of the best words [G, K, k]."""
    ids: Ints
    """[G, K, k]"""
    named_logp: Floats32
    """[G, K, m]"""
    normaliser: Floats32
    """Log of the sum of exp(logit) [G, K]."""
    attention: Floats32 | None = None
    """[G, K, S]"""
    broken: Mapping[int, int] = field(default_factory=dict)
    """The sources with numbers that are not finite, and the first place of each that has any; there are zeros there."""


@dataclass(frozen=True)
class Advance:
    """What a step did: which of the nodes that were read stay, and which sources are over."""

    parents: Ints
    """[G, K]: for each place of the new level, its parent's place in the level that was read."""
    live: Bools
    """[G, K]: whether it lives."""
    kept: Ints
    """[G]: how many of the nodes that a run read one behind another stand; 1 where it read a level."""
    finished: list[int]
    """Sources whose search is over, ascending."""
    drafts: tuple[int, int] | None = None
    """Tokens that were drafted for all sources, and those of them that stood; None where nothing was to be drafted."""


class Grower(Protocol):
    """What grows the hypotheses of sources: it asks the decoder, and goes on with what that says.

    Sources have rows in the order in which they came; the last one takes the place of one that leaves.
    """

    def __len__(self) -> int:
        """Sources."""

    @property
    def num_live(self) -> int:
        """Live hypotheses of all sources."""

    def admit(self, segment: Segment) -> None:
        """One more source."""

    def remove(self, row: int) -> None:
        """A source leaves; the last one takes its place."""

    def ask(self) -> Query:
        """What must be known to advance."""

    def advance(self, reply: Reply) -> Advance:
        """Go on; nothing is made of numbers that are not finite, and a source that they leave nothing is over."""

    def length(self, g: int) -> int:
        """Target positions that a source has."""

    def decoded(self, g: int) -> Decoded:
        """What came of a source that is over: no hypotheses where its numbers were not finite."""

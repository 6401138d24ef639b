"""Diverse beam search: the beam in groups that avoid each other's words."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from dragoman.bundle.manifest import Decoding
from dragoman.server.core.errors import Violation
from dragoman.server.core.limits import Bounds
from dragoman.server.core.strategies import Method
from dragoman.server.decode.arrays import Floats, Floats32, Ints
from dragoman.server.decode.strategies.offers import ranked
from dragoman.server.decode.strategies.special import Draws, Special

MAX_PENALTY = 100.0


@dataclass(frozen=True)
class Diversity(Method, Special):
    """The beam in groups that are taken in turn: what earlier groups chose at a step costs the later ones."""

    groups: int = 0
    penalty: float = 0.0

    field: ClassVar[str] = "diversity"
    goes_with_grammar: ClassVar[bool] = True

    @property
    def is_asked(self) -> bool:
        """A single group is beam search."""
        return self.groups > 1 or self.penalty != 0

    def strategy(self, seed: int) -> Self:
        """The groups of each segment."""
        return self

    def violations(
        self, decoding: Decoding, given: Mapping[str, Any], defaults: Decoding, bounds: Bounds
    ) -> Iterator[Violation]:
        """Fields out of range; groups are of one size."""
        yield from super().violations(decoding, given, defaults, bounds)
        if self.groups < 2:
            message = "set, and a beam of one group has none before it: set groups, or leave it unset"
            yield Violation("decoding.diversity.penalty", message)
            return
        if decoding.beam_size % self.groups:
            message = f"{self.groups} does not divide beam_size, which is {decoding.beam_size}"
            yield Violation("decoding.diversity.groups", message)
        if not 0 <= self.penalty <= MAX_PENALTY:
            yield Violation("decoding.diversity.penalty", f"{self.penalty:g} is not between 0 and {MAX_PENALTY:g}")

    def shape(self, decoding: Decoding) -> tuple[int, int]:
        """A beam for each group."""
        return self.groups, decoding.beam_size // self.groups

    def num_choices(self, beams: int, width: int) -> int:
        """What earlier beams chose may be pushed down."""
        return (beams + 1) * width

    def order(self, scores: Floats, logp: Floats32, words: Ints, *, room: Ints, draws: Draws, count: int) -> Ints:
        """The best of one beam after the other; `room` says how many of its best each will take.

        Each time that an earlier beam chose a word costs the penalty, in `scores`, too: it stays with the hypothesis.
        """
        order = np.zeros((len(scores), count), np.int64)
        taken: list[int] = []
        for beam, row in enumerate(scores):
            for word in taken:
                row[words[beam] == word] -= self.penalty
            order[beam] = ranked(row[None], count)[0]
            chosen = order[beam, : room[beam]]
            taken += words[beam, chosen[row[chosen] > -np.inf]].tolist()
        return order

"""Alternatives: the best choices at one position, each continued to a whole hypothesis."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from dragoman.bundle.manifest import Decoding
from dragoman.server.core.errors import Violation
from dragoman.server.core.limits import Bounds
from dragoman.server.core.segments import Hypothesis
from dragoman.server.core.strategies import Method
from dragoman.server.decode.arrays import Floats, Floats32, Ints
from dragoman.server.decode.strategies.offers import Offers, ranked
from dragoman.server.decode.strategies.special import Special


@dataclass(frozen=True)
class Alternatives(Method, Special):
    """The best tokens after the prefix, each continued by a beam of its own to a whole hypothesis."""

    count: int = 0
    min_probability: float = 0.0

    field: ClassVar[str] = "alternatives"
    is_whole: ClassVar[bool] = True
    parts: ClassVar[bool] = True

    @property
    def is_asked(self) -> bool:
        """A count of 0 asks for none."""
        return self.count > 0 or self.min_probability != 0

    def strategy(self, seed: int) -> Self:
        """The alternatives of the only segment."""
        return self

    def sized(self, given: Mapping[str, Any], defaults: Decoding) -> dict[str, Any]:
        """Each beam gives its best."""
        return {"num_hypotheses": 1, **given}

    def violations(
        self, decoding: Decoding, given: Mapping[str, Any], defaults: Decoding, bounds: Bounds
    ) -> Iterator[Violation]:
        """Fields out of range; the beams of all alternatives are bounded together."""
        yield from super().violations(decoding, given, defaults, bounds)
        beam, most, field = decoding.beam_size, bounds.max_beam_size, "decoding.alternatives.count"
        if self.count == 0:
            message = "set, and a count of 0 asks for no alternatives: set count, or leave it unset"
            yield Violation("decoding.alternatives.min_probability", message)
        elif not 1 <= self.count <= most:
            yield Violation(field, f"{self.count} is not between 1 and {most} (--max-beam-size)")
        elif self.count * beam > most:
            message = f"{self.count} with a beam_size of {beam} each are {self.count * beam}, the limit is {most}"
            yield Violation(field, f"{message} (--max-beam-size)")
        if self.count and not 0 <= self.min_probability <= 1:
            message = f"{self.min_probability:g} is not between 0 and 1"
            yield Violation("decoding.alternatives.min_probability", message)
        if given.get("num_hypotheses", 1) != 1:
            message = f"{field} says how many hypotheses come back: leave it unset"
            yield Violation("decoding.num_hypotheses", message)

    def shape(self, decoding: Decoding) -> tuple[int, int]:
        """A beam for each alternative."""
        return self.count, decoding.beam_size

    def starts(self, beams: int) -> int:
        """One, from which the others part."""
        return 1

    def num_choices(self, beams: int, width: int) -> int:
        """As many as there are alternatives."""
        return self.count

    def wanted(self, decoding: Decoding) -> int:
        """The best of each beam."""
        return 1

    def gather(self, ended: Sequence[Sequence[Hypothesis]], decoding: Decoding) -> tuple[Hypothesis, ...]:
        """The best of each beam, in the order of their first token."""
        return tuple(beam[0] for beam in ended if beam)

    def part(self, offers: Offers, scores: Floats, logp: Floats32, words: Ints) -> None:
        """Give each beam one of the best continuations of the first place, and nothing else.

        The best is always among them, how improbable it may be.
        """
        offers.score[:] = -np.inf
        offers.parent[:] = 0
        for beam, at in enumerate(ranked(scores[None], self.count)[0].tolist()):
            if beam == 0 or np.exp(logp[at]) >= self.min_probability:
                offers.score[beam, 0] = scores[at]
                offers.word[beam, 0], offers.logp[beam, 0] = words[at], logp[at]

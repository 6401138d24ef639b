"""Strategies that choose among continuations themselves, instead of taking those with the best scores."""

from typing import ClassVar

import numpy as np

from dragoman.server.core.strategies import Strategy
from dragoman.server.decode.arrays import Floats, Floats32, Ints
from dragoman.server.decode.strategies.offers import Offers

Draws = list[np.random.Generator]


class Special(Strategy):
    """A strategy with a say in what each beam of its segment is offered, at the cost of a loop over such segments."""

    parts: ClassVar[bool] = False
    """Whether `part` is asked."""

    def draws(self, beams: int) -> Draws:
        """What each beam draws with, where it draws."""
        return []

    def order(
        self, scores: Floats, logp: Floats32, words: Ints, *, room: Ints, draws: Draws, count: int
    ) -> Ints | None:
        """Which continuations [B, count] a segment's beams are offered, as indices; None for the best.

        Scores, log-probabilities and words are those of each beam's continuations [B, C]; `room` is how many
        hypotheses each beam has room for. Scores may be changed, which stays with the hypothesis.
        """
        return None

    def part(self, offers: Offers, scores: Floats, logp: Floats32, words: Ints) -> None:
        """Change what the beams are offered at the first token behind the prefix.

        The last three are the continuations of the first place alone [k].
        """

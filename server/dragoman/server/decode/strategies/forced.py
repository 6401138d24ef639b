"""Forced decoding: no search at all, but the probability of a given target."""

from dataclasses import dataclass

from dragoman.bundle.manifest import Decoding
from dragoman.server.core.strategies import Strategy


@dataclass(frozen=True)
class Forced(Strategy):
    """The log-probabilities of this target, which is without its end token."""

    target: tuple[int, ...]

    def shape(self, decoding: Decoding) -> tuple[int, int]:
        """One path."""
        return 1, 1

    def forced(self) -> tuple[int, ...]:
        """The target."""
        return self.target

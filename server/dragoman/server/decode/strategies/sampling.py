"""Sampling: each hypothesis is drawn at random, token by token."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from dragoman.bundle.manifest import Decoding
from dragoman.server.core.errors import Violation
from dragoman.server.core.limits import Bounds
from dragoman.server.core.strategies import Engine, Method
from dragoman.server.decode.arrays import Floats, Floats32, Ints
from dragoman.server.decode.strategies.special import Draws, Special

EVERYTHING = 1 << 30
"""As a number of best words: the whole vocabulary."""
MAX_TEMPERATURE = 100.0


@dataclass(frozen=True)
class Sampling(Method, Special):
    """Draw tokens at random, `num_hypotheses` times independently."""

    seed: int | None = None
    """Equal seeds draw equally; a request that names none gets a fresh one."""
    top_k: int | None = None
    """Only from this many most probable tokens."""
    top_p: float = 1.0
    """Only from the most probable tokens that together have this probability."""
    temperature: float = 1.0
    min_p: float = 0.0
    """Only from tokens at least so many times as probable as the most probable one, after the temperature."""
    epsilon: float | None = None
    """Only from tokens that the model itself gives at least this probability, or its best."""

    field: ClassVar[str] = "sampling"
    has_beam: ClassVar[bool] = False
    goes_with_grammar: ClassVar[bool] = True
    is_drawn: ClassVar[bool] = True

    def strategy(self, seed: int) -> Self:
        """The draws of each segment."""
        return self if self.seed is not None else replace(self, seed=seed)

    def sized(self, given: Mapping[str, Any], defaults: Decoding) -> dict[str, Any]:
        """Draws have no beam; a wish for quality has no say in it."""
        return {**given, "beam_size": 1}

    def violations(
        self, decoding: Decoding, given: Mapping[str, Any], defaults: Decoding, bounds: Bounds
    ) -> Iterator[Violation]:
        """Fields out of range, and those of a search."""
        yield from self.draw_violations(decoding, given, defaults, self.field)
        if not 1 <= decoding.num_hypotheses <= bounds.max_hypotheses:
            message = f"{decoding.num_hypotheses} is not between 1 and {bounds.max_hypotheses} (--max-hypotheses)"
            yield Violation("decoding.num_hypotheses", message)
        yield from self.field_violations(self.field)

    def draw_violations(
        self, decoding: Decoding, given: Mapping[str, Any], defaults: Decoding, field: str
    ) -> Iterator[Violation]:
        """What draws have no use for, whichever field asks for them."""
        if given.get("beam_size", 1) != 1:
            message = f"{given['beam_size']}, and decoding.{field} draws without a beam: set 1, or leave it unset"
            yield Violation("decoding.beam_size", message)
        for name in ("early_stopping", "patience"):
            if getattr(decoding, name) != getattr(defaults, name):
                message = f"decoding.{field} does not search, so there is nothing to stop early: leave it unset"
                yield Violation(f"decoding.{name}", message)
                break

    def field_violations(self, path: str) -> Iterator[Violation]:
        """Fields out of range."""
        if self.top_k is not None and self.top_k < 1:
            yield Violation(f"decoding.{path}.top_k", f"{self.top_k} is less than 1")
        if not 0 < self.top_p <= 1:
            yield Violation(f"decoding.{path}.top_p", f"{self.top_p:g} is not above 0 and at most 1")
        if not (math.isfinite(self.temperature) and 0 < self.temperature <= MAX_TEMPERATURE):
            message = f"{self.temperature:g} is not above 0 and at most {MAX_TEMPERATURE:g}"
            yield Violation(f"decoding.{path}.temperature", message)
        if not 0 <= self.min_p <= 1:
            yield Violation(f"decoding.{path}.min_p", f"{self.min_p:g} is not between 0 and 1")
        if self.epsilon is not None and not 0 <= self.epsilon < 1:
            yield Violation(f"decoding.{path}.epsilon", f"{self.epsilon:g} is not at least 0 and below 1")

    def engine(self, decoding: Decoding) -> Engine:
        """What results name."""
        return Engine.SAMPLING

    def shape(self, decoding: Decoding) -> tuple[int, int]:
        """A beam of one for each hypothesis."""
        return decoding.num_hypotheses, 1

    def num_choices(self, beams: int, width: int) -> int:
        """All that may be drawn: of words that have `epsilon` each, there are not more than that leaves room for."""
        most = EVERYTHING if self.top_k is None else self.top_k
        return min(most, math.floor(1 / self.epsilon) + 1) if self.epsilon else most

    def draws(self, beams: int) -> Draws:
        """Each beam its own numbers, which no other beam's length changes."""
        assert self.seed is not None, "`strategy` gives one"
        return [np.random.default_rng((self.seed, beam)) for beam in range(beams)]

    def order(self, scores: Floats, logp: Floats32, words: Ints, *, room: Ints, draws: Draws, count: int) -> Ints:
        """One continuation of each beam, drawn."""
        order = np.zeros((len(scores), count), np.int64)
        order[:, 0] = [self.draw(*beam) for beam in zip(scores, logp, words, draws, strict=True)]
        return order

    def draw(self, scores: Floats, logp: Floats32, words: Ints, numbers: np.random.Generator) -> int:
        """The index of one continuation of one beam, drawn in proportion to its probability."""
        order = np.lexsort((words, -scores))[: self.top_k]
        order = order[scores[order] > -np.inf]
        if not len(order):
            return 0
        if self.epsilon:
            is_likely = np.exp(logp[order]) >= self.epsilon
            is_likely[0] = True
            order = order[is_likely]
        shares = np.exp((scores[order] - scores[order[0]]) / self.temperature)
        total = shares[shares >= self.min_p].cumsum()
        if self.top_p < 1.0:  # the smallest set with that much, its last word included
            total = total[: np.searchsorted(total, self.top_p * total[-1]) + 1]
        at = np.searchsorted(total, numbers.random() * total[-1], side="right")
        return int(order[min(int(at), len(total) - 1)])

"""Minimum Bayes risk decoding: of many draws, those that the others agree with most.

A draw is worth its mean chrF against all other draws of its segment, so that what most of them would say is preferred
to what happens to be most probable.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np

from dragoman.bundle.manifest import Decoding
from dragoman.server.core.errors import Violation
from dragoman.server.core.limits import Bounds
from dragoman.server.core.strategies import Chooser, Method, Strategy
from dragoman.server.decode.arrays import Floats
from dragoman.server.decode.strategies.sampling import Sampling

ORDERS = range(1, 7)
"""Lengths of the character n-grams that chrF counts."""
RECALL = 2.0
"""How many times as much as precision recall weighs in it."""


@dataclass(frozen=True)
class MinimumBayesRisk(Method):
    """Draw `samples` hypotheses of each segment and answer with those of the highest mean chrF against the others."""

    samples: int = 16
    sampling: Sampling = Sampling(epsilon=0.02)
    """How they are drawn: by default from tokens that the model holds for possible at all."""

    field: ClassVar[str] = "minimum_bayes_risk"
    has_beam: ClassVar[bool] = False

    def strategy(self, seed: int) -> Strategy:
        """The draws of each segment."""
        return self.sampling.strategy(seed)

    def sized(self, given: Mapping[str, Any], defaults: Decoding) -> dict[str, Any]:
        """Draws have no beam."""
        return self.sampling.sized(given, defaults)

    def violations(
        self, decoding: Decoding, given: Mapping[str, Any], defaults: Decoding, bounds: Bounds
    ) -> Iterator[Violation]:
        """What draws have no use for, and numbers out of range: no more can come back than is drawn."""
        yield from self.sampling.draw_violations(decoding, given, defaults, self.field)
        yield from self.sampling.field_violations(f"{self.field}.sampling")
        most = bounds.max_hypotheses
        if not 2 <= self.samples <= most:
            message = f"{self.samples} is not between 2 and {most} (--max-hypotheses)"
            yield Violation(f"decoding.{self.field}.samples", message)
        elif not 1 <= decoding.num_hypotheses <= self.samples:
            message = f"{decoding.num_hypotheses} is not between 1 and the {self.samples} samples"
            yield Violation("decoding.num_hypotheses", message)

    def settings(self, decoding: Decoding) -> Decoding:
        """As many hypotheses as there are samples."""
        return replace(decoding, num_hypotheses=self.samples)

    def chooser(self, decoding: Decoding) -> Chooser:
        """Those that the others agree with most."""
        return partial(most_agreed, count=decoding.num_hypotheses)


def most_agreed(texts: Sequence[str], count: int) -> list[tuple[int, float]]:
    """The `count` texts of the highest mean chrF against all others, each once however often drawn, and that mean."""
    scores = chrf(texts)
    means = (scores.sum(1) - scores.diagonal()) / max(1, len(texts) - 1)
    ranked = sorted(range(len(texts)), key=lambda n: -means[n])
    first = {texts[n]: n for n in reversed(ranked)}
    return [(n, float(means[n])) for n in ranked if first[texts[n]] == n][:count]


def chrf(texts: Sequence[str]) -> Floats:
    """The chrF [N, N], from 0 to 1, of each text with each as its reference. White space does not count."""
    squeezed = ["".join(text.split()) for text in texts]
    precision, recall, orders = np.zeros((3, len(texts), len(texts)))
    for order in ORDERS:
        grams = [Counter(text[i : i + order] for i in range(len(text) - order + 1)) for text in squeezed]
        column = {gram: n for n, gram in enumerate(dict.fromkeys(gram for counter in grams for gram in counter))}
        counts = np.zeros((len(texts), len(column)), np.int64)
        for row, counter in zip(counts, grams, strict=True):
            row[[column[gram] for gram in counter]] = list(counter.values())
        sizes = counts.sum(1)
        has_both = (sizes[:, None] > 0) & (sizes > 0)
        matches = np.array([np.minimum(row, counts).sum(1) for row in counts])
        precision += np.where(has_both, matches / np.maximum(sizes, 1)[:, None], 0)
        recall += np.where(has_both, matches / np.maximum(sizes, 1), 0)
        orders += has_both
    precision, recall = precision / np.maximum(orders, 1), recall / np.maximum(orders, 1)
    total = RECALL**2 * precision + recall
    return np.where(total > 0, (1 + RECALL**2) * precision * recall / np.where(total > 0, total, 1), 0)

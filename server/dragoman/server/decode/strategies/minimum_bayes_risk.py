"""Minimum Bayes risk decoding: of many draws, those that the others agree with most.

A draw is worth its mean chrF against all other draws of its segment, so that what most of them would say is preferred
to what happens to be most probable.
"""

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

EPSILON = 0.02
"""Where the request says nothing of it."""
ORDERS = range(1, 7)
"""Lengths of the character n-grams that chrF counts."""
RECALL = 2.0
"""How many times as much as precision recall weighs in it."""


@dataclass(frozen=True)
class MinimumBayesRisk(Method):
    """Draw `samples` hypotheses of each segment and answer with those of the highest mean chrF against the others."""

    samples: int = 16
    sampling: Sampling = Sampling()
    """How they are drawn: where it does not say otherwise, from tokens that the model holds for possible at all."""

    field: ClassVar[str] = "minimum_bayes_risk"
    has_beam: ClassVar[bool] = False

    def strategy(self, seed: int) -> Strategy:
        """The draws of each segment."""
        epsilon = EPSILON if self.sampling.epsilon is None else self.sampling.epsilon
        return replace(self.sampling, epsilon=epsilon).strategy(seed)

    def sized(self, given: Mapping[str, Any], defaults: Decoding) -> dict[str, Any]:
        """Draws have no beam; no more of them come back by default than there are."""
        return {"num_hypotheses": min(defaults.num_hypotheses, self.samples), **self.sampling.sized(given, defaults)}

    def violations(
        self, decoding: Decoding, given: Mapping[str, Any], defaults: Decoding, bounds: Bounds
    ) -> Iterator[Violation]:
        """What draws have no use for, and numbers out of range: no more can come back than is drawn."""
        yield from self.sampling.draw_violations(decoding, given, defaults, self.field)
        yield from self.sampling.field_violations(f"{self.field}.sampling")
        most = bounds.max_hypotheses
        if not 2 <= self.samples <= most:
            message = f"{self.samples} is not between 2 and the {most} hypotheses that may be drawn (--max-hypotheses)"
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
    drawn = Counter(texts)
    scores = chrf(list(drawn))
    means = (scores @ list(drawn.values()) - scores.diagonal()) / max(1, len(texts) - 1)
    ranked = sorted(zip(map(texts.index, drawn), means.tolist(), strict=True), key=lambda pair: -pair[1])
    return ranked[:count]


def chrf(texts: Sequence[str]) -> Floats:
    """The chrF [N, N], from 0 to 1, of each text with each as its reference. White space does not count."""
    squeezed = ["".join(text.split()) for text in texts]
    precision, recall, orders = np.zeros((3, len(texts), len(texts)))
    for order in ORDERS:
        grams = [Counter(text[i : i + order] for i in range(len(text) - order + 1)) for text in squeezed]
        sizes = np.array([counter.total() for counter in grams])
        has_both = (sizes[:, None] > 0) & (sizes > 0)
        matches = _matches(grams)
        np.fill_diagonal(matches, sizes)
        precision += np.where(has_both, matches / np.maximum(sizes, 1)[:, None], 0)
        recall += np.where(has_both, matches / np.maximum(sizes, 1), 0)
        orders += has_both
    precision, recall = precision / np.maximum(orders, 1), recall / np.maximum(orders, 1)
    total = RECALL**2 * precision + recall
    return np.where(total > 0, (1 + RECALL**2) * precision * recall / np.where(total > 0, total, 1), 0)


def _matches(grams: Sequence[Counter[str]]) -> Floats:
    """How many n-grams each two texts have in common [N, N]; the diagonal holds anything.

    What a single text has matches nothing, and of long texts that is nearly all: it has no column.
    """
    owners = Counter(gram for counter in grams for gram in counter)
    column = {gram: n for n, gram in enumerate(gram for gram, number in owners.items() if number > 1)}
    counts = np.zeros((len(grams), len(column)), np.int32)
    for row, counter in zip(counts, grams, strict=True):
        shared = [gram for gram in counter if gram in column]
        row[[column[gram] for gram in shared]] = [counter[gram] for gram in shared]
    return np.array([np.minimum(row, counts).sum(1) for row in counts], np.float64)

"""When the calls of a load are due, and what they say. No clock, no network: all of it follows from a seed."""

import random
from collections.abc import Iterator, Sequence
from enum import StrEnum


class Arrivals(StrEnum):
    """How calls are spread over time."""

    CONSTANT = "constant"
    """The same pause between any two."""
    POISSON = "poisson"
    """As those of many users who know nothing of each other: now several at once, now none."""


def due_times(arrivals: Arrivals, rate: float, duration_s: float, seed: int) -> list[float]:
    """When calls are due, in seconds from the start: `rate` a second, for Poisson arrivals on average."""
    if arrivals is Arrivals.CONSTANT:
        return [index / rate for index in range(round(rate * duration_s))]
    gaps, times = random.Random(seed), []  # noqa: S311 - not a secret
    due_s = gaps.expovariate(rate)
    while due_s < duration_s:
        times.append(due_s)
        due_s += gaps.expovariate(rate)
    return times


def shuffled(texts: Sequence[str], seed: int) -> Iterator[str]:
    """The texts without end, each as often as any other, in an order that says nothing of where they came from."""
    order, deck = random.Random(seed), list(texts)  # noqa: S311 - not a secret
    while True:
        order.shuffle(deck)
        yield from deck

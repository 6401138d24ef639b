"""What a search asks of the decoder at each step, what it is told, and what it made of it."""

from __future__ import annotations

from dataclasses import dataclass

from dragoman.server.decode.arrays import Bools, Floats32, Ints


@dataclass(frozen=True)
class Query:
    """What the decoder must say of the newest level."""

    ids: Ints
    """[G, K]"""
    depth: Ints
    """[G, K]"""
    named: Ints
    """Words [G, K, m] whose log-probabilities are wanted; m is 0 where no source asks."""
    best: int
    """How many of each row's best words are wanted."""
    attention: bool


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


@dataclass(frozen=True)
class Advance:
    """What a step did to the trees: for each place of the new level, its parent's place and whether it lives."""

    parents: Ints  # [G, K]
    live: Bools  # [G, K]
    finished: list[int]
    """Sources whose search is over, ascending."""

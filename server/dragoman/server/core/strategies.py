"""The ways to decode, as a request or a segment names them, and the engines that results name."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Engine(enum.Enum):
    """What produced a translation."""

    GREEDY = "greedy"
    BEAM = "beam"
    SAMPLING = "sampling"
    SPECULATIVE = "speculative"
    """Drafts were verified; the translation is greedy decoding's."""
    SPECULATIVE_LOSSY = "speculative_lossy"
    """Drafts were accepted that greedy decoding would not have chosen."""
    NAT = "nat"


class DraftSource(enum.Enum):
    """Where speculation takes its drafts from."""

    NAT = "nat"
    """The non-autoregressive decoder, which fills the next places anew each time."""
    HYPOTHESIS = "hypothesis"
    """One non-autoregressive translation of the whole source."""
    SOURCE = "source"
    """The source's own words."""


@dataclass(frozen=True)
class Beam:
    """Search for the best: a beam of the decoding settings' size, greedy where that is 1."""


@dataclass(frozen=True)
class Sample:
    """Draw tokens at random, `num_hypotheses` times independently."""

    seed: int
    top_k: int | None = None
    """Only from this many most probable tokens."""
    top_p: float = 1.0
    """Only from the most probable tokens that together have this probability."""
    temperature: float = 1.0


@dataclass(frozen=True)
class DiverseBeam:
    """The beam in groups that are taken in turn: what earlier groups chose at a step costs the later ones."""

    groups: int
    penalty: float


@dataclass(frozen=True)
class Alternatives:
    """The best tokens after the prefix, each continued by a beam of its own to a whole hypothesis."""

    count: int
    min_probability: float = 0.0


@dataclass(frozen=True)
class Forced:
    """No search at all: the log-probabilities of this target, which is without its end token."""

    target: tuple[int, ...]


@dataclass(frozen=True)
class NonAutoregressive:
    """All tokens at once, by one of the bundle's decoders; complete, as planning resolves it."""

    decoder: str
    passes: int = 1
    length_candidates: int = 1
    """Lengths that are tried side by side."""
    length_scale: float = 1.0
    exact_length: int | None = None
    """Tokens without the end token, instead of a prediction."""
    rescore: bool = False
    """Whether the autoregressive decoder chooses among what was found."""


@dataclass(frozen=True)
class Lossy:
    """What verification accepts besides what greedy decoding would choose."""

    top: int
    """Words among so many most probable ones."""
    margin: float
    """And at most so much less probable than the most probable one."""


@dataclass(frozen=True)
class Speculative:
    """Greedy search that verifies several drafted tokens in one step."""

    draft: DraftSource
    tokens: int
    """Drafted at a time."""
    decoder: str = ""
    """The non-autoregressive decoder that drafts."""
    lossy: Lossy | None = None


Strategy = Beam | Sample | DiverseBeam | Alternatives | Forced | NonAutoregressive | Speculative

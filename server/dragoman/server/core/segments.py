"""Segments, which lanes schedule, and what becomes of them."""

import enum
import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dragoman.bundle.manifest import Decoding
from dragoman.server.core.phrasing import Phrasing
from dragoman.server.core.strategies import Beam, Engine, Strategy


class FinishReason(enum.Enum):
    """Why decoding ended."""

    STOP = "stop"
    """The model put out its end token."""
    LENGTH = "length"
    """The length limit was reached first: the text may be incomplete."""
    REPETITION = "repetition"
    """The model repeated itself without end and was stopped: the text is hardly a translation."""
    GRAMMAR = "grammar"
    """Nothing goes on with what the grammar demands: the text is incomplete."""
    EMPTY_INPUT = "empty_input"
    """There was nothing to translate."""


LIGHT_COST = 256
"""A request of at most this cost, a few sentences, is light: the encoder reads it in one run, and none of its steps
holds up others for long. What costs more is bulk."""
LONG_TOKENS, LONG_POSITIONS = 256, 1024
"""Of a segment, and of all its hypotheses side by side: what has more is long."""


class Priority(enum.IntEnum):
    """Who goes first when several wait; the lower number does."""

    INTERACTIVE = 0
    NORMAL = 1
    BATCH = 2


@dataclass(frozen=True)
class Size:
    """How large a segment is."""

    cost: int
    """Its work, in source tokens of a default request."""
    length: int
    """The longer of its source and of what is likely to come of it, in tokens."""
    width: int = 1
    """Hypotheses side by side."""

    @property
    def is_long(self) -> bool:
        """Whether a run of a graph for it alone takes so long that others notice."""
        return self.length > LONG_TOKENS or self.length * self.width > LONG_POSITIONS


@dataclass(frozen=True)
class Segment:
    """A sentence-sized part of a text, as ids: the unit that is scheduled."""

    ids: tuple[int, ...]
    """Source ids, the end token included."""
    decoding: Decoding
    """Complete: the bundle's defaults with the request's overrides."""
    deadline_s: float | None = None
    strategy: Strategy = Beam()
    decoder: str | None = None
    """The bundle's sibling that decodes; None: the architecture's own decoder, or one without autoregression."""
    prefix: tuple[int, ...] = ()
    """Target ids that every hypothesis begins with, such as the target language's; they count as its tokens."""
    suppressed_ids: tuple[int, ...] = ()
    """Target ids that must not be put out, besides those that the bundle suppresses."""
    phrasing: Phrasing | None = None
    """What a hypothesis must be, behind its prefix; None: anything."""
    attention: bool = False
    """Whether hypotheses carry their attention."""
    priority: Priority = Priority.NORMAL
    copies: tuple[int, ...] = ()
    """The target word that each source token is copied as, for a model that copies. Empty: those that it is."""
    bulk: bool = False
    """Whether its request is bulk: then it shares neither places nor steps with segments of light requests."""
    stops_loops: bool = False
    """Whether a search ends where it can only repeat itself."""

    @property
    def steps(self) -> int:
        """Target positions that it is likely to take: as many as its source has, where nothing asks for more."""
        if self.strategy.exact_length is not None:
            return self.strategy.exact_length + 1
        if self.strategy.forced() is not None:
            return self.max_target_tokens
        wanted = max(len(self.ids), len(self.prefix), self.decoding.min_length)
        return min(wanted, self.max_target_tokens)

    def cost(self, default_width: int) -> int:
        """Its work in source tokens of a default request, which has `default_width` hypotheses side by side: the
        positions that the decoder computes for it, divided by that.
        """
        positions = self.strategy.width(self.decoding) * self.strategy.passes * self.steps
        return max(len(self.ids), math.ceil(positions / default_width))

    def size(self, default_width: int) -> Size:
        """Its cost, and what it takes of a lane."""
        length = max(len(self.ids), self.steps)
        return Size(self.cost(default_width), length, self.strategy.width(self.decoding))

    @property
    def max_target_tokens(self) -> int:
        """Most tokens that may be put out, the end token included."""
        forced = self.strategy.forced()
        if forced is not None:
            return len(self.prefix) + len(forced) + 1
        return max(1, min(self.decoding.max_length, math.ceil(self.decoding.max_length_factor * len(self.ids))))


def is_light(costs: Iterable[int]) -> bool:
    """Whether a request of segments of these costs is light."""
    return not any(total > LIGHT_COST for total in itertools.accumulate(costs))


@dataclass(frozen=True)
class Hypothesis:
    """A finished path of the tree."""

    ids: tuple[int, ...]
    """Without the end token. From the size of the vocabulary upwards, copies of source positions."""
    logp: float
    """Sum of the tokens' log-probabilities, the end token's included."""
    score: float
    """What hypotheses are ranked by: `logp` under the penalties, or what a chooser gave."""
    reason: FinishReason
    token_logps: tuple[float, ...] = ()
    """Of each token, the end token included; they add up to `logp`."""
    attention: npt.NDArray[np.float32] | None = field(default=None, compare=False)
    """What each token, the end token included, gave to each source token: [n, S]. Only where it was asked for."""

    is_open: bool = False
    """Whether it was cut although it has to be whole."""

    @property
    def has_end(self) -> bool:
        """Whether the model put out its end token."""
        return self.reason is FinishReason.STOP

    @property
    def rank(self) -> tuple[bool, float]:
        """The best of several has the least: what only repeats itself, or has to be whole, is worse than all else."""
        return self.is_open or self.reason is FinishReason.REPETITION, -self.score


@dataclass(frozen=True)
class Work:
    """What a translation took besides steps of the decoder."""

    nat_passes: int = 0
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    """Drafted tokens that verification kept."""

    def __add__(self, other: "Work") -> "Work":
        return Work(
            self.nat_passes + other.nat_passes,
            self.drafted_tokens + other.drafted_tokens,
            self.accepted_tokens + other.accepted_tokens,
        )


NO_WORK = Work()


@dataclass(frozen=True)
class Decoded:
    """What a lane made of one segment."""

    hypotheses: tuple[Hypothesis, ...]
    """Best first; empty where the decoder's numbers were not finite, which a lane answers with an error."""
    engine: Engine
    steps: int
    queue_s: float = 0.0
    encode_s: float = 0.0
    decode_s: float = 0.0
    work: Work = NO_WORK
    is_remembered: bool = False
    """Whether it was decoded for an earlier request, and not for this one."""

"""The server's nouns: plain frozen values that the stages hand to one another.

A `Request` holds texts; each text is cut into `Segment`s, which is what lanes schedule; a segment comes back as
`Decoded`, and the pieces of one text are joined into a `Translation`.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable
from dataclasses import dataclass

from dragoman.bundle.manifest import Decoding


class FinishReason(enum.Enum):
    """Why decoding ended."""

    STOP = "stop"
    """The model put out its end token."""
    LENGTH = "length"
    """The length limit was reached first: the text may be incomplete."""
    EMPTY_INPUT = "empty_input"
    """There was nothing to translate."""


class Engine(enum.Enum):
    """What produced a translation."""

    GREEDY = "greedy"
    BEAM = "beam"


class Splitting(enum.Enum):
    """How a text is cut into segments."""

    SENTENCES = "sentences"
    LINES = "lines"
    NONE = "none"


@dataclass(frozen=True)
class DecodingOverrides:
    """What a request says about decoding; None leaves the bundle's own default."""

    beam_size: int | None = None
    num_hypotheses: int | None = None
    length_penalty: float | None = None
    max_length: int | None = None
    max_length_factor: float | None = None
    shortlist: bool | None = None
    profile: str | None = None


@dataclass(frozen=True)
class Request:
    """One call: texts for one model, and how to treat them."""

    texts: tuple[str, ...]
    overrides: DecodingOverrides = DecodingOverrides()
    splitting: Splitting = Splitting.SENTENCES
    deadline_s: float | None = None
    """On the monotonic clock."""
    source_language: str = ""
    """BCP-47 tag that sentence splitting and the model's language token go by; empty for the bundle's only one."""
    target_language: str = ""
    split_long: bool = True
    """Split a piece that is longer than the model can read; False refuses its text instead."""


@dataclass(frozen=True)
class Segment:
    """A sentence-sized piece of a request, as ids: the unit that is scheduled."""

    ids: tuple[int, ...]
    """Source ids, the end token included."""
    decoding: Decoding
    """Complete: the bundle's defaults with the request's overrides."""
    deadline_s: float | None = None
    forced_first_id: int | None = None
    """What the translation must begin with: the target language, for models that are told so."""

    @property
    def max_target_tokens(self) -> int:
        """Most tokens that may be put out, the end token included."""
        return max(1, min(self.decoding.max_length, math.ceil(self.decoding.max_length_factor * len(self.ids))))


@dataclass(frozen=True)
class Hypothesis:
    """A finished path of the tree."""

    ids: tuple[int, ...]
    """Without the end token."""
    logp: float
    """Sum of the tokens' log-probabilities, the end token's included."""
    score: float
    """`logp` under the length penalty: what hypotheses are ranked by."""
    reason: FinishReason


@dataclass(frozen=True)
class Decoded:
    """What a lane made of one segment."""

    hypotheses: tuple[Hypothesis, ...]
    """Best first, never empty."""
    engine: Engine
    steps: int
    queue_s: float
    encode_s: float
    decode_s: float


@dataclass(frozen=True)
class Timings:
    """Where the time of a translation went, in seconds; of several segments, each stage's longest."""

    tokenize_s: float = 0.0
    queue_s: float = 0.0
    encode_s: float = 0.0
    decode_s: float = 0.0
    detokenize_s: float = 0.0

    @classmethod
    def longest(cls, timings: Iterable[Timings]) -> Timings:
        """Each stage's longest time."""
        rows = [tuple(vars(one).values()) for one in timings]
        return cls(*map(max, zip(*rows, strict=True))) if rows else cls()


@dataclass(frozen=True)
class TextHypothesis:
    """One reading of a whole text: its segments' hypotheses of the same rank, joined."""

    text: str
    logp: float
    score: float


@dataclass(frozen=True)
class Translation:
    """What became of one text of a request."""

    hypotheses: tuple[TextHypothesis, ...]
    finish_reason: FinishReason
    """LENGTH if any segment reached its limit."""
    engine: Engine | None
    """None where nothing had to be decoded."""
    source_tokens: int
    target_tokens: int
    segments: int
    steps: int
    timings: Timings

    @property
    def text(self) -> str:
        """The best hypothesis."""
        return self.hypotheses[0].text

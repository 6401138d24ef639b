"""The server's nouns: plain frozen values that the stages hand to one another.

A `Request` holds texts; each text is cut into `Segment`s, which is what lanes schedule; a segment comes back as
`Decoded`, and the pieces of one text are joined into a `Translation`.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dragoman.bundle.manifest import Decoding, EarlyStopping, LengthPenaltyKind, Profile, UnknownHandling


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


class Splitting(enum.Enum):
    """How a text is cut into segments."""

    SENTENCES = "sentences"
    LINES = "lines"
    NONE = "none"


class Priority(enum.IntEnum):
    """Who goes first when several wait; the lower number does."""

    INTERACTIVE = 0
    NORMAL = 1
    BATCH = 2


class EnginePreference(enum.Enum):
    """Which way of decoding a request prefers: a wish (the first four), or a demand."""

    AUTO = "auto"
    QUALITY = "quality"
    BALANCED = "balanced"
    FAST = "fast"
    GREEDY = "greedy"
    BEAM = "beam"
    SPECULATIVE = "speculative"
    NAT = "nat"


class OffsetUnit(enum.Enum):
    """What an offset into a text counts."""

    CODE_POINT = "code_point"
    UTF8_BYTE = "utf8_byte"
    UTF16 = "utf16"


class Span(NamedTuple):
    """A half-open range of a text."""

    start: int
    end: int


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
    """All tokens at once, by one of the bundle's decoders; complete, as `dragoman.server.engines` resolves it."""

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


@dataclass(frozen=True)
class NatOverrides:
    """What a request says about non-autoregressive decoding; None leaves the bundle's own default."""

    passes: int | None = None
    length_scale: float | None = None
    exact_length: int | None = None
    length_candidates: int | None = None
    decoder: str | None = None
    rescore: bool = False


@dataclass(frozen=True)
class SpeculationOverrides:
    """What a request says about speculation; None leaves the server's own choice."""

    draft: DraftSource | None = None
    tokens: int | None = None
    lossy: Lossy | None = None


@dataclass(frozen=True)
class DecodingOverrides:
    """What a request says about decoding; None leaves the bundle's own default."""

    profile: Profile | None = None
    beam_size: int | None = None
    num_hypotheses: int | None = None
    length_penalty: float | None = None
    length_penalty_kind: LengthPenaltyKind | None = None
    word_penalty: float | None = None
    coverage_penalty: float | None = None
    patience: float | None = None
    early_stopping: EarlyStopping | None = None
    min_length: int | None = None
    max_length: int | None = None
    max_length_factor: float | None = None
    repetition_penalty: float | None = None
    no_repeat_ngram_size: int | None = None
    unknown_handling: UnknownHandling | None = None
    shortlist: bool | None = None


@dataclass(frozen=True)
class Output:
    """What a request wants to know besides the texts."""

    token_scores: bool = False
    alignments: bool = False
    sentence_spans: bool = False
    offset_unit: OffsetUnit = OffsetUnit.CODE_POINT


@dataclass(frozen=True)
class Request:
    """One call: texts for one model, and how to treat them."""

    texts: tuple[str, ...]
    overrides: DecodingOverrides = DecodingOverrides()
    strategy: Strategy = Beam()
    engine: EnginePreference = EnginePreference.AUTO
    nat: NatOverrides = NatOverrides()
    speculation: SpeculationOverrides = SpeculationOverrides()
    prefixes: tuple[str, ...] = ()
    """What the translation of each text begins with; none at all, or one for each text, empty where it has none."""
    suppressed_tokens: tuple[str, ...] = ()
    """Tokens that must not be put out, as the target vocabulary writes them."""
    output: Output = Output()
    priority: Priority = Priority.NORMAL
    splitting: Splitting = Splitting.SENTENCES
    deadline_s: float | None = None
    """On the monotonic clock."""
    source_language: str = ""
    """BCP-47 tag that sentence splitting and the model's language token go by; empty for the bundle's only one."""
    target_language: str = ""
    split_long: bool = True
    """Split a piece that is longer than the model can read; False refuses its text instead."""


@dataclass(frozen=True)
class Pair:
    """A text and a translation of it that is to be scored."""

    source: str
    target: str


@dataclass(frozen=True)
class ScoreRequest:
    """One call: pairs for one model to score."""

    pairs: tuple[Pair, ...]
    overrides: DecodingOverrides = DecodingOverrides()
    token_scores: bool = False
    deadline_s: float | None = None
    """On the monotonic clock."""
    priority: Priority = Priority.NORMAL
    source_language: str = ""
    """As in `Request`."""
    target_language: str = ""


@dataclass(frozen=True)
class Segment:
    """A sentence-sized piece of a request, as ids: the unit that is scheduled."""

    ids: tuple[int, ...]
    """Source ids, the end token included."""
    decoding: Decoding
    """Complete: the bundle's defaults with the request's overrides."""
    deadline_s: float | None = None
    strategy: Strategy = Beam()
    prefix: tuple[int, ...] = ()
    """Target ids that every hypothesis begins with, such as the target language's; they count as its tokens."""
    suppressed_ids: tuple[int, ...] = ()
    """Target ids that must not be put out, besides those that the bundle suppresses."""
    attention: bool = False
    """Whether hypotheses carry their attention."""
    priority: Priority = Priority.NORMAL

    @property
    def max_target_tokens(self) -> int:
        """Most tokens that may be put out, the end token included."""
        if isinstance(self.strategy, Forced):
            return len(self.prefix) + len(self.strategy.target) + 1
        return max(1, min(self.decoding.max_length, math.ceil(self.decoding.max_length_factor * len(self.ids))))


@dataclass(frozen=True)
class Hypothesis:
    """A finished path of the tree."""

    ids: tuple[int, ...]
    """Without the end token."""
    logp: float
    """Sum of the tokens' log-probabilities, the end token's included."""
    score: float
    """`logp` under the penalties: what hypotheses are ranked by."""
    reason: FinishReason
    token_logps: tuple[float, ...] = ()
    """Of each token, the end token included; they add up to `logp`."""
    attention: npt.NDArray[np.float32] | None = field(default=None, compare=False)
    """What each token, the end token included, gave to each source token: [n, S]. Only where it was asked for."""


@dataclass(frozen=True)
class Work:
    """What a translation took besides steps of the decoder."""

    nat_passes: int = 0
    drafted: int = 0
    """Tokens."""
    accepted: int = 0
    """Of the drafted ones."""

    def __add__(self, other: Work) -> Work:
        return Work(self.nat_passes + other.nat_passes, self.drafted + other.drafted, self.accepted + other.accepted)


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
    work: Work = Work()


@dataclass(frozen=True)
class Timings:
    """Where the time of a translation went, in seconds. Stages follow one another: of several segments, they are those
    of the one that was answered last, so that they add up.
    """

    tokenize_s: float = 0.0
    queue_s: float = 0.0
    encode_s: float = 0.0
    decode_s: float = 0.0
    detokenize_s: float = 0.0

    @property
    def total_s(self) -> float:
        """All stages together."""
        return self.tokenize_s + self.queue_s + self.encode_s + self.decode_s + self.detokenize_s

    @classmethod
    def last(cls, timings: Iterable[Timings]) -> Timings:
        """Of several that began together, the one that ended last."""
        return max(timings, key=lambda one: one.total_s, default=cls())


@dataclass(frozen=True)
class TokenScore:
    """A target token as the vocabulary writes it, and its log-probability given those before it."""

    token: str
    logp: float


@dataclass(frozen=True)
class Alignment:
    """A word of the source text, a word of the translation, and the share of the latter's attention between them."""

    source: Span
    target: Span
    weight: float


@dataclass(frozen=True)
class SpanPair:
    """A stretch of the source text and the stretch of the translation that it became."""

    source: Span
    target: Span


@dataclass(frozen=True)
class TextHypothesis:
    """One reading of a whole text: its segments' hypotheses of the same rank, joined."""

    text: str
    logp: float
    score: float
    reason: FinishReason = FinishReason.STOP
    """LENGTH if any segment reached its limit."""
    tokens: tuple[TokenScore, ...] = ()
    """End tokens included. Only where they were asked for."""
    alignments: tuple[Alignment, ...] = ()
    """Only where they were asked for."""


@dataclass(frozen=True)
class Translation:
    """What became of one text of a request."""

    hypotheses: tuple[TextHypothesis, ...]
    finish_reason: FinishReason
    """That of the best hypothesis."""
    engine: Engine | None
    """None where nothing had to be decoded."""
    source_tokens: int
    target_tokens: int
    segments: int
    steps: int
    timings: Timings
    sentence_spans: tuple[SpanPair, ...] = ()
    """Only where they were asked for."""
    work: Work = Work()
    """Of all segments; of passes, the most that one of them took."""

    @property
    def text(self) -> str:
        """The best hypothesis."""
        return self.hypotheses[0].text


@dataclass(frozen=True)
class Scored:
    """What became of one pair of a request to score."""

    logp: float
    score: float
    """`logp` under the penalties."""
    source_tokens: int
    target_tokens: int
    timings: Timings
    tokens: tuple[TokenScore, ...] = ()
    """Only where they were asked for."""

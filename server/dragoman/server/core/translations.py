"""What comes back for each text of a request."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from dragoman.server.core.errors import ServingError
from dragoman.server.core.protection import KeptSpan, TextWarning
from dragoman.server.core.segments import FinishReason, Work
from dragoman.server.core.spans import Span
from dragoman.server.core.strategies import Engine
from dragoman.server.core.terms import TermOutcome


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
    def last(cls, timings: Iterable["Timings"]) -> "Timings":
        """Of several that began together, the one that ended last."""
        return max(timings, key=lambda timing: timing.total_s, default=cls())


@dataclass(frozen=True)
class TokenScore:
    """A target token as the vocabulary writes it, and its log-probability given those before it."""

    token: str
    log_probability: float


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
class KeepingCounts:
    """How many protected spans came into a translation in each way."""

    as_it_was: int = 0
    form: int = 0
    alignment: int = 0
    cut: int = 0
    appended: int = 0
    lost: int = 0

    @classmethod
    def of(cls, kept: Iterable[KeptSpan]) -> "KeepingCounts":
        """The counts of these."""
        return cls(**Counter(each.keeping.value for each in kept))


@dataclass(frozen=True)
class MarkCounts:
    """How marks were placed among the words of a translation; all others are around whole segments and stay there."""

    by_attention: int = 0
    """Around the words that attended to theirs."""
    by_position: int = 0
    """As if all words had kept their places: the decoder does not say what it attends to."""


@dataclass(frozen=True)
class TextHypothesis:
    """One reading of a whole text: its segments' hypotheses of the same rank, joined."""

    text: str
    log_probability: float
    score: float
    finish_reason: FinishReason = FinishReason.STOP
    """The worst of any segment."""
    tokens: tuple[TokenScore, ...] = ()
    """End tokens included. Only where they were asked for."""
    alignments: tuple[Alignment, ...] = ()
    """Only where they were asked for."""


@dataclass(frozen=True)
class Translation:
    """The translation of one text of a request, or the scores of a given one."""

    hypotheses: tuple[TextHypothesis, ...]
    finish_reason: FinishReason
    """That of the best hypothesis."""
    engine: Engine | None
    """None where nothing was searched for: of an empty text, and of a given translation."""
    source_tokens: int
    target_tokens: int
    segments: int
    decode_steps: int
    timings: Timings
    sentence_spans: tuple[SpanPair, ...] = ()
    """Only where they were asked for."""
    work: Work = Work()
    """Of all segments; of passes, the most that one of them took."""
    is_given: bool = False
    """Whether the request gave it, to have it scored."""
    cache_hit: bool = False
    """Whether all of it was decoded for earlier requests."""
    keeping: KeepingCounts | None = None
    """How the best hypothesis keeps the protected spans; None of a text without any."""
    kept: tuple[KeptSpan, ...] = ()
    """The protected spans of the text and of the best hypothesis. Only where they were asked for."""
    warnings: tuple[TextWarning, ...] = ()
    """What a reader of the best hypothesis should look at."""
    terms: tuple[TermOutcome, ...] = ()
    """Those that occur in the text, and what became of them in the best hypothesis."""
    marks: MarkCounts | None = None
    """None where no mark is within a segment."""
    source_truncated: bool = False
    """Whether the model has not read the end of some segment."""

    @property
    def num_parts(self) -> int:
        """Of how many small parts its message consists: hypotheses, scores of tokens, links, spans, warnings, terms."""
        within = sum(1 + len(hypothesis.tokens) + len(hypothesis.alignments) for hypothesis in self.hypotheses)
        terms = sum(1 + len(outcome.found) for outcome in self.terms)
        return within + len(self.sentence_spans) + len(self.kept) + len(self.warnings) + terms

    @property
    def text(self) -> str:
        """The best hypothesis."""
        return self.hypotheses[0].text


Outcome = Translation | ServingError
"""What became of one text of a request."""

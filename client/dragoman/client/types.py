"""What users of the client say and get: plain frozen values. Nothing here knows the wire.

Names are those of the contract: `Options.beam_size` becomes `DecodingOptions.beam_size`, and the member
`Splitting.LINES` becomes `SPLITTING_LINES`. `dragoman.client.codec` relies on it and declares none of them again.
"""

from dataclasses import dataclass
from enum import StrEnum

from dragoman.glossary.terms import Term


class Splitting(StrEnum):
    """How a text is cut into the segments that the model sees one by one."""

    SENTENCES = "sentences"
    LINES = "lines"
    NONE = "none"


class InputFormat(StrEnum):
    """How texts are written."""

    PLAIN = "plain"
    HTML = "html"
    XML = "xml"
    MARKDOWN = "markdown"


class OnTooLong(StrEnum):
    """What is done with a segment that is longer than the model can read."""

    SPLIT = "split"
    REJECT = "reject"
    TRUNCATE = "truncate"


class OnLoop(StrEnum):
    """What is done with a search that can only repeat itself."""

    STOP = "stop"
    CONTINUE = "continue"


class LengthPenaltyKind(StrEnum):
    """What the log-probability is divided by: n^penalty, ((5 + n) / 6)^penalty, or nothing."""

    POWER = "power"
    GNMT = "gnmt"
    NONE = "none"
    UNKNOWN = "unknown"
    """A kind that this client is too old to know; cannot be sent."""


class EarlyStopping(StrEnum):
    """When a beam search may end."""

    FIRST = "first"
    HEURISTIC = "heuristic"
    EXHAUSTIVE = "exhaustive"
    UNKNOWN = "unknown"
    """A rule that this client is too old to know; cannot be sent."""


class UnknownHandling(StrEnum):
    """What happens with the unknown-word token."""

    ALLOW = "allow"
    SUPPRESS = "suppress"
    COPY = "copy"
    UNKNOWN = "unknown"
    """A handling that this client is too old to know; cannot be sent."""


class EnginePreference(StrEnum):
    """Which way of decoding to prefer: a wish (the first four), or an engine by name."""

    AUTO = "auto"
    QUALITY = "quality"
    BALANCED = "balanced"
    FAST = "fast"
    GREEDY = "greedy"
    BEAM = "beam"
    SPECULATIVE = "speculative"
    NAT = "nat"


class DraftSource(StrEnum):
    """Where speculation takes its drafts from."""

    NAT = "nat"
    HYPOTHESIS = "hypothesis"
    SOURCE = "source"
    UNKNOWN = "unknown"
    """A source that this client is too old to know; cannot be sent."""


class SpanKind(StrEnum):
    """Why a stretch of a text is protected."""

    PLACEHOLDER = "placeholder"
    URL = "url"
    EMAIL = "email"
    PATH = "path"
    FLAG = "flag"
    CODE = "code"
    HANDLE = "handle"
    VERSION = "version"
    SYMBOL = "symbol"
    UNREADABLE = "unreadable"
    PATTERN = "pattern"
    TERM = "term"
    UNKNOWN = "unknown"
    """One that only a newer contract has."""


class Keeping(StrEnum):
    """How a protected span came into a translation."""

    AS_IT_WAS = "as_it_was"
    FORM = "form"
    ALIGNMENT = "alignment"
    CUT = "cut"
    APPENDED = "appended"
    LOST = "lost"
    UNKNOWN = "unknown"


class WarningKind(StrEnum):
    """What a reader of a translation should look at."""

    UNTRANSLATED = "untranslated"
    """It came back as it was: the model cannot read its script, said nothing, or copied."""
    REPETITION = "repetition"
    LENGTH_RATIO = "length_ratio"
    """It is much longer or much shorter than is usual."""
    WRONG_LANGUAGE = "wrong_language"
    NUMBER_CHANGED = "number_changed"
    """A number is another one, or is on one side only."""
    UNKNOWN = "unknown"


class Priority(StrEnum):
    """Which calls go first when several wait."""

    INTERACTIVE = "interactive"
    NORMAL = "normal"
    BATCH = "batch"


class OffsetUnit(StrEnum):
    """What an offset into a text counts; Python counts code points."""

    CODE_POINT = "code_point"
    UTF8_BYTE = "utf8_byte"
    UTF16 = "utf16"


class CacheMode(StrEnum):
    """Whether remembered translations may be used and kept."""

    DEFAULT = "default"
    BYPASS = "bypass"
    READ_ONLY = "read_only"


class FinishReason(StrEnum):
    """Why decoding ended. After LENGTH or DEADLINE the text may be incomplete, after REPETITION it makes no sense."""

    STOP = "stop"
    LENGTH = "length"
    EMPTY_INPUT = "empty_input"
    DEADLINE = "deadline"
    REPETITION = "repetition"
    GRAMMAR = "grammar"
    """Nothing that the model can write goes on with what the grammar demands: the text is incomplete."""
    UNKNOWN = "unknown"
    """A reason that this client is too old to know."""


class Engine(StrEnum):
    """What produced a translation."""

    GREEDY = "greedy"
    BEAM = "beam"
    SPECULATIVE = "speculative"
    NAT = "nat"
    SAMPLING = "sampling"
    SPECULATIVE_LOSSY = "speculative_lossy"
    """Drafts were accepted that greedy decoding would not have chosen: another translation than its own."""
    UNKNOWN = "unknown"
    """An engine that this client is too old to know."""


class TermUse(StrEnum):
    """How a term came into a translation, or why it did not."""

    ALREADY_THERE = "already_there"
    """The model translated it so by itself."""
    APPLIED = "applied"
    """It was put in."""
    APPENDED = "appended"
    """It was put in, and stands at the end of its sentence: nothing said where it belongs."""
    PROTECTED = "protected"
    """It was missed, as it lies in something that is kept as it is, such as a URL."""
    UNKNOWN = "unknown"
    """A use that this client is too old to know."""


class ModelState(StrEnum):
    """Whether a model can be called now."""

    LOADING = "loading"
    SERVING = "serving"
    DRAINING = "draining"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """A state that this client is too old to know."""


@dataclass(frozen=True)
class Sampling:
    """Draw tokens at random instead of searching for the best."""

    top_k: int | None = None
    top_p: float | None = None
    temperature: float | None = None
    seed: int | None = None
    min_p: float | None = None
    epsilon: float | None = None


@dataclass(frozen=True)
class Diversity:
    """Spread the beam over groups that avoid each other's words."""

    groups: int | None = None
    penalty: float | None = None


@dataclass(frozen=True)
class Alternatives:
    """The best choices at one position, each continued to a whole translation."""

    count: int | None = None
    min_probability: float | None = None


@dataclass(frozen=True)
class Labels:
    """A list that a translation must be from."""

    labels: tuple[str, ...] | None = None
    most: int | None = None
    separator: str | None = None


@dataclass(frozen=True)
class Grammar:
    """What a translation must be: one of these three."""

    json_schema: str | None = None
    regex: str | None = None
    lark: str | None = None


@dataclass(frozen=True)
class MinimumBayesRisk:
    """Draw many hypotheses and answer with those that the others agree with most."""

    samples: int | None = None
    sampling: Sampling | None = None


@dataclass(frozen=True)
class Nat:
    """How to decode without autoregression."""

    passes: int | None = None
    length_scale: float | None = None
    exact_length: int | None = None
    length_candidates: int | None = None
    decoder: str | None = None
    rescore: bool | None = None


@dataclass(frozen=True)
class Lossy:
    """What verification accepts besides what greedy decoding would choose."""

    top: int | None = None
    margin: float | None = None


@dataclass(frozen=True)
class Speculation:
    """How to draft, and how to verify."""

    draft: DraftSource | None = None
    draft_tokens: int | None = None
    lossy: Lossy | None = None


@dataclass(frozen=True)
class Protection:
    """What must come through a translation unchanged: without `kinds`, all of them but patterns and terms.

    Options(protection=Protection(patterns=("ACME-[0-9]+",)))
    """

    kinds: tuple[SpanKind, ...] | None = None
    patterns: tuple[str, ...] | None = None
    """Regular expressions in the syntax of RE2."""
    off: bool | None = None
    """Whether nothing but patterns is protected."""


@dataclass(frozen=True)
class Options:
    """Which model translates, and how. What is None is not sent: the server, or the model's own bundle, decides.

    Units, ranges and defaults of every field are those of the field of the same name in
    `dragoman/v1/translation.proto`. A server refuses by name what it cannot honour.

        Options(source_language="en", target_language="pt")
        Options(target_language="pt", beam_size=4, num_hypotheses=4, length_penalty=0.6)
    """

    source_language: str | None = None
    target_language: str | None = None
    model: str | None = None
    model_version: str | None = None

    format: InputFormat | None = None
    translate_attributes: bool | None = None
    splitting: Splitting | None = None
    on_too_long: OnTooLong | None = None
    on_loop: OnLoop | None = None
    protection: Protection | None = None
    engine: EnginePreference | None = None
    decoder: str | None = None
    """One of `Model.decoders`."""
    nat: Nat | None = None
    speculation: Speculation | None = None
    priority: Priority | None = None
    cache: CacheMode | None = None
    terms: tuple[Term, ...] | None = None
    """Words and phrases with a fixed translation, or without one; `read_terms` reads files of them."""
    glossaries: tuple[str, ...] | None = None
    """Names of glossaries of the server's."""
    target_prefix: str | None = None
    """What the translation of each text must begin with; for texts of one segment."""
    context: str | None = None
    """What comes before each text and is not translated, for models that were trained to read it."""

    scores: bool | None = None
    token_scores: bool | None = None
    alignments: bool | None = None
    sentence_spans: bool | None = None
    kept_spans: bool | None = None
    term_spans: bool | None = None
    offset_unit: OffsetUnit | None = None

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
    source_no_repeat_ngram_size: int | None = None
    suppressed_tokens: tuple[str, ...] | None = None
    unknown_handling: UnknownHandling | None = None
    sampling: Sampling | None = None
    diversity: Diversity | None = None
    alternatives: Alternatives | None = None
    choice: Labels | None = None
    grammar: Grammar | None = None
    minimum_bayes_risk: MinimumBayesRisk | None = None
    profile: str | None = None
    shortlist: bool | None = None


@dataclass(frozen=True)
class ScoreOptions:
    """Which model scores translations, and how. What is None is not sent, as in `Options`."""

    source_language: str | None = None
    target_language: str | None = None
    model: str | None = None
    model_version: str | None = None
    token_scores: bool | None = None
    length_penalty: float | None = None
    length_penalty_kind: LengthPenaltyKind | None = None
    decoder: str | None = None
    priority: Priority | None = None


@dataclass(frozen=True)
class Span:
    """A stretch of a text, counted in `Options.offset_unit`: `text[span.start:span.end]` for code points."""

    start: int
    end: int


@dataclass(frozen=True)
class SpanPair:
    """A stretch of the source text and what became of it."""

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


@dataclass(frozen=True)
class MarkCounts:
    """How tags and other marks within segments were placed in a translation; all of them are there."""

    by_attention: int = 0
    by_position: int = 0
    """As if all words had kept their places: the decoder does not say what it attends to."""


@dataclass(frozen=True)
class KeptSpan:
    """A protected span of a text, and what became of it."""

    source: Span
    kind: SpanKind
    keeping: Keeping
    target: Span | None = None
    """None where it was lost."""


@dataclass(frozen=True)
class TextWarning:
    """Something that a reader of a translation should look at; without stretches, it is about all of the text."""

    kind: WarningKind
    source: Span | None = None
    target: Span | None = None
    detail: str = ""


@dataclass(frozen=True)
class TermOccurrence:
    """A place where a term occurs, and what became of it."""

    source: Span
    target: Span | None = None
    """None where it was missed."""
    use: TermUse = TermUse.UNKNOWN


@dataclass(frozen=True)
class TermOutcome:
    """What became of a term in a text."""

    term_index: int
    """Its number in the request, or in its glossary."""
    occurrences: int
    applied: int
    """How many of them have the wanted translation."""
    already_there: int = 0
    """How many of those the model translated so by itself."""
    appended: int = 0
    """How many of those stand at the end of their sentence: nothing said where they belong."""
    glossary: str = ""
    """Empty where the term is the request's own."""
    source: str = ""
    found: tuple[TermOccurrence, ...] = ()
    """Filled for `Options.term_spans`."""


@dataclass(frozen=True)
class Alignment:
    """A word of the translation and a source word that it comes from."""

    source: Span
    target: Span
    weight: float
    """Share of the target word's attention. 0 to 1."""


@dataclass(frozen=True)
class TokenScore:
    """A target token, as the vocabulary writes it, and its natural-log probability given all before it."""

    token: str
    log_probability: float


@dataclass(frozen=True)
class Hypothesis:
    """One translation of a text."""

    text: str
    log_probability: float | None = None
    """Sum of its tokens' natural-log probabilities; None where it was not asked for and is not known."""
    score: float | None = None
    """What hypotheses are ranked by: `log_probability` under the length penalty, or minimum Bayes risk's mean chrF."""
    finish_reason: FinishReason = FinishReason.UNKNOWN
    tokens: tuple[TokenScore, ...] = ()
    """End tokens included. Filled for `Options.token_scores`."""
    alignments: tuple[Alignment, ...] = ()
    """Filled for `Options.alignments`."""


@dataclass(frozen=True)
class Translation:
    """What became of one text."""

    hypotheses: tuple[Hypothesis, ...]
    """Best first, never empty."""
    finish_reason: FinishReason
    engine: Engine | None = None
    """None where nothing had to be decoded."""
    source_truncated: bool = False
    """Whether the end of the text was dropped because the model cannot read so much."""
    source_tokens: int = 0
    target_tokens: int = 0
    segments: int = 0
    """Sentence-sized parts that the text was cut into."""
    decode_steps: int = 0
    nat_passes: int = 0
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    cache_hit: bool = False
    detected_source_language: str = ""
    sentence_spans: tuple[SpanPair, ...] = ()
    """In source order. Filled for `Options.sentence_spans`."""
    keeping: KeepingCounts | None = None
    """Of the protected spans; None where nothing is protected."""
    kept: tuple[KeptSpan, ...] = ()
    """In source order. Filled for `Options.kept_spans`."""
    warnings: tuple[TextWarning, ...] = ()
    """What a reader of the best hypothesis should look at."""
    terms: tuple[TermOutcome, ...] = ()
    """Those that occur in the text."""
    marks: MarkCounts | None = None
    """Of a text with mark-up; None where no mark is within a segment."""

    @property
    def text(self) -> str:
        """The best hypothesis."""
        return self.hypotheses[0].text

    @property
    def is_complete(self) -> bool:
        """Whether the whole source was read and decoding came to its own end."""
        return self.finish_reason in (FinishReason.STOP, FinishReason.EMPTY_INPUT) and not self.source_truncated


@dataclass(frozen=True)
class Score:
    """What a model holds of a given translation."""

    log_probability: float
    """Sum of the tokens' natural-log probabilities, the end token's included."""
    score: float
    """`log_probability` under the length penalty and the bundle's other penalties."""
    source_tokens: int = 0
    target_tokens: int = 0
    tokens: tuple[TokenScore, ...] = ()
    """Filled for `ScoreOptions.token_scores`."""


@dataclass(frozen=True)
class LanguagePair:
    """A direction of translation, as BCP-47 tags."""

    source: str
    target: str

    def __str__(self) -> str:
        return f"{self.source}-{self.target}"


@dataclass(frozen=True)
class Limits:
    """What a request may ask for at most; 0 is no limit of its own."""

    max_texts: int
    max_text_bytes: int
    max_source_tokens: int
    max_target_tokens: int
    max_beam_size: int
    max_hypotheses: int
    max_terms: int
    max_message_bytes: int
    max_backlog_tokens: int


@dataclass(frozen=True)
class Glossary:
    """A glossary that a server has for a model."""

    name: str
    terms: int
    """How many are in it."""


@dataclass(frozen=True)
class Model:
    """What a server knows about a model."""

    name: str
    version: str
    language_pairs: tuple[LanguagePair, ...]
    defaults: Options
    """What a request that sets no decoding field gets."""
    profiles: tuple[str, ...]
    limits: Limits
    engines: tuple[Engine, ...]
    precision: str
    execution_provider: str
    state: ModelState
    licence: str
    digest: str
    source_languages: tuple[str, ...] = ()
    """Those of a multilingual model, which has no pairs: each into each target language but itself."""
    target_languages: tuple[str, ...] = ()
    decoders: tuple[str, ...] = ()
    """Those that search word by word, the default first."""
    nat_decoders: tuple[str, ...] = ()
    """The default first."""
    draft_sources: tuple[DraftSource, ...] = ()
    """The default first; none where the model cannot speculate."""
    glossaries: tuple[Glossary, ...] = ()
    """Those that `Options.glossaries` may name."""

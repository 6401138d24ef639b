"""The server's nouns: plain frozen values that the stages hand to one another.

A `Request` holds texts; each text is cut into `Segment`s, which is what lanes schedule; a segment comes back as
`Decoded`, and the segments of one text are joined into a `Translation`.
"""

import enum
import operator
from collections.abc import Hashable
from dataclasses import dataclass, fields
from functools import cached_property

from dragoman.bundle.manifest import EarlyStopping, LengthPenaltyKind, Profile, Texts, UnknownHandling
from dragoman.glossary.terms import Term
from dragoman.server.core.changing import changed
from dragoman.server.core.protection import DEFAULT_PROTECTION, NO_PROTECTION, Protection
from dragoman.server.core.segments import Priority
from dragoman.server.core.strategies import Beam, DraftSource, Lossy, Method


class InputFormat(enum.Enum):
    """How texts are written."""

    PLAIN = "plain"
    HTML = "html"
    XML = "xml"
    MARKDOWN = "markdown"


class Splitting(enum.Enum):
    """How a text is cut into segments."""

    SENTENCES = "sentences"
    LINES = "lines"
    NONE = "none"


class OnTooLong(enum.Enum):
    """What is done with a segment that is longer than the model can read."""

    SPLIT = "split"
    REJECT = "reject"
    """Its text is refused."""
    TRUNCATE = "truncate"
    """Its end is not read."""


@dataclass(frozen=True)
class TextSettings:
    """What a request asks for of its texts, or else a bundle."""

    splitting: Splitting = Splitting.SENTENCES
    on_too_long: OnTooLong = OnTooLong.SPLIT
    protection: Protection = DEFAULT_PROTECTION
    is_reviewed: bool = True
    """Whether a reader is warned of what a translation should not be."""

    @classmethod
    def of(cls, texts: Texts) -> "TextSettings":
        """The bundle's."""
        protection = DEFAULT_PROTECTION if texts.translated else NO_PROTECTION
        return cls(Splitting(texts.splitting), OnTooLong(texts.on_too_long), protection, texts.translated)

    def asked(self, request: "Request") -> "TextSettings":
        """With what a request sets."""
        own = self if request.translates else _WHOLE
        return TextSettings(
            request.splitting or own.splitting,
            request.on_too_long or own.on_too_long,
            own.protection if request.protection is None else request.protection,
            own.is_reviewed,
        )


_WHOLE = TextSettings(Splitting.NONE, OnTooLong.TRUNCATE, NO_PROTECTION, is_reviewed=False)


class OnLoop(enum.Enum):
    """What is done with a search that can only repeat itself."""

    STOP = "stop"
    CONTINUE = "continue"
    """It goes on to its limit, as the toolkits do."""


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


class CacheMode(enum.Enum):
    """What a request has to do with what is remembered."""

    DEFAULT = "default"
    """It is used, and more is kept."""
    BYPASS = "bypass"
    READ_ONLY = "read_only"


class OffsetUnit(enum.Enum):
    """What an offset into a text counts."""

    CODE_POINT = "code_point"
    UTF8_BYTE = "utf8_byte"
    UTF16 = "utf16"


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
    draft_tokens: int | None = None
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
    source_no_repeat_ngram_size: int | None = None
    unknown_handling: UnknownHandling | None = None
    shortlist: bool | None = None


@dataclass(frozen=True)
class Grammar:
    """What a translation must be, in one of three ways."""

    json_schema: str | None = None
    regex: str | None = None
    lark: str | None = None


@dataclass(frozen=True)
class Output:
    """What a request wants to know besides the texts."""

    token_scores: bool = False
    alignments: bool = False
    sentence_spans: bool = False
    kept_spans: bool = False
    term_spans: bool = False
    offset_unit: OffsetUnit = OffsetUnit.CODE_POINT


@dataclass(frozen=True)
class Live:
    """How much is said of the translation of a text that is still being written."""

    wait: int | None = None
    """Words of the source by which it stays behind; None: as much as the last two translations agree upon."""


@dataclass(frozen=True)
class Request:
    """One call: texts for one model, and how to treat them."""

    texts: tuple[str, ...]
    overrides: DecodingOverrides = DecodingOverrides()
    method: Method = Beam()
    grammar: Grammar | None = None
    """What every translation must be; None: anything."""
    live: Live | None = None
    """Its text is still being written; None: it is whole."""
    seed: int = 0
    """For draws of a method that names none."""
    engine: EnginePreference = EnginePreference.AUTO
    decoder: str | None = None
    """The autoregressive decoder that searches, by its kind; None: the bundle's default, or the one that can verify
    where the request has to do with speculation."""
    nat: NatOverrides = NatOverrides()
    speculation: SpeculationOverrides = SpeculationOverrides()
    prefixes: tuple[str, ...] = ()
    """What the translation of each text begins with; none at all, or one for each text, empty where it has none."""
    contexts: tuple[str, ...] = ()
    """What comes before each text; none at all, or one for each text, empty where nothing does."""
    targets: tuple[str, ...] | None = None
    """Given translations, one for each text: they are scored, nothing is searched for, and neither side is split."""
    suppressed_tokens: tuple[str, ...] = ()
    """Tokens that must not be put out, as the target vocabulary writes them."""
    output: Output = Output()
    priority: Priority = Priority.NORMAL
    cache: CacheMode = CacheMode.DEFAULT
    splitting: Splitting | None = None
    """None: as the bundle has it."""
    terms: tuple[Term, ...] = ()
    glossaries: tuple[str, ...] = ()
    """Names of those whose terms hold as well."""
    deadline_s: float | None = None
    """On the monotonic clock."""
    caller: str = ""
    """Who asks, where that decides whose turn it is: of those who send grammars."""
    source_language: str = ""
    """BCP-47 tag that sentence splitting and the model's language token go by; empty for the bundle's only one."""
    target_language: str = ""
    format: InputFormat = InputFormat.PLAIN
    translate_attributes: bool = False
    """Whether texts in attributes of tags are translated, too."""
    on_too_long: OnTooLong | None = None
    """None: as the bundle has it."""
    on_loop: OnLoop = OnLoop.STOP
    protection: Protection | None = None
    """What must come through unchanged; None: as the bundle has it. Nothing is protected of texts whose translations
    are given."""

    def of_texts(
        self,
        texts: tuple[str, ...],
        prefixes: tuple[str, ...],
        contexts: tuple[str, ...],
        *,
        seed: int,
        deadline_s: float | None,
    ) -> "Request":
        """The same, asked of other texts."""
        return changed(
            self, texts=texts, prefixes=prefixes, contexts=contexts, seed=seed, deadline_s=deadline_s, kind=self.kind
        )

    @cached_property
    def kind(self) -> "RequestKind":
        """All that is asked but of which texts, by which time, and with which seed."""
        return RequestKind(_asked(self))

    @property
    def whole_field(self) -> str:
        """The field that asks for texts of one segment; empty where none does."""
        if self.grammar is not None:
            return "grammar"
        return self.method.field if self.method.is_whole else ""

    @property
    def translates(self) -> bool:
        """Whether what comes out says what the text says; else the text is read whole, and nothing of it is kept."""
        return self.grammar is None and self.method.translates


_OF_TEXTS = ("texts", "prefixes", "contexts", "targets", "seed", "deadline_s", "caller")
_asked = operator.attrgetter(*(field.name for field in fields(Request) if field.name not in _OF_TEXTS))


class RequestKind:
    """What requests have in common that differ in their texts alone. Its hash is worked out once."""

    __slots__ = ("_asked", "_hash")

    def __init__(self, asked: Hashable) -> None:
        self._asked, self._hash = asked, hash(asked)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, RequestKind) and self._asked == other._asked)

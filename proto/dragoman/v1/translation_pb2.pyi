import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SpanKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SPAN_KIND_UNSPECIFIED: _ClassVar[SpanKind]
    SPAN_KIND_PLACEHOLDER: _ClassVar[SpanKind]
    SPAN_KIND_URL: _ClassVar[SpanKind]
    SPAN_KIND_EMAIL: _ClassVar[SpanKind]
    SPAN_KIND_PATH: _ClassVar[SpanKind]
    SPAN_KIND_FLAG: _ClassVar[SpanKind]
    SPAN_KIND_CODE: _ClassVar[SpanKind]
    SPAN_KIND_HANDLE: _ClassVar[SpanKind]
    SPAN_KIND_VERSION: _ClassVar[SpanKind]
    SPAN_KIND_SYMBOL: _ClassVar[SpanKind]
    SPAN_KIND_UNREADABLE: _ClassVar[SpanKind]
    SPAN_KIND_PATTERN: _ClassVar[SpanKind]
    SPAN_KIND_TERM: _ClassVar[SpanKind]

class InputFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    INPUT_FORMAT_UNSPECIFIED: _ClassVar[InputFormat]
    INPUT_FORMAT_PLAIN: _ClassVar[InputFormat]
    INPUT_FORMAT_HTML: _ClassVar[InputFormat]
    INPUT_FORMAT_XML: _ClassVar[InputFormat]
    INPUT_FORMAT_TOKENS: _ClassVar[InputFormat]
    INPUT_FORMAT_MARKDOWN: _ClassVar[InputFormat]

class Splitting(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SPLITTING_UNSPECIFIED: _ClassVar[Splitting]
    SPLITTING_SENTENCES: _ClassVar[Splitting]
    SPLITTING_LINES: _ClassVar[Splitting]
    SPLITTING_NONE: _ClassVar[Splitting]

class OnTooLong(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ON_TOO_LONG_UNSPECIFIED: _ClassVar[OnTooLong]
    ON_TOO_LONG_SPLIT: _ClassVar[OnTooLong]
    ON_TOO_LONG_REJECT: _ClassVar[OnTooLong]
    ON_TOO_LONG_TRUNCATE: _ClassVar[OnTooLong]

class OnLoop(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ON_LOOP_UNSPECIFIED: _ClassVar[OnLoop]
    ON_LOOP_STOP: _ClassVar[OnLoop]
    ON_LOOP_CONTINUE: _ClassVar[OnLoop]

class LengthPenaltyKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LENGTH_PENALTY_KIND_UNSPECIFIED: _ClassVar[LengthPenaltyKind]
    LENGTH_PENALTY_KIND_POWER: _ClassVar[LengthPenaltyKind]
    LENGTH_PENALTY_KIND_GNMT: _ClassVar[LengthPenaltyKind]
    LENGTH_PENALTY_KIND_NONE: _ClassVar[LengthPenaltyKind]

class EarlyStopping(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EARLY_STOPPING_UNSPECIFIED: _ClassVar[EarlyStopping]
    EARLY_STOPPING_FIRST: _ClassVar[EarlyStopping]
    EARLY_STOPPING_HEURISTIC: _ClassVar[EarlyStopping]
    EARLY_STOPPING_EXHAUSTIVE: _ClassVar[EarlyStopping]

class UnknownHandling(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    UNKNOWN_HANDLING_UNSPECIFIED: _ClassVar[UnknownHandling]
    UNKNOWN_HANDLING_ALLOW: _ClassVar[UnknownHandling]
    UNKNOWN_HANDLING_SUPPRESS: _ClassVar[UnknownHandling]
    UNKNOWN_HANDLING_COPY: _ClassVar[UnknownHandling]

class EnginePreference(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ENGINE_PREFERENCE_UNSPECIFIED: _ClassVar[EnginePreference]
    ENGINE_PREFERENCE_AUTO: _ClassVar[EnginePreference]
    ENGINE_PREFERENCE_QUALITY: _ClassVar[EnginePreference]
    ENGINE_PREFERENCE_BALANCED: _ClassVar[EnginePreference]
    ENGINE_PREFERENCE_FAST: _ClassVar[EnginePreference]
    ENGINE_PREFERENCE_GREEDY: _ClassVar[EnginePreference]
    ENGINE_PREFERENCE_BEAM: _ClassVar[EnginePreference]
    ENGINE_PREFERENCE_SPECULATIVE: _ClassVar[EnginePreference]
    ENGINE_PREFERENCE_NAT: _ClassVar[EnginePreference]

class DraftSource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DRAFT_SOURCE_UNSPECIFIED: _ClassVar[DraftSource]
    DRAFT_SOURCE_NAT: _ClassVar[DraftSource]
    DRAFT_SOURCE_HYPOTHESIS: _ClassVar[DraftSource]
    DRAFT_SOURCE_SOURCE: _ClassVar[DraftSource]

class Priority(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PRIORITY_UNSPECIFIED: _ClassVar[Priority]
    PRIORITY_INTERACTIVE: _ClassVar[Priority]
    PRIORITY_NORMAL: _ClassVar[Priority]
    PRIORITY_BATCH: _ClassVar[Priority]

class OffsetUnit(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OFFSET_UNIT_UNSPECIFIED: _ClassVar[OffsetUnit]
    OFFSET_UNIT_CODE_POINT: _ClassVar[OffsetUnit]
    OFFSET_UNIT_UTF8_BYTE: _ClassVar[OffsetUnit]
    OFFSET_UNIT_UTF16: _ClassVar[OffsetUnit]

class CacheMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CACHE_MODE_UNSPECIFIED: _ClassVar[CacheMode]
    CACHE_MODE_DEFAULT: _ClassVar[CacheMode]
    CACHE_MODE_BYPASS: _ClassVar[CacheMode]
    CACHE_MODE_READ_ONLY: _ClassVar[CacheMode]

class Keeping(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    KEEPING_UNSPECIFIED: _ClassVar[Keeping]
    KEEPING_AS_IT_WAS: _ClassVar[Keeping]
    KEEPING_FORM: _ClassVar[Keeping]
    KEEPING_ALIGNMENT: _ClassVar[Keeping]
    KEEPING_CUT: _ClassVar[Keeping]
    KEEPING_APPENDED: _ClassVar[Keeping]
    KEEPING_LOST: _ClassVar[Keeping]

class WarningKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WARNING_KIND_UNSPECIFIED: _ClassVar[WarningKind]
    WARNING_KIND_UNTRANSLATED: _ClassVar[WarningKind]
    WARNING_KIND_REPETITION: _ClassVar[WarningKind]
    WARNING_KIND_LENGTH_RATIO: _ClassVar[WarningKind]
    WARNING_KIND_WRONG_LANGUAGE: _ClassVar[WarningKind]
    WARNING_KIND_NUMBER_CHANGED: _ClassVar[WarningKind]

class TermUse(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TERM_USE_UNSPECIFIED: _ClassVar[TermUse]
    TERM_USE_ALREADY_THERE: _ClassVar[TermUse]
    TERM_USE_APPLIED: _ClassVar[TermUse]
    TERM_USE_APPENDED: _ClassVar[TermUse]
    TERM_USE_PROTECTED: _ClassVar[TermUse]

class FinishReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FINISH_REASON_UNSPECIFIED: _ClassVar[FinishReason]
    FINISH_REASON_STOP: _ClassVar[FinishReason]
    FINISH_REASON_LENGTH: _ClassVar[FinishReason]
    FINISH_REASON_EMPTY_INPUT: _ClassVar[FinishReason]
    FINISH_REASON_DEADLINE: _ClassVar[FinishReason]
    FINISH_REASON_REPETITION: _ClassVar[FinishReason]
    FINISH_REASON_GRAMMAR: _ClassVar[FinishReason]

class Engine(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ENGINE_UNSPECIFIED: _ClassVar[Engine]
    ENGINE_GREEDY: _ClassVar[Engine]
    ENGINE_BEAM: _ClassVar[Engine]
    ENGINE_SPECULATIVE: _ClassVar[Engine]
    ENGINE_NAT: _ClassVar[Engine]
    ENGINE_SAMPLING: _ClassVar[Engine]
    ENGINE_SPECULATIVE_LOSSY: _ClassVar[Engine]

class ModelState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODEL_STATE_UNSPECIFIED: _ClassVar[ModelState]
    MODEL_STATE_LOADING: _ClassVar[ModelState]
    MODEL_STATE_SERVING: _ClassVar[ModelState]
    MODEL_STATE_DRAINING: _ClassVar[ModelState]
    MODEL_STATE_FAILED: _ClassVar[ModelState]
SPAN_KIND_UNSPECIFIED: SpanKind
SPAN_KIND_PLACEHOLDER: SpanKind
SPAN_KIND_URL: SpanKind
SPAN_KIND_EMAIL: SpanKind
SPAN_KIND_PATH: SpanKind
SPAN_KIND_FLAG: SpanKind
SPAN_KIND_CODE: SpanKind
SPAN_KIND_HANDLE: SpanKind
SPAN_KIND_VERSION: SpanKind
SPAN_KIND_SYMBOL: SpanKind
SPAN_KIND_UNREADABLE: SpanKind
SPAN_KIND_PATTERN: SpanKind
SPAN_KIND_TERM: SpanKind
INPUT_FORMAT_UNSPECIFIED: InputFormat
INPUT_FORMAT_PLAIN: InputFormat
INPUT_FORMAT_HTML: InputFormat
INPUT_FORMAT_XML: InputFormat
INPUT_FORMAT_TOKENS: InputFormat
INPUT_FORMAT_MARKDOWN: InputFormat
SPLITTING_UNSPECIFIED: Splitting
SPLITTING_SENTENCES: Splitting
SPLITTING_LINES: Splitting
SPLITTING_NONE: Splitting
ON_TOO_LONG_UNSPECIFIED: OnTooLong
ON_TOO_LONG_SPLIT: OnTooLong
ON_TOO_LONG_REJECT: OnTooLong
ON_TOO_LONG_TRUNCATE: OnTooLong
ON_LOOP_UNSPECIFIED: OnLoop
ON_LOOP_STOP: OnLoop
ON_LOOP_CONTINUE: OnLoop
LENGTH_PENALTY_KIND_UNSPECIFIED: LengthPenaltyKind
LENGTH_PENALTY_KIND_POWER: LengthPenaltyKind
LENGTH_PENALTY_KIND_GNMT: LengthPenaltyKind
LENGTH_PENALTY_KIND_NONE: LengthPenaltyKind
EARLY_STOPPING_UNSPECIFIED: EarlyStopping
EARLY_STOPPING_FIRST: EarlyStopping
EARLY_STOPPING_HEURISTIC: EarlyStopping
EARLY_STOPPING_EXHAUSTIVE: EarlyStopping
UNKNOWN_HANDLING_UNSPECIFIED: UnknownHandling
UNKNOWN_HANDLING_ALLOW: UnknownHandling
UNKNOWN_HANDLING_SUPPRESS: UnknownHandling
UNKNOWN_HANDLING_COPY: UnknownHandling
ENGINE_PREFERENCE_UNSPECIFIED: EnginePreference
ENGINE_PREFERENCE_AUTO: EnginePreference
ENGINE_PREFERENCE_QUALITY: EnginePreference
ENGINE_PREFERENCE_BALANCED: EnginePreference
ENGINE_PREFERENCE_FAST: EnginePreference
ENGINE_PREFERENCE_GREEDY: EnginePreference
ENGINE_PREFERENCE_BEAM: EnginePreference
ENGINE_PREFERENCE_SPECULATIVE: EnginePreference
ENGINE_PREFERENCE_NAT: EnginePreference
DRAFT_SOURCE_UNSPECIFIED: DraftSource
DRAFT_SOURCE_NAT: DraftSource
DRAFT_SOURCE_HYPOTHESIS: DraftSource
DRAFT_SOURCE_SOURCE: DraftSource
PRIORITY_UNSPECIFIED: Priority
PRIORITY_INTERACTIVE: Priority
PRIORITY_NORMAL: Priority
PRIORITY_BATCH: Priority
OFFSET_UNIT_UNSPECIFIED: OffsetUnit
OFFSET_UNIT_CODE_POINT: OffsetUnit
OFFSET_UNIT_UTF8_BYTE: OffsetUnit
OFFSET_UNIT_UTF16: OffsetUnit
CACHE_MODE_UNSPECIFIED: CacheMode
CACHE_MODE_DEFAULT: CacheMode
CACHE_MODE_BYPASS: CacheMode
CACHE_MODE_READ_ONLY: CacheMode
KEEPING_UNSPECIFIED: Keeping
KEEPING_AS_IT_WAS: Keeping
KEEPING_FORM: Keeping
KEEPING_ALIGNMENT: Keeping
KEEPING_CUT: Keeping
KEEPING_APPENDED: Keeping
KEEPING_LOST: Keeping
WARNING_KIND_UNSPECIFIED: WarningKind
WARNING_KIND_UNTRANSLATED: WarningKind
WARNING_KIND_REPETITION: WarningKind
WARNING_KIND_LENGTH_RATIO: WarningKind
WARNING_KIND_WRONG_LANGUAGE: WarningKind
WARNING_KIND_NUMBER_CHANGED: WarningKind
TERM_USE_UNSPECIFIED: TermUse
TERM_USE_ALREADY_THERE: TermUse
TERM_USE_APPLIED: TermUse
TERM_USE_APPENDED: TermUse
TERM_USE_PROTECTED: TermUse
FINISH_REASON_UNSPECIFIED: FinishReason
FINISH_REASON_STOP: FinishReason
FINISH_REASON_LENGTH: FinishReason
FINISH_REASON_EMPTY_INPUT: FinishReason
FINISH_REASON_DEADLINE: FinishReason
FINISH_REASON_REPETITION: FinishReason
FINISH_REASON_GRAMMAR: FinishReason
ENGINE_UNSPECIFIED: Engine
ENGINE_GREEDY: Engine
ENGINE_BEAM: Engine
ENGINE_SPECULATIVE: Engine
ENGINE_NAT: Engine
ENGINE_SAMPLING: Engine
ENGINE_SPECULATIVE_LOSSY: Engine
MODEL_STATE_UNSPECIFIED: ModelState
MODEL_STATE_LOADING: ModelState
MODEL_STATE_SERVING: ModelState
MODEL_STATE_DRAINING: ModelState
MODEL_STATE_FAILED: ModelState

class TranslateRequest(_message.Message):
    __slots__ = ("request_id", "texts", "source_language", "target_language", "model", "model_version", "format", "splitting", "on_too_long", "terms", "decoding", "engine", "nat", "priority", "output", "cache", "speculation", "protection", "on_loop", "glossaries", "translate_attributes", "decoder", "live")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    TARGET_LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    SPLITTING_FIELD_NUMBER: _ClassVar[int]
    ON_TOO_LONG_FIELD_NUMBER: _ClassVar[int]
    TERMS_FIELD_NUMBER: _ClassVar[int]
    DECODING_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    NAT_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    CACHE_FIELD_NUMBER: _ClassVar[int]
    SPECULATION_FIELD_NUMBER: _ClassVar[int]
    PROTECTION_FIELD_NUMBER: _ClassVar[int]
    ON_LOOP_FIELD_NUMBER: _ClassVar[int]
    GLOSSARIES_FIELD_NUMBER: _ClassVar[int]
    TRANSLATE_ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    DECODER_FIELD_NUMBER: _ClassVar[int]
    LIVE_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    texts: _containers.RepeatedCompositeFieldContainer[Text]
    source_language: str
    target_language: str
    model: str
    model_version: str
    format: InputFormat
    splitting: Splitting
    on_too_long: OnTooLong
    terms: _containers.RepeatedCompositeFieldContainer[Term]
    decoding: DecodingOptions
    engine: EnginePreference
    nat: NatOptions
    priority: Priority
    output: OutputOptions
    cache: CacheMode
    speculation: SpeculationOptions
    protection: Protection
    on_loop: OnLoop
    glossaries: _containers.RepeatedScalarFieldContainer[str]
    translate_attributes: bool
    decoder: str
    live: Live
    def __init__(self, request_id: _Optional[str] = ..., texts: _Optional[_Iterable[_Union[Text, _Mapping]]] = ..., source_language: _Optional[str] = ..., target_language: _Optional[str] = ..., model: _Optional[str] = ..., model_version: _Optional[str] = ..., format: _Optional[_Union[InputFormat, str]] = ..., splitting: _Optional[_Union[Splitting, str]] = ..., on_too_long: _Optional[_Union[OnTooLong, str]] = ..., terms: _Optional[_Iterable[_Union[Term, _Mapping]]] = ..., decoding: _Optional[_Union[DecodingOptions, _Mapping]] = ..., engine: _Optional[_Union[EnginePreference, str]] = ..., nat: _Optional[_Union[NatOptions, _Mapping]] = ..., priority: _Optional[_Union[Priority, str]] = ..., output: _Optional[_Union[OutputOptions, _Mapping]] = ..., cache: _Optional[_Union[CacheMode, str]] = ..., speculation: _Optional[_Union[SpeculationOptions, _Mapping]] = ..., protection: _Optional[_Union[Protection, _Mapping]] = ..., on_loop: _Optional[_Union[OnLoop, str]] = ..., glossaries: _Optional[_Iterable[str]] = ..., translate_attributes: bool = ..., decoder: _Optional[str] = ..., live: _Optional[_Union[Live, _Mapping]] = ...) -> None: ...

class Live(_message.Message):
    __slots__ = ("wait",)
    WAIT_FIELD_NUMBER: _ClassVar[int]
    wait: int
    def __init__(self, wait: _Optional[int] = ...) -> None: ...

class Text(_message.Message):
    __slots__ = ("text", "tokens", "target_prefix", "context")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    TARGET_PREFIX_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    text: str
    tokens: _containers.RepeatedScalarFieldContainer[str]
    target_prefix: str
    context: str
    def __init__(self, text: _Optional[str] = ..., tokens: _Optional[_Iterable[str]] = ..., target_prefix: _Optional[str] = ..., context: _Optional[str] = ...) -> None: ...

class Protection(_message.Message):
    __slots__ = ("kinds", "patterns", "off")
    KINDS_FIELD_NUMBER: _ClassVar[int]
    PATTERNS_FIELD_NUMBER: _ClassVar[int]
    OFF_FIELD_NUMBER: _ClassVar[int]
    kinds: _containers.RepeatedScalarFieldContainer[SpanKind]
    patterns: _containers.RepeatedScalarFieldContainer[str]
    off: bool
    def __init__(self, kinds: _Optional[_Iterable[_Union[SpanKind, str]]] = ..., patterns: _Optional[_Iterable[str]] = ..., off: bool = ...) -> None: ...

class Term(_message.Message):
    __slots__ = ("source", "target", "do_not_translate", "case_sensitive", "inflected", "forms")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    DO_NOT_TRANSLATE_FIELD_NUMBER: _ClassVar[int]
    CASE_SENSITIVE_FIELD_NUMBER: _ClassVar[int]
    INFLECTED_FIELD_NUMBER: _ClassVar[int]
    FORMS_FIELD_NUMBER: _ClassVar[int]
    source: str
    target: str
    do_not_translate: bool
    case_sensitive: bool
    inflected: bool
    forms: _containers.RepeatedCompositeFieldContainer[TermForm]
    def __init__(self, source: _Optional[str] = ..., target: _Optional[str] = ..., do_not_translate: bool = ..., case_sensitive: bool = ..., inflected: bool = ..., forms: _Optional[_Iterable[_Union[TermForm, _Mapping]]] = ...) -> None: ...

class TermForm(_message.Message):
    __slots__ = ("source", "target")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    source: str
    target: str
    def __init__(self, source: _Optional[str] = ..., target: _Optional[str] = ...) -> None: ...

class DecodingOptions(_message.Message):
    __slots__ = ("beam_size", "num_hypotheses", "length_penalty", "length_penalty_kind", "word_penalty", "coverage_penalty", "patience", "early_stopping", "min_length", "max_length", "max_length_factor", "repetition_penalty", "no_repeat_ngram_size", "suppressed_tokens", "unknown_handling", "sampling", "diversity", "alternatives", "profile", "shortlist", "minimum_bayes_risk", "source_no_repeat_ngram_size", "choice", "grammar")
    BEAM_SIZE_FIELD_NUMBER: _ClassVar[int]
    NUM_HYPOTHESES_FIELD_NUMBER: _ClassVar[int]
    LENGTH_PENALTY_FIELD_NUMBER: _ClassVar[int]
    LENGTH_PENALTY_KIND_FIELD_NUMBER: _ClassVar[int]
    WORD_PENALTY_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_PENALTY_FIELD_NUMBER: _ClassVar[int]
    PATIENCE_FIELD_NUMBER: _ClassVar[int]
    EARLY_STOPPING_FIELD_NUMBER: _ClassVar[int]
    MIN_LENGTH_FIELD_NUMBER: _ClassVar[int]
    MAX_LENGTH_FIELD_NUMBER: _ClassVar[int]
    MAX_LENGTH_FACTOR_FIELD_NUMBER: _ClassVar[int]
    REPETITION_PENALTY_FIELD_NUMBER: _ClassVar[int]
    NO_REPEAT_NGRAM_SIZE_FIELD_NUMBER: _ClassVar[int]
    SUPPRESSED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_HANDLING_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_FIELD_NUMBER: _ClassVar[int]
    DIVERSITY_FIELD_NUMBER: _ClassVar[int]
    ALTERNATIVES_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    SHORTLIST_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_BAYES_RISK_FIELD_NUMBER: _ClassVar[int]
    SOURCE_NO_REPEAT_NGRAM_SIZE_FIELD_NUMBER: _ClassVar[int]
    CHOICE_FIELD_NUMBER: _ClassVar[int]
    GRAMMAR_FIELD_NUMBER: _ClassVar[int]
    beam_size: int
    num_hypotheses: int
    length_penalty: float
    length_penalty_kind: LengthPenaltyKind
    word_penalty: float
    coverage_penalty: float
    patience: float
    early_stopping: EarlyStopping
    min_length: int
    max_length: int
    max_length_factor: float
    repetition_penalty: float
    no_repeat_ngram_size: int
    suppressed_tokens: _containers.RepeatedScalarFieldContainer[str]
    unknown_handling: UnknownHandling
    sampling: Sampling
    diversity: Diversity
    alternatives: Alternatives
    profile: str
    shortlist: bool
    minimum_bayes_risk: MinimumBayesRisk
    source_no_repeat_ngram_size: int
    choice: Labels
    grammar: Grammar
    def __init__(self, beam_size: _Optional[int] = ..., num_hypotheses: _Optional[int] = ..., length_penalty: _Optional[float] = ..., length_penalty_kind: _Optional[_Union[LengthPenaltyKind, str]] = ..., word_penalty: _Optional[float] = ..., coverage_penalty: _Optional[float] = ..., patience: _Optional[float] = ..., early_stopping: _Optional[_Union[EarlyStopping, str]] = ..., min_length: _Optional[int] = ..., max_length: _Optional[int] = ..., max_length_factor: _Optional[float] = ..., repetition_penalty: _Optional[float] = ..., no_repeat_ngram_size: _Optional[int] = ..., suppressed_tokens: _Optional[_Iterable[str]] = ..., unknown_handling: _Optional[_Union[UnknownHandling, str]] = ..., sampling: _Optional[_Union[Sampling, _Mapping]] = ..., diversity: _Optional[_Union[Diversity, _Mapping]] = ..., alternatives: _Optional[_Union[Alternatives, _Mapping]] = ..., profile: _Optional[str] = ..., shortlist: bool = ..., minimum_bayes_risk: _Optional[_Union[MinimumBayesRisk, _Mapping]] = ..., source_no_repeat_ngram_size: _Optional[int] = ..., choice: _Optional[_Union[Labels, _Mapping]] = ..., grammar: _Optional[_Union[Grammar, _Mapping]] = ...) -> None: ...

class Sampling(_message.Message):
    __slots__ = ("top_k", "top_p", "temperature", "seed", "min_p", "epsilon")
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    TOP_P_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    MIN_P_FIELD_NUMBER: _ClassVar[int]
    EPSILON_FIELD_NUMBER: _ClassVar[int]
    top_k: int
    top_p: float
    temperature: float
    seed: int
    min_p: float
    epsilon: float
    def __init__(self, top_k: _Optional[int] = ..., top_p: _Optional[float] = ..., temperature: _Optional[float] = ..., seed: _Optional[int] = ..., min_p: _Optional[float] = ..., epsilon: _Optional[float] = ...) -> None: ...

class MinimumBayesRisk(_message.Message):
    __slots__ = ("samples", "sampling")
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_FIELD_NUMBER: _ClassVar[int]
    samples: int
    sampling: Sampling
    def __init__(self, samples: _Optional[int] = ..., sampling: _Optional[_Union[Sampling, _Mapping]] = ...) -> None: ...

class Labels(_message.Message):
    __slots__ = ("labels", "most", "separator")
    LABELS_FIELD_NUMBER: _ClassVar[int]
    MOST_FIELD_NUMBER: _ClassVar[int]
    SEPARATOR_FIELD_NUMBER: _ClassVar[int]
    labels: _containers.RepeatedScalarFieldContainer[str]
    most: int
    separator: str
    def __init__(self, labels: _Optional[_Iterable[str]] = ..., most: _Optional[int] = ..., separator: _Optional[str] = ...) -> None: ...

class Grammar(_message.Message):
    __slots__ = ("json_schema", "regex", "lark")
    JSON_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    REGEX_FIELD_NUMBER: _ClassVar[int]
    LARK_FIELD_NUMBER: _ClassVar[int]
    json_schema: str
    regex: str
    lark: str
    def __init__(self, json_schema: _Optional[str] = ..., regex: _Optional[str] = ..., lark: _Optional[str] = ...) -> None: ...

class Diversity(_message.Message):
    __slots__ = ("groups", "penalty")
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    PENALTY_FIELD_NUMBER: _ClassVar[int]
    groups: int
    penalty: float
    def __init__(self, groups: _Optional[int] = ..., penalty: _Optional[float] = ...) -> None: ...

class Alternatives(_message.Message):
    __slots__ = ("count", "min_probability")
    COUNT_FIELD_NUMBER: _ClassVar[int]
    MIN_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    count: int
    min_probability: float
    def __init__(self, count: _Optional[int] = ..., min_probability: _Optional[float] = ...) -> None: ...

class NatOptions(_message.Message):
    __slots__ = ("passes", "length_scale", "exact_length", "length_candidates", "decoder", "rescore")
    PASSES_FIELD_NUMBER: _ClassVar[int]
    LENGTH_SCALE_FIELD_NUMBER: _ClassVar[int]
    EXACT_LENGTH_FIELD_NUMBER: _ClassVar[int]
    LENGTH_CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    DECODER_FIELD_NUMBER: _ClassVar[int]
    RESCORE_FIELD_NUMBER: _ClassVar[int]
    passes: int
    length_scale: float
    exact_length: int
    length_candidates: int
    decoder: str
    rescore: bool
    def __init__(self, passes: _Optional[int] = ..., length_scale: _Optional[float] = ..., exact_length: _Optional[int] = ..., length_candidates: _Optional[int] = ..., decoder: _Optional[str] = ..., rescore: bool = ...) -> None: ...

class SpeculationOptions(_message.Message):
    __slots__ = ("draft", "draft_tokens", "lossy")
    DRAFT_FIELD_NUMBER: _ClassVar[int]
    DRAFT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    LOSSY_FIELD_NUMBER: _ClassVar[int]
    draft: DraftSource
    draft_tokens: int
    lossy: LossyVerification
    def __init__(self, draft: _Optional[_Union[DraftSource, str]] = ..., draft_tokens: _Optional[int] = ..., lossy: _Optional[_Union[LossyVerification, _Mapping]] = ...) -> None: ...

class LossyVerification(_message.Message):
    __slots__ = ("top", "margin")
    TOP_FIELD_NUMBER: _ClassVar[int]
    MARGIN_FIELD_NUMBER: _ClassVar[int]
    top: int
    margin: float
    def __init__(self, top: _Optional[int] = ..., margin: _Optional[float] = ...) -> None: ...

class OutputOptions(_message.Message):
    __slots__ = ("scores", "token_scores", "alignments", "sentence_spans", "offset_unit", "timings", "kept_spans", "term_spans")
    SCORES_FIELD_NUMBER: _ClassVar[int]
    TOKEN_SCORES_FIELD_NUMBER: _ClassVar[int]
    ALIGNMENTS_FIELD_NUMBER: _ClassVar[int]
    SENTENCE_SPANS_FIELD_NUMBER: _ClassVar[int]
    OFFSET_UNIT_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    KEPT_SPANS_FIELD_NUMBER: _ClassVar[int]
    TERM_SPANS_FIELD_NUMBER: _ClassVar[int]
    scores: bool
    token_scores: bool
    alignments: bool
    sentence_spans: bool
    offset_unit: OffsetUnit
    timings: bool
    kept_spans: bool
    term_spans: bool
    def __init__(self, scores: bool = ..., token_scores: bool = ..., alignments: bool = ..., sentence_spans: bool = ..., offset_unit: _Optional[_Union[OffsetUnit, str]] = ..., timings: bool = ..., kept_spans: bool = ..., term_spans: bool = ...) -> None: ...

class TranslateResponse(_message.Message):
    __slots__ = ("request_id", "results", "model", "model_version", "timings")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    results: _containers.RepeatedCompositeFieldContainer[TextResult]
    model: str
    model_version: str
    timings: Timings
    def __init__(self, request_id: _Optional[str] = ..., results: _Optional[_Iterable[_Union[TextResult, _Mapping]]] = ..., model: _Optional[str] = ..., model_version: _Optional[str] = ..., timings: _Optional[_Union[Timings, _Mapping]] = ...) -> None: ...

class TranslateStreamRequest(_message.Message):
    __slots__ = ("request",)
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    request: TranslateRequest
    def __init__(self, request: _Optional[_Union[TranslateRequest, _Mapping]] = ...) -> None: ...

class TranslateStreamResponse(_message.Message):
    __slots__ = ("request_id", "result", "model", "model_version", "timings")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    result: TextResult
    model: str
    model_version: str
    timings: Timings
    def __init__(self, request_id: _Optional[str] = ..., result: _Optional[_Union[TextResult, _Mapping]] = ..., model: _Optional[str] = ..., model_version: _Optional[str] = ..., timings: _Optional[_Union[Timings, _Mapping]] = ...) -> None: ...

class TranslatePipeRequest(_message.Message):
    __slots__ = ("settings", "texts", "is_whole")
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    IS_WHOLE_FIELD_NUMBER: _ClassVar[int]
    settings: TranslateRequest
    texts: _containers.RepeatedCompositeFieldContainer[Text]
    is_whole: bool
    def __init__(self, settings: _Optional[_Union[TranslateRequest, _Mapping]] = ..., texts: _Optional[_Iterable[_Union[Text, _Mapping]]] = ..., is_whole: bool = ...) -> None: ...

class TranslatePipeResponse(_message.Message):
    __slots__ = ("request_id", "results", "model", "model_version")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    results: _containers.RepeatedCompositeFieldContainer[TextResult]
    model: str
    model_version: str
    def __init__(self, request_id: _Optional[str] = ..., results: _Optional[_Iterable[_Union[TextResult, _Mapping]]] = ..., model: _Optional[str] = ..., model_version: _Optional[str] = ...) -> None: ...

class TextResult(_message.Message):
    __slots__ = ("index", "status", "text", "hypotheses", "finish_reason", "source_truncated", "source_tokens", "target_tokens", "engine", "decode_steps", "nat_passes", "drafted_tokens", "accepted_tokens", "cache_hit", "detected_source_language", "sentence_spans", "terms", "timings", "segments", "keeping", "kept", "warnings", "marks")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    HYPOTHESES_FIELD_NUMBER: _ClassVar[int]
    FINISH_REASON_FIELD_NUMBER: _ClassVar[int]
    SOURCE_TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    SOURCE_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TARGET_TOKENS_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    DECODE_STEPS_FIELD_NUMBER: _ClassVar[int]
    NAT_PASSES_FIELD_NUMBER: _ClassVar[int]
    DRAFTED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHE_HIT_FIELD_NUMBER: _ClassVar[int]
    DETECTED_SOURCE_LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    SENTENCE_SPANS_FIELD_NUMBER: _ClassVar[int]
    TERMS_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    KEEPING_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    MARKS_FIELD_NUMBER: _ClassVar[int]
    index: int
    status: TextStatus
    text: str
    hypotheses: _containers.RepeatedCompositeFieldContainer[Hypothesis]
    finish_reason: FinishReason
    source_truncated: bool
    source_tokens: int
    target_tokens: int
    engine: Engine
    decode_steps: int
    nat_passes: int
    drafted_tokens: int
    accepted_tokens: int
    cache_hit: bool
    detected_source_language: str
    sentence_spans: _containers.RepeatedCompositeFieldContainer[SpanPair]
    terms: _containers.RepeatedCompositeFieldContainer[TermOutcome]
    timings: Timings
    segments: int
    keeping: KeepingCounts
    kept: _containers.RepeatedCompositeFieldContainer[KeptSpan]
    warnings: _containers.RepeatedCompositeFieldContainer[TextWarning]
    marks: MarkCounts
    def __init__(self, index: _Optional[int] = ..., status: _Optional[_Union[TextStatus, _Mapping]] = ..., text: _Optional[str] = ..., hypotheses: _Optional[_Iterable[_Union[Hypothesis, _Mapping]]] = ..., finish_reason: _Optional[_Union[FinishReason, str]] = ..., source_truncated: bool = ..., source_tokens: _Optional[int] = ..., target_tokens: _Optional[int] = ..., engine: _Optional[_Union[Engine, str]] = ..., decode_steps: _Optional[int] = ..., nat_passes: _Optional[int] = ..., drafted_tokens: _Optional[int] = ..., accepted_tokens: _Optional[int] = ..., cache_hit: bool = ..., detected_source_language: _Optional[str] = ..., sentence_spans: _Optional[_Iterable[_Union[SpanPair, _Mapping]]] = ..., terms: _Optional[_Iterable[_Union[TermOutcome, _Mapping]]] = ..., timings: _Optional[_Union[Timings, _Mapping]] = ..., segments: _Optional[int] = ..., keeping: _Optional[_Union[KeepingCounts, _Mapping]] = ..., kept: _Optional[_Iterable[_Union[KeptSpan, _Mapping]]] = ..., warnings: _Optional[_Iterable[_Union[TextWarning, _Mapping]]] = ..., marks: _Optional[_Union[MarkCounts, _Mapping]] = ...) -> None: ...

class MarkCounts(_message.Message):
    __slots__ = ("by_attention", "by_position")
    BY_ATTENTION_FIELD_NUMBER: _ClassVar[int]
    BY_POSITION_FIELD_NUMBER: _ClassVar[int]
    by_attention: int
    by_position: int
    def __init__(self, by_attention: _Optional[int] = ..., by_position: _Optional[int] = ...) -> None: ...

class KeepingCounts(_message.Message):
    __slots__ = ("as_it_was", "form", "alignment", "cut", "appended", "lost")
    AS_IT_WAS_FIELD_NUMBER: _ClassVar[int]
    FORM_FIELD_NUMBER: _ClassVar[int]
    ALIGNMENT_FIELD_NUMBER: _ClassVar[int]
    CUT_FIELD_NUMBER: _ClassVar[int]
    APPENDED_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    as_it_was: int
    form: int
    alignment: int
    cut: int
    appended: int
    lost: int
    def __init__(self, as_it_was: _Optional[int] = ..., form: _Optional[int] = ..., alignment: _Optional[int] = ..., cut: _Optional[int] = ..., appended: _Optional[int] = ..., lost: _Optional[int] = ...) -> None: ...

class KeptSpan(_message.Message):
    __slots__ = ("source", "target", "kind", "keeping")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    KEEPING_FIELD_NUMBER: _ClassVar[int]
    source: Span
    target: Span
    kind: SpanKind
    keeping: Keeping
    def __init__(self, source: _Optional[_Union[Span, _Mapping]] = ..., target: _Optional[_Union[Span, _Mapping]] = ..., kind: _Optional[_Union[SpanKind, str]] = ..., keeping: _Optional[_Union[Keeping, str]] = ...) -> None: ...

class TextWarning(_message.Message):
    __slots__ = ("kind", "source", "target", "detail")
    KIND_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    kind: WarningKind
    source: Span
    target: Span
    detail: str
    def __init__(self, kind: _Optional[_Union[WarningKind, str]] = ..., source: _Optional[_Union[Span, _Mapping]] = ..., target: _Optional[_Union[Span, _Mapping]] = ..., detail: _Optional[str] = ...) -> None: ...

class TextStatus(_message.Message):
    __slots__ = ("code", "message")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: int
    message: str
    def __init__(self, code: _Optional[int] = ..., message: _Optional[str] = ...) -> None: ...

class Hypothesis(_message.Message):
    __slots__ = ("text", "log_probability", "score", "finish_reason", "tokens", "alignments")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    LOG_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    FINISH_REASON_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    ALIGNMENTS_FIELD_NUMBER: _ClassVar[int]
    text: str
    log_probability: float
    score: float
    finish_reason: FinishReason
    tokens: _containers.RepeatedCompositeFieldContainer[TokenScore]
    alignments: _containers.RepeatedCompositeFieldContainer[Alignment]
    def __init__(self, text: _Optional[str] = ..., log_probability: _Optional[float] = ..., score: _Optional[float] = ..., finish_reason: _Optional[_Union[FinishReason, str]] = ..., tokens: _Optional[_Iterable[_Union[TokenScore, _Mapping]]] = ..., alignments: _Optional[_Iterable[_Union[Alignment, _Mapping]]] = ...) -> None: ...

class TokenScore(_message.Message):
    __slots__ = ("token", "log_probability")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    LOG_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    token: str
    log_probability: float
    def __init__(self, token: _Optional[str] = ..., log_probability: _Optional[float] = ...) -> None: ...

class Alignment(_message.Message):
    __slots__ = ("source", "target", "weight")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    source: Span
    target: Span
    weight: float
    def __init__(self, source: _Optional[_Union[Span, _Mapping]] = ..., target: _Optional[_Union[Span, _Mapping]] = ..., weight: _Optional[float] = ...) -> None: ...

class Span(_message.Message):
    __slots__ = ("start", "end")
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    start: int
    end: int
    def __init__(self, start: _Optional[int] = ..., end: _Optional[int] = ...) -> None: ...

class SpanPair(_message.Message):
    __slots__ = ("source", "target")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    source: Span
    target: Span
    def __init__(self, source: _Optional[_Union[Span, _Mapping]] = ..., target: _Optional[_Union[Span, _Mapping]] = ...) -> None: ...

class TermOutcome(_message.Message):
    __slots__ = ("term_index", "occurrences", "applied", "already_there", "glossary", "source", "found", "appended")
    TERM_INDEX_FIELD_NUMBER: _ClassVar[int]
    OCCURRENCES_FIELD_NUMBER: _ClassVar[int]
    APPLIED_FIELD_NUMBER: _ClassVar[int]
    ALREADY_THERE_FIELD_NUMBER: _ClassVar[int]
    GLOSSARY_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    FOUND_FIELD_NUMBER: _ClassVar[int]
    APPENDED_FIELD_NUMBER: _ClassVar[int]
    term_index: int
    occurrences: int
    applied: int
    already_there: int
    glossary: str
    source: str
    found: _containers.RepeatedCompositeFieldContainer[TermOccurrence]
    appended: int
    def __init__(self, term_index: _Optional[int] = ..., occurrences: _Optional[int] = ..., applied: _Optional[int] = ..., already_there: _Optional[int] = ..., glossary: _Optional[str] = ..., source: _Optional[str] = ..., found: _Optional[_Iterable[_Union[TermOccurrence, _Mapping]]] = ..., appended: _Optional[int] = ...) -> None: ...

class TermOccurrence(_message.Message):
    __slots__ = ("source", "target", "use")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    USE_FIELD_NUMBER: _ClassVar[int]
    source: Span
    target: Span
    use: TermUse
    def __init__(self, source: _Optional[_Union[Span, _Mapping]] = ..., target: _Optional[_Union[Span, _Mapping]] = ..., use: _Optional[_Union[TermUse, str]] = ...) -> None: ...

class Timings(_message.Message):
    __slots__ = ("total", "tokenize", "queue", "encode", "decode", "detokenize")
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    TOKENIZE_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    ENCODE_FIELD_NUMBER: _ClassVar[int]
    DECODE_FIELD_NUMBER: _ClassVar[int]
    DETOKENIZE_FIELD_NUMBER: _ClassVar[int]
    total: _duration_pb2.Duration
    tokenize: _duration_pb2.Duration
    queue: _duration_pb2.Duration
    encode: _duration_pb2.Duration
    decode: _duration_pb2.Duration
    detokenize: _duration_pb2.Duration
    def __init__(self, total: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., tokenize: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., queue: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., encode: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., decode: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., detokenize: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ScoreRequest(_message.Message):
    __slots__ = ("request_id", "pairs", "source_language", "target_language", "model", "model_version", "token_scores", "length_penalty", "length_penalty_kind", "priority", "decoder")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PAIRS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    TARGET_LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    TOKEN_SCORES_FIELD_NUMBER: _ClassVar[int]
    LENGTH_PENALTY_FIELD_NUMBER: _ClassVar[int]
    LENGTH_PENALTY_KIND_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    DECODER_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    pairs: _containers.RepeatedCompositeFieldContainer[ScorePair]
    source_language: str
    target_language: str
    model: str
    model_version: str
    token_scores: bool
    length_penalty: float
    length_penalty_kind: LengthPenaltyKind
    priority: Priority
    decoder: str
    def __init__(self, request_id: _Optional[str] = ..., pairs: _Optional[_Iterable[_Union[ScorePair, _Mapping]]] = ..., source_language: _Optional[str] = ..., target_language: _Optional[str] = ..., model: _Optional[str] = ..., model_version: _Optional[str] = ..., token_scores: bool = ..., length_penalty: _Optional[float] = ..., length_penalty_kind: _Optional[_Union[LengthPenaltyKind, str]] = ..., priority: _Optional[_Union[Priority, str]] = ..., decoder: _Optional[str] = ...) -> None: ...

class ScorePair(_message.Message):
    __slots__ = ("source", "target")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    source: str
    target: str
    def __init__(self, source: _Optional[str] = ..., target: _Optional[str] = ...) -> None: ...

class ScoreResponse(_message.Message):
    __slots__ = ("request_id", "results", "model", "model_version", "timings")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    results: _containers.RepeatedCompositeFieldContainer[ScoreResult]
    model: str
    model_version: str
    timings: Timings
    def __init__(self, request_id: _Optional[str] = ..., results: _Optional[_Iterable[_Union[ScoreResult, _Mapping]]] = ..., model: _Optional[str] = ..., model_version: _Optional[str] = ..., timings: _Optional[_Union[Timings, _Mapping]] = ...) -> None: ...

class ScoreResult(_message.Message):
    __slots__ = ("index", "status", "log_probability", "score", "source_tokens", "target_tokens", "tokens")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    LOG_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TARGET_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    index: int
    status: TextStatus
    log_probability: float
    score: float
    source_tokens: int
    target_tokens: int
    tokens: _containers.RepeatedCompositeFieldContainer[TokenScore]
    def __init__(self, index: _Optional[int] = ..., status: _Optional[_Union[TextStatus, _Mapping]] = ..., log_probability: _Optional[float] = ..., score: _Optional[float] = ..., source_tokens: _Optional[int] = ..., target_tokens: _Optional[int] = ..., tokens: _Optional[_Iterable[_Union[TokenScore, _Mapping]]] = ...) -> None: ...

class ListModelsRequest(_message.Message):
    __slots__ = ("source_language", "target_language")
    SOURCE_LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    TARGET_LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    source_language: str
    target_language: str
    def __init__(self, source_language: _Optional[str] = ..., target_language: _Optional[str] = ...) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ("models",)
    MODELS_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[Model]
    def __init__(self, models: _Optional[_Iterable[_Union[Model, _Mapping]]] = ...) -> None: ...

class GetModelRequest(_message.Message):
    __slots__ = ("name", "version")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ...) -> None: ...

class GetModelResponse(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: Model
    def __init__(self, model: _Optional[_Union[Model, _Mapping]] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ("name", "version", "language_pairs", "defaults", "profiles", "limits", "engines", "precision", "execution_provider", "state", "licence", "digest", "source_languages", "target_languages", "nat_decoders", "draft_sources", "glossaries", "decoders")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_PAIRS_FIELD_NUMBER: _ClassVar[int]
    DEFAULTS_FIELD_NUMBER: _ClassVar[int]
    PROFILES_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    ENGINES_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_PROVIDER_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    LICENCE_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    SOURCE_LANGUAGES_FIELD_NUMBER: _ClassVar[int]
    TARGET_LANGUAGES_FIELD_NUMBER: _ClassVar[int]
    NAT_DECODERS_FIELD_NUMBER: _ClassVar[int]
    DRAFT_SOURCES_FIELD_NUMBER: _ClassVar[int]
    GLOSSARIES_FIELD_NUMBER: _ClassVar[int]
    DECODERS_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    language_pairs: _containers.RepeatedCompositeFieldContainer[LanguagePair]
    defaults: DecodingOptions
    profiles: _containers.RepeatedScalarFieldContainer[str]
    limits: Limits
    engines: _containers.RepeatedScalarFieldContainer[Engine]
    precision: str
    execution_provider: str
    state: ModelState
    licence: str
    digest: str
    source_languages: _containers.RepeatedScalarFieldContainer[str]
    target_languages: _containers.RepeatedScalarFieldContainer[str]
    nat_decoders: _containers.RepeatedScalarFieldContainer[str]
    draft_sources: _containers.RepeatedScalarFieldContainer[DraftSource]
    glossaries: _containers.RepeatedCompositeFieldContainer[Glossary]
    decoders: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., language_pairs: _Optional[_Iterable[_Union[LanguagePair, _Mapping]]] = ..., defaults: _Optional[_Union[DecodingOptions, _Mapping]] = ..., profiles: _Optional[_Iterable[str]] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., engines: _Optional[_Iterable[_Union[Engine, str]]] = ..., precision: _Optional[str] = ..., execution_provider: _Optional[str] = ..., state: _Optional[_Union[ModelState, str]] = ..., licence: _Optional[str] = ..., digest: _Optional[str] = ..., source_languages: _Optional[_Iterable[str]] = ..., target_languages: _Optional[_Iterable[str]] = ..., nat_decoders: _Optional[_Iterable[str]] = ..., draft_sources: _Optional[_Iterable[_Union[DraftSource, str]]] = ..., glossaries: _Optional[_Iterable[_Union[Glossary, _Mapping]]] = ..., decoders: _Optional[_Iterable[str]] = ...) -> None: ...

class Glossary(_message.Message):
    __slots__ = ("name", "terms")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TERMS_FIELD_NUMBER: _ClassVar[int]
    name: str
    terms: int
    def __init__(self, name: _Optional[str] = ..., terms: _Optional[int] = ...) -> None: ...

class LanguagePair(_message.Message):
    __slots__ = ("source", "target")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    source: str
    target: str
    def __init__(self, source: _Optional[str] = ..., target: _Optional[str] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("max_texts", "max_text_bytes", "max_source_tokens", "max_target_tokens", "max_beam_size", "max_hypotheses", "max_terms", "max_message_bytes", "max_backlog_tokens")
    MAX_TEXTS_FIELD_NUMBER: _ClassVar[int]
    MAX_TEXT_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_SOURCE_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MAX_TARGET_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MAX_BEAM_SIZE_FIELD_NUMBER: _ClassVar[int]
    MAX_HYPOTHESES_FIELD_NUMBER: _ClassVar[int]
    MAX_TERMS_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_BACKLOG_TOKENS_FIELD_NUMBER: _ClassVar[int]
    max_texts: int
    max_text_bytes: int
    max_source_tokens: int
    max_target_tokens: int
    max_beam_size: int
    max_hypotheses: int
    max_terms: int
    max_message_bytes: int
    max_backlog_tokens: int
    def __init__(self, max_texts: _Optional[int] = ..., max_text_bytes: _Optional[int] = ..., max_source_tokens: _Optional[int] = ..., max_target_tokens: _Optional[int] = ..., max_beam_size: _Optional[int] = ..., max_hypotheses: _Optional[int] = ..., max_terms: _Optional[int] = ..., max_message_bytes: _Optional[int] = ..., max_backlog_tokens: _Optional[int] = ...) -> None: ...

"""Messages to values and back: pure functions.

What a request may set is declared here, path by path. Whatever else is set is refused by name, so that a field added
to the protocol is refused until this server does what it says. Field paths are those of `TranslateRequest`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet
from google.rpc.code_pb2 import Code

from dragoman.bundle.manifest import Decoding, LanguagePair
from dragoman.server.domain import DecodingOverrides, Engine, FinishReason, Request, Splitting, Timings, Translation
from dragoman.server.errors import InvalidRequest, ServingError, UnsupportedOption
from dragoman.server.models import Wanted
from dragoman.server.pipeline import Outcome, Pipeline, check_number
from dragoman.v1 import translation_pb2 as pb

MAX_REQUEST_ID_BYTES = 128

SUPPORTED = frozenset(
    {
        "request_id",
        "segments.text",
        "source_language",
        "target_language",
        "model",
        "model_version",
        "format",
        "splitting",
        "on_too_long",
        "decoding.beam_size",
        "decoding.num_hypotheses",
        "decoding.length_penalty",
        "decoding.length_penalty_kind",
        "decoding.max_length",
        "decoding.max_length_factor",
        "decoding.profile",
        "decoding.shortlist",
        "engine",
        "priority",
        "output.scores",
        "output.timings",
        "cache",
    }
)
"""Every field that may be set, as paths without indices."""

SUPPORTED_VALUES: Mapping[str, frozenset[int]] = {
    "format": frozenset({pb.INPUT_FORMAT_UNSPECIFIED, pb.INPUT_FORMAT_PLAIN}),
    "splitting": frozenset(pb.Splitting.values()),
    "on_too_long": frozenset({pb.ON_TOO_LONG_UNSPECIFIED, pb.ON_TOO_LONG_SPLIT, pb.ON_TOO_LONG_REJECT}),
    "decoding.length_penalty_kind": frozenset(
        {pb.LENGTH_PENALTY_KIND_UNSPECIFIED, pb.LENGTH_PENALTY_KIND_POWER, pb.LENGTH_PENALTY_KIND_NONE}
    ),
    "engine": frozenset({pb.ENGINE_PREFERENCE_UNSPECIFIED, pb.ENGINE_PREFERENCE_AUTO, pb.ENGINE_PREFERENCE_GREEDY}),
    "priority": frozenset({pb.PRIORITY_UNSPECIFIED, pb.PRIORITY_NORMAL}),
    # Nothing is remembered, so every mode of use gets what it asks for.
    "cache": frozenset(pb.CacheMode.values()),
}
"""Every enum among them, and its values that may be chosen."""

_SPLITTING = {
    pb.SPLITTING_UNSPECIFIED: Splitting.SENTENCES,
    pb.SPLITTING_SENTENCES: Splitting.SENTENCES,
    pb.SPLITTING_LINES: Splitting.LINES,
    pb.SPLITTING_NONE: Splitting.NONE,
}
_FINISH_REASON = {
    FinishReason.STOP: pb.FINISH_REASON_STOP,
    FinishReason.LENGTH: pb.FINISH_REASON_LENGTH,
    FinishReason.EMPTY_INPUT: pb.FINISH_REASON_EMPTY_INPUT,
}
_ENGINE = {None: pb.ENGINE_UNSPECIFIED, Engine.GREEDY: pb.ENGINE_GREEDY, Engine.BEAM: pb.ENGINE_BEAM}


def check(message: Message, supported: frozenset[str] = SUPPORTED, *, path: str = "", shown: str = "") -> None:
    """Refuse the first field or value that a request sets and this server does not honour.

    `path` is where `message` stands without indices, `shown` with them.
    """
    refuse_unknown(message, shown)
    for field, value in message.ListFields():
        name = f"{path}{field.name}"
        if name in supported:
            if field.enum_type is not None:
                _check_value(name, field.enum_type, value)
        elif field.message_type is not None and any(one.startswith(f"{name}.") for one in supported):
            items = enumerate(value) if field.is_repeated else [(None, value)]
            for index, item in items:
                place = f"{shown}{field.name}" if index is None else f"{shown}{field.name}[{index}]"
                check(item, supported, path=f"{name}.", shown=f"{place}.")
        else:
            raise UnsupportedOption(f"{shown}{field.name}", "this server does not implement it: leave it unset")


def refuse_unknown(message: Message, shown: str = "") -> None:
    """Refuse a field that a newer version of the protocol has; of this message alone, not of those within."""
    found: Any = UnknownFieldSet(message)
    for unknown in found:
        where = f"{shown}field number {unknown.field_number}"
        raise UnsupportedOption(where, "not known to this server, which speaks an older version of the protocol")


def _check_value(name: str, enum: Any, value: int) -> None:
    known = enum.values_by_number.get(value)
    if known is None:
        raise InvalidRequest(name, f"{value} is no value of {enum.name}")
    if value not in SUPPORTED_VALUES[name]:
        able = ", ".join(one.name for one in enum.values if one.number in SUPPORTED_VALUES[name])
        raise UnsupportedOption(name, f"this server does not implement {known.name}; it implements {able}")


def wanted(message: Any) -> Wanted:
    """Which model a request means."""
    return Wanted(message.model, message.model_version, message.source_language, message.target_language)


def request(message: pb.TranslateRequest, *, pair: LanguagePair, deadline_s: float | None) -> Request:
    """The request that a message stands for; call `check` first."""
    if len(message.request_id.encode()) > MAX_REQUEST_ID_BYTES:
        raise InvalidRequest("request_id", f"longer than {MAX_REQUEST_ID_BYTES} bytes")
    return Request(
        texts=tuple(segment.text for segment in message.segments),
        overrides=_overrides(message),
        splitting=_SPLITTING[message.splitting],
        deadline_s=deadline_s,
        source_language=pair.source,
        target_language=pair.target,
        split_long=message.on_too_long != pb.ON_TOO_LONG_REJECT,
    )


def _overrides(message: pb.TranslateRequest) -> DecodingOverrides:
    decoding = message.decoding

    def given(name: str) -> Any:
        return getattr(decoding, name) if decoding.HasField(name) else None

    beam_size, length_penalty = given("beam_size"), given("length_penalty")
    if decoding.length_penalty_kind == pb.LENGTH_PENALTY_KIND_NONE:
        if length_penalty is not None:
            raise InvalidRequest("decoding.length_penalty", "set although length_penalty_kind asks for none: unset one")
        length_penalty = 0.0
    if message.engine == pb.ENGINE_PREFERENCE_GREEDY:
        if beam_size not in (None, 1):
            raise InvalidRequest("engine", f"greedy decoding has a beam_size of 1, and {beam_size} is set: unset one")
        beam_size = 1
    return DecodingOverrides(
        beam_size=beam_size,
        num_hypotheses=given("num_hypotheses"),
        length_penalty=length_penalty,
        max_length=given("max_length"),
        max_length_factor=given("max_length_factor"),
        shortlist=given("shortlist"),
        profile=given("profile"),
    )


class PipeSettings:
    """How the texts of a pipe are translated: the last settings that came."""

    def __init__(self, max_segments: int) -> None:
        self._max_segments = max_segments
        self._settings: pb.TranslateRequest | None = None
        self._request_id = ""
        self._next_index = 0

    def request(self, message: pb.TranslatePipeRequest) -> tuple[pb.TranslateRequest, int]:
        """A message's texts as a request, and the index of its first text in the whole pipe."""
        refuse_unknown(message)
        check_number(len(message.segments), self._max_segments)
        if message.HasField("settings"):
            if message.settings.segments:
                raise InvalidRequest("settings.segments", "must be empty: a pipe's texts stand beside its settings")
            if self._settings is None:
                self._request_id = message.settings.request_id
            self._settings = message.settings
        if self._settings is None:
            raise InvalidRequest("settings", "not set, and the first message of a pipe needs them")
        request = pb.TranslateRequest()
        request.CopyFrom(self._settings)
        request.request_id = self._request_id
        request.segments.extend(message.segments)
        first = self._next_index
        self._next_index += len(message.segments)
        return request, first


def result(index: int, outcome: Outcome, *, timings: bool) -> pb.SegmentResult:
    """What became of one text."""
    if isinstance(outcome, ServingError):
        status = pb.SegmentStatus(code=Code.Value(outcome.code), message=str(outcome))
        return pb.SegmentResult(index=index, status=status)
    return pb.SegmentResult(
        index=index,
        text=outcome.text,
        hypotheses=[
            pb.Hypothesis(text=one.text, log_probability=one.logp, score=one.score) for one in outcome.hypotheses
        ],
        finish_reason=_FINISH_REASON[outcome.finish_reason],
        source_tokens=outcome.source_tokens,
        target_tokens=outcome.target_tokens,
        engine=_ENGINE[outcome.engine],
        decode_steps=outcome.steps,
        pieces=outcome.segments,
        timings=_timings(outcome.timings) if timings else None,
    )


def call_timings(outcomes: Sequence[Outcome], total_s: float) -> pb.Timings:
    """Where the time of a call went: of its texts, each stage's longest."""
    longest = Timings.longest(outcome.timings for outcome in outcomes if isinstance(outcome, Translation))
    message = _timings(longest)
    message.total.CopyFrom(_duration(total_s))
    return message


def _timings(timings: Timings) -> pb.Timings:
    return pb.Timings(
        tokenize=_duration(timings.tokenize_s),
        queue=_duration(timings.queue_s),
        encode=_duration(timings.encode_s),
        decode=_duration(timings.decode_s),
        detokenize=_duration(timings.detokenize_s),
    )


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromTimedelta(timedelta(seconds=max(0.0, seconds)))
    return duration


def model(pipeline: Pipeline, *, max_request_bytes: int, draining: bool) -> pb.Model:
    """A served bundle's description."""
    manifest, limits = pipeline.bundle.manifest, pipeline.limits
    beam_size = manifest.decoding.beam_size
    engines = [pb.ENGINE_GREEDY, *([pb.ENGINE_BEAM] if limits.max_beam_size > 1 else [])]
    return pb.Model(
        name=pipeline.name,
        version=pipeline.version,
        language_pairs=[
            pb.LanguagePair(source_language=pair.source, target_language=pair.target) for pair in manifest.pairs
        ],
        decoding=_decoding(pipeline.decoding(Request(()))),
        profiles=[manifest.decoding.profile],
        limits=pb.Limits(
            max_segments=limits.max_segments,
            max_text_bytes=limits.max_text_bytes,
            max_source_tokens=manifest.limits.max_source_tokens,
            max_target_tokens=manifest.limits.max_target_tokens,
            max_beam_size=limits.max_beam_size,
            max_hypotheses=limits.max_beam_size,
            max_message_bytes=max_request_bytes,
            max_backlog_tokens=limits.backlog_tokens,
        ),
        engines=engines if beam_size == 1 else engines[::-1],
        precision=manifest.precision,
        execution_provider="cpu",
        state=pb.MODEL_STATE_DRAINING if draining else pb.MODEL_STATE_SERVING,
        licence=manifest.licence,
        digest=pipeline.bundle.digest,
        source_languages=() if manifest.pairs else manifest.tokenizer.source_languages,
        target_languages=() if manifest.pairs else manifest.tokenizer.target_languages,
    )


def _decoding(decoding: Decoding) -> pb.DecodingOptions:
    return pb.DecodingOptions(
        beam_size=decoding.beam_size,
        num_hypotheses=decoding.num_hypotheses,
        length_penalty=decoding.length_penalty,
        length_penalty_kind=pb.LENGTH_PENALTY_KIND_POWER,
        max_length=decoding.max_length,
        max_length_factor=decoding.max_length_factor,
        shortlist=decoding.shortlist,
        profile=decoding.profile,
    )

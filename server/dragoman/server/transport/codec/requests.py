"""Requests to values: pure functions. `dragoman.server.transport.codec.supported` comes first."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message

from dragoman.bundle.manifest import EarlyStopping, LanguagePair, LengthPenaltyKind, UnknownHandling
from dragoman.server.core.errors import InvalidRequest
from dragoman.server.core.limits import check_number
from dragoman.server.core.requests import (
    DecodingOverrides,
    EnginePreference,
    NatOverrides,
    OffsetUnit,
    Output,
    Request,
    SpeculationOverrides,
    Splitting,
)
from dragoman.server.core.segments import Priority
from dragoman.server.core.strategies import Alternatives, Beam, DiverseBeam, DraftSource, Lossy, Sample, Strategy
from dragoman.server.pipeline.models import Wanted
from dragoman.server.transport.codec.supported import refuse_unknown
from dragoman.v1 import translation_pb2 as pb

MAX_REQUEST_ID_BYTES = 128

_SPLITTING = {
    pb.SPLITTING_UNSPECIFIED: Splitting.SENTENCES,
    pb.SPLITTING_SENTENCES: Splitting.SENTENCES,
    pb.SPLITTING_LINES: Splitting.LINES,
    pb.SPLITTING_NONE: Splitting.NONE,
}
_PRIORITY = {
    pb.PRIORITY_UNSPECIFIED: Priority.NORMAL,
    pb.PRIORITY_INTERACTIVE: Priority.INTERACTIVE,
    pb.PRIORITY_NORMAL: Priority.NORMAL,
    pb.PRIORITY_BATCH: Priority.BATCH,
}
_ENGINE = {
    pb.ENGINE_PREFERENCE_UNSPECIFIED: EnginePreference.AUTO,
    pb.ENGINE_PREFERENCE_AUTO: EnginePreference.AUTO,
    pb.ENGINE_PREFERENCE_QUALITY: EnginePreference.QUALITY,
    pb.ENGINE_PREFERENCE_BALANCED: EnginePreference.BALANCED,
    pb.ENGINE_PREFERENCE_FAST: EnginePreference.FAST,
    pb.ENGINE_PREFERENCE_GREEDY: EnginePreference.GREEDY,
    pb.ENGINE_PREFERENCE_BEAM: EnginePreference.BEAM,
    pb.ENGINE_PREFERENCE_SPECULATIVE: EnginePreference.SPECULATIVE,
    pb.ENGINE_PREFERENCE_NAT: EnginePreference.NAT,
}
_OFFSET_UNIT = {
    pb.OFFSET_UNIT_UNSPECIFIED: OffsetUnit.CODE_POINT,
    pb.OFFSET_UNIT_CODE_POINT: OffsetUnit.CODE_POINT,
    pb.OFFSET_UNIT_UTF8_BYTE: OffsetUnit.UTF8_BYTE,
    pb.OFFSET_UNIT_UTF16: OffsetUnit.UTF16,
}
# What is not set, and no penalty at all, are in none of these.
LENGTH_PENALTY_KIND: dict[int, LengthPenaltyKind] = {
    pb.LENGTH_PENALTY_KIND_POWER: "power",
    pb.LENGTH_PENALTY_KIND_GNMT: "gnmt",
}
EARLY_STOPPING: dict[int, EarlyStopping] = {
    pb.EARLY_STOPPING_FIRST_FINISHED: "first",
    pb.EARLY_STOPPING_HEURISTIC: "heuristic",
    pb.EARLY_STOPPING_EXHAUSTIVE: "exhaustive",
}
UNKNOWN_HANDLING: dict[int, UnknownHandling] = {
    pb.UNKNOWN_HANDLING_ALLOW: "allow",
    pb.UNKNOWN_HANDLING_SUPPRESS: "suppress",
    pb.UNKNOWN_HANDLING_COPY_SOURCE: "copy",
}
DRAFT = {
    pb.DRAFT_SOURCE_NAT: DraftSource.NAT,
    pb.DRAFT_SOURCE_HYPOTHESIS: DraftSource.HYPOTHESIS,
    pb.DRAFT_SOURCE_SOURCE: DraftSource.SOURCE,
}
_NAT = ("passes", "length_scale", "exact_length", "length_candidates", "decoder")
_SAME = (
    "beam_size",
    "num_hypotheses",
    "word_penalty",
    "coverage_penalty",
    "patience",
    "min_length",
    "max_length",
    "max_length_factor",
    "repetition_penalty",
    "no_repeat_ngram_size",
    "profile",
    "shortlist",
)
"""Fields that mean on the wire what they mean in `DecodingOverrides`."""


def wanted(message: Any) -> Wanted:
    """Which model a request means."""
    return Wanted(message.model, message.model_version, message.source_language, message.target_language)


def request(
    message: pb.TranslateRequest, *, pair: LanguagePair, deadline_s: float | None, fresh_seed: int = 0
) -> Request:
    """The request that a message stands for. `fresh_seed` is for a sample that names none."""
    _check_id(message.request_id)
    decoding, output = message.decoding, message.output
    prefixes = tuple(text.target_prefix for text in message.texts)
    return Request(
        texts=tuple(text.text for text in message.texts),
        overrides=_overrides(decoding),
        strategy=_strategy(decoding, fresh_seed),
        engine=_ENGINE[message.engine],
        nat=NatOverrides(**{name: _given(message.nat, name) for name in _NAT}, rescore=message.nat.rescore),
        speculation=_speculation(message.speculation),
        prefixes=prefixes if any(prefixes) else (),
        suppressed_tokens=tuple(decoding.suppressed_tokens),
        output=Output(
            token_scores=output.token_scores,
            alignments=output.alignments,
            sentence_spans=output.sentence_spans,
            offset_unit=_OFFSET_UNIT[output.offset_unit],
        ),
        priority=_PRIORITY[message.priority],
        splitting=_SPLITTING[message.splitting],
        deadline_s=deadline_s,
        source_language=pair.source,
        target_language=pair.target,
        split_long=message.on_too_long != pb.ON_TOO_LONG_REJECT,
    )


def score_request(message: pb.ScoreRequest, *, pair: LanguagePair, deadline_s: float | None) -> Request:
    """The request that a message with given translations stands for."""
    _check_id(message.request_id)
    penalty, kind = _length_penalty(message, "")
    return Request(
        texts=tuple(given.source for given in message.pairs),
        targets=tuple(given.target for given in message.pairs),
        overrides=DecodingOverrides(length_penalty=penalty, length_penalty_kind=kind),
        output=Output(token_scores=message.token_scores),
        deadline_s=deadline_s,
        priority=_PRIORITY[message.priority],
        source_language=pair.source,
        target_language=pair.target,
    )


def _check_id(request_id: str) -> None:
    if len(request_id.encode()) > MAX_REQUEST_ID_BYTES:
        raise InvalidRequest("request_id", f"longer than {MAX_REQUEST_ID_BYTES} bytes")


def _given(message: Message, name: str) -> Any:
    return getattr(message, name) if message.HasField(name) else None


def _overrides(decoding: pb.DecodingOptions) -> DecodingOverrides:
    penalty, kind = _length_penalty(decoding, "decoding.")
    return DecodingOverrides(
        length_penalty=penalty,
        length_penalty_kind=kind,
        early_stopping=EARLY_STOPPING.get(decoding.early_stopping),
        unknown_handling=UNKNOWN_HANDLING.get(decoding.unknown_handling),
        **{name: _given(decoding, name) for name in _SAME},
    )


def _speculation(message: pb.SpeculationOptions) -> SpeculationOverrides:
    lossy = Lossy(message.lossy.top, message.lossy.margin) if message.HasField("lossy") else None
    return SpeculationOverrides(DRAFT.get(message.draft), _given(message, "draft_tokens"), lossy)


def _length_penalty(
    message: pb.DecodingOptions | pb.ScoreRequest, path: str
) -> tuple[float | None, LengthPenaltyKind | None]:
    """The exponent and the kind that a message sets; no penalty at all is an exponent of nought."""
    penalty = _given(message, "length_penalty")
    if message.length_penalty_kind != pb.LENGTH_PENALTY_KIND_NONE:
        return penalty, LENGTH_PENALTY_KIND.get(message.length_penalty_kind)
    if penalty is not None:
        raise InvalidRequest(f"{path}length_penalty", "set although length_penalty_kind asks for none: unset one")
    return 0.0, None


def _strategy(decoding: pb.DecodingOptions, fresh_seed: int) -> Strategy:
    """How the tree is to grow."""
    diversity, alternatives = decoding.diversity, decoding.alternatives
    found: dict[str, Strategy] = {}
    if decoding.HasField("sampling"):
        sampling = decoding.sampling
        found["sampling"] = Sample(
            seed=sampling.seed if sampling.HasField("seed") else fresh_seed,
            top_k=_given(sampling, "top_k"),
            top_p=sampling.top_p if sampling.HasField("top_p") else 1.0,
            temperature=sampling.temperature if sampling.HasField("temperature") else 1.0,
        )
    if diversity.groups > 1:
        found["diversity"] = DiverseBeam(diversity.groups, diversity.penalty)
    elif diversity.penalty != 0:
        message = "set, and a beam of one group has none before it: set groups, or leave it unset"
        raise InvalidRequest("decoding.diversity.penalty", message)
    if alternatives.count > 0:
        found["alternatives"] = Alternatives(alternatives.count, alternatives.min_probability)
    elif alternatives.min_probability != 0:
        message = "set, and a count of 0 asks for no alternatives: set count, or leave it unset"
        raise InvalidRequest("decoding.alternatives.min_probability", message)
    if len(found) > 1:
        first, second, *_ = found
        raise InvalidRequest(f"decoding.{second}", f"excluded by decoding.{first}: unset one of them")
    return next(iter(found.values()), Beam())


class PipeSettings:
    """How the texts of a pipe are translated: the last settings that came."""

    def __init__(self, max_texts: int) -> None:
        self._max_texts = max_texts
        self._settings: pb.TranslateRequest | None = None
        self._request_id = ""
        self._next_index = 0

    def request(self, message: pb.TranslatePipeRequest) -> tuple[pb.TranslateRequest, int]:
        """A message's texts as a request, and the index of its first text in the whole pipe."""
        refuse_unknown(message)
        check_number(len(message.texts), self._max_texts)
        if message.HasField("settings"):
            if message.settings.texts:
                raise InvalidRequest("settings.texts", "must be empty: a pipe's texts stand beside its settings")
            if self._settings is None:
                self._request_id = message.settings.request_id
            self._settings = message.settings
        if self._settings is None:
            raise InvalidRequest("settings", "not set, and the first message of a pipe needs them")
        request = pb.TranslateRequest()
        request.CopyFrom(self._settings)
        request.request_id = self._request_id
        request.texts.extend(message.texts)
        first = self._next_index
        self._next_index += len(message.texts)
        return request, first
